#!/usr/bin/env bash
# Train every system with the same small encoder, photographs, seeds and number of iterations, and print one table.
# usage: scripts/compare_systems.sh [FOLDER]     (default: compare_output in the repository)
# ITERATIONS (default 500) and SEEDS (default "0 1 2") set the budget: about 40 minutes on two CPU cores.
# After an interruption it resumes where it stopped; remove FOLDER to start again.
set -euo pipefail

case "${1:-}" in
    -h | --help)
        sed -n '2,5s/^# //p' "${BASH_SOURCE[0]}"
        exit 0
        ;;
esac

root="$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)"
mkdir -p "${1:-$root/compare_output}"
folder="$(CDPATH='' cd -- "${1:-$root/compare_output}" && pwd -P)"
iterations="${ITERATIONS:-500}"
read -ra seeds <<<"${SEEDS:-0 1 2}"
export GOMP_SPINCOUNT="${GOMP_SPINCOUNT:-10000}"

bash "$root/scripts/setup.sh"
cd "$folder"
"$root/.venv/bin/python" "$root/scripts/demo_data.py" images
for set in train val; do
    "$root/.venv/bin/clit" prepare "images/$set" -o "images/$set.lmdb" --convert
done

# Heads of similar width; the encoder is that of the demo.
encoder="encoder: {type: EDSRBaseline, num_feat: 32, num_block: 8}"
declare -A heads=(
    [MetaSR]="{_delete_: true, type: MetaSR, width: 64, $encoder}"
    [LIIF]="{_delete_: true, type: LIIF, decoder_hidden: [64, 64, 64, 64], $encoder}"
    [UltraSR]="{_delete_: true, type: UltraSR, width: 64, $encoder}"
    [IPE]="{_delete_: true, type: IPE, decoder_hidden: [64, 64, 64, 64], $encoder}"
    [LTE]="{_delete_: true, type: LTE, width: 64, decoder_hidden: [64, 64, 64], $encoder}"
    [LIT]="{$encoder}"
)

# train NAME ITERATIONS SEED OPTION_FILE [KEY=VALUE ...]
train() {
    local name="$1" total="$2" seed="$3" file="$4"
    shift 4
    "$root/.venv/bin/clit" train --auto_resume -opt "$root/options/train/$file" --set "name=$name" \
        "manual_seed=$seed" "train.total_iter=$total" "train.scheduler.periods=[$total]" "val.val_freq=$total" \
        "train.ema_decay=0" "logger.save_checkpoint_freq=200" "logger.use_tb_logger=false" "$@"
}

weights=()
for seed in "${seeds[@]}"; do
    for system in MetaSR LIIF UltraSR IPE LTE LIT; do
        echo "== $system, seed $seed"
        train "${system}_$seed" "$iterations" "$seed" demo_stage1.yml "network_g=${heads[$system]}"
        weights+=("$system=experiments/${system}_$seed/models/net_g_latest.pth")
    done
    # The cascade has the same number of iterations in all: two thirds for its first branch, one third for both.
    echo "== CLIT, seed $seed"
    train "CLIT1_$seed" "$((iterations * 2 / 3))" "$seed" demo_stage1.yml
    train "CLIT_$seed" "$((iterations - iterations * 2 / 3))" "$seed" demo_stage2.yml \
        "path.pretrain_network_g=experiments/CLIT1_$seed/models/net_g_latest.pth"
    weights+=("CLIT=experiments/CLIT_$seed/models/net_g_latest.pth")
done

"$root/.venv/bin/python" "$root/scripts/compare_table.py" images/val.lmdb "${weights[@]}" | tee table.md
