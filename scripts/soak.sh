#!/usr/bin/env bash
# Stress test of training: kills, thousands of batches, failures. Prints a page of results and writes it to soak.md.
# usage: scripts/soak.sh [--quick] [--parts PART ...] [--kills N] [--batches N] [--out FILE]
#   20 SIGKILLs, each followed by a resume; memory and open files over 10,000 batches; runs and checkpoints that fail.
#   --quick: one kill, 200 batches, one failure of each kind. Exit status: 0 all as expected, 1 not: see NO in the page.
set -euo pipefail

case "${1:-}" in
    -h | --help)
        sed -n '2,5s/^# //p' "${BASH_SOURCE[0]}"
        exit 0
        ;;
esac

root="$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)"
export GOMP_SPINCOUNT="${GOMP_SPINCOUNT:-10000}" OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
export PYTHONPATH="$root:$root/tests${PYTHONPATH:+:$PYTHONPATH}"
exec "${PYTHON:-$root/.venv/bin/python}" "$root/scripts/soak/run.py" "$@"
