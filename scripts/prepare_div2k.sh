#!/usr/bin/env bash
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
clit=$root/.venv/bin/clit

usage() {
    cat <<END
usage: bash scripts/prepare_div2k.sh [--sub-images] [DATA_FOLDER]

Make LMDBs of the parts of DIV2K that are in DATA_FOLDER (default: datasets/DIV2K in the repository):

    DATA_FOLDER/
      DIV2K_train_HR/0001.png ...              -> DIV2K_train_HR.lmdb
      DIV2K_valid_HR/0801.png ...              -> DIV2K_valid_HR.lmdb
      DIV2K_train_LR_bicubic/X2/0001x2.png ... -> DIV2K_train_LR_bicubic_X2.lmdb (also X3, X4)
      DIV2K_valid_LR_bicubic/X2/0801x2.png ... -> DIV2K_valid_LR_bicubic_X2.lmdb (also X3, X4)

  --sub-images  cut the training HR into overlapping crops of 480 x 480 (step 240), which load faster in training:
                DIV2K_train_HR_sub.lmdb instead of DIV2K_train_HR.lmdb
  -h, --help    show this text

Missing parts are skipped. After an interruption, run it again: finished LMDBs are kept, and it continues where it
stopped.
Exit status: 0 done, 1 some parts failed (named at the end), 2 nothing to prepare, 130 interrupted.
END
}

sub_images=no
data=
for argument in "$@"; do
    case $argument in
        -h | --help) usage; exit 0 ;;
        --sub-images) sub_images=yes ;;
        -*) echo "prepare_div2k.sh: error: unknown option $argument; see --help" >&2; exit 2 ;;
        *)
            if [ -n "$data" ]; then
                echo "prepare_div2k.sh: error: more than one DATA_FOLDER: $data, $argument; see --help" >&2
                exit 2
            fi
            data=$argument ;;
    esac
done
data=${data:-$root/datasets/DIV2K}
data=${data%/}

found=0
failed=
# prepare PART OUTPUT [OPTION...]: one folder below DATA_FOLDER.
prepare() {
    local part=$1 output=$2 status=0
    shift 2
    if [ ! -d "$data/$part" ]; then
        echo "skipped: $data/$part does not exist"
        return
    fi
    [ -x "$clit" ] || bash "$root/scripts/setup.sh"
    found=$((found + 1))
    echo "$data/$part -> $data/$output"
    "$clit" prepare "$@" -o "$data/$output" -- "$data/$part" || status=$?
    [ "$status" -ne 130 ] || exit 130
    [ "$status" -eq 0 ] || failed="$failed $part"
}

if [ "$sub_images" = yes ]; then
    prepare DIV2K_train_HR DIV2K_train_HR_sub.lmdb --sub-image 480 --step 240
else
    prepare DIV2K_train_HR DIV2K_train_HR.lmdb
fi
prepare DIV2K_valid_HR DIV2K_valid_HR.lmdb
for split in train valid; do
    for scale in X2 X3 X4; do
        prepare "DIV2K_${split}_LR_bicubic/$scale" "DIV2K_${split}_LR_bicubic_$scale.lmdb"
    done
done

if [ "$found" -eq 0 ]; then
    { echo "prepare_div2k.sh: error: no part of DIV2K in $data; expected is:"; echo; usage; } >&2
    exit 2
fi
if [ -n "$failed" ]; then
    echo "prepare_div2k.sh: error: failed:$failed" >&2
    exit 1
fi
