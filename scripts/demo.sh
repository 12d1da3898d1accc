#!/usr/bin/env bash
# The complete workflow on two CPU cores in a few minutes: photographs, LMDB, stage 1, stage 2, a table and a picture.
# usage: scripts/demo.sh [FOLDER]     (default: demo_output in the repository)
# After an interruption it resumes where it stopped; remove FOLDER to start again.
set -euo pipefail

case "${1:-}" in
    -h | --help)
        sed -n '2,4s/^# //p' "${BASH_SOURCE[0]}"
        exit 0
        ;;
esac

root="$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)"
mkdir -p "${1:-$root/demo_output}"
folder="$(CDPATH='' cd -- "${1:-$root/demo_output}" && pwd -P)"

# Let idle threads sleep soon: spinning ones stall each other when anything else uses the cores.
export GOMP_SPINCOUNT="${GOMP_SPINCOUNT:-10000}"

bash "$root/scripts/setup.sh"
start=$SECONDS
cd "$folder"

echo "== Photographs and LMDB"
"$root/.venv/bin/python" "$root/scripts/demo_data.py" images
for set in train val; do
    "$root/.venv/bin/clit" prepare "images/$set" -o "images/$set.lmdb" --convert
done

echo "== Training, stage 1 then stage 2"
"$root/.venv/bin/clit" train --auto_resume \
    -opt "$root/options/train/demo_stage1.yml" "$root/options/train/demo_stage2.yml"

echo "== Held-out photographs"
"$root/.venv/bin/python" "$root/scripts/demo_table.py" images/val.lmdb \
    experiments/demo_stage1/models/net_g_latest.pth experiments/demo_stage2/models/net_g_latest.pth demo.png
echo "The demo took $(((SECONDS - start) / 60)) min $(((SECONDS - start) % 60)) s after the set-up."
