#!/usr/bin/env bash
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
clit=$root/.venv/bin/clit

usage() {
    cat <<END
usage: bash scripts/prepare_benchmarks.sh [DATA_FOLDER]

Make LMDBs of the benchmarks Set5, Set14, B100 and Urban100 that are in DATA_FOLDER (default: datasets in the
repository):

    DATA_FOLDER/
      Set5/
        HR/baby.png ...              -> Set5_HR.lmdb
        LR_bicubic/X2/babyx2.png ... -> Set5_LR_bicubic_X2.lmdb (optional; also X3, X4, X8, ...)
      Set14/ ...
      B100/ ...
      Urban100/ ...

  -h, --help  show this text

Missing parts are skipped. Grey images, as in Set14, become RGB. After an interruption, run it again: finished LMDBs are
kept, and it resumes where it stopped.
Exit status: 0 done, 1 some parts failed (named at the end), 2 nothing to prepare, 130 interrupted.
END
}

data=
for argument in "$@"; do
    case $argument in
        -h | --help) usage; exit 0 ;;
        -*) echo "prepare_benchmarks.sh: error: unknown option $argument; see --help" >&2; exit 2 ;;
        *)
            if [ -n "$data" ]; then
                echo "prepare_benchmarks.sh: error: more than one DATA_FOLDER: $data, $argument; see --help" >&2
                exit 2
            fi
            data=$argument ;;
    esac
done
data=${data:-$root/datasets}
data=${data%/}

found=0
failed=
# prepare PART: one folder below DATA_FOLDER; the LMDB takes its name from the path.
prepare() {
    local part=$1 output=${1//\//_}.lmdb status=0
    if [ ! -d "$data/$part" ]; then
        echo "skipped: $data/$part does not exist"
        return
    fi
    [ -x "$clit" ] || bash "$root/scripts/setup.sh"
    found=$((found + 1))
    echo "$data/$part -> $data/$output"
    "$clit" prepare --convert -o "$data/$output" -- "$data/$part" || status=$?
    [ "$status" -ne 130 ] || exit 130
    [ "$status" -eq 0 ] || failed="$failed $part"
}

for set in Set5 Set14 B100 Urban100; do
    prepare "$set/HR"
    for folder in "$data/$set"/LR_bicubic/X*/; do
        scale=$(basename "$folder")
        prepare "$set/LR_bicubic/$scale"
    done
done

if [ "$found" -eq 0 ]; then
    { echo "prepare_benchmarks.sh: error: no benchmark in $data; expected is:"; echo; usage; } >&2
    exit 2
fi
if [ -n "$failed" ]; then
    echo "prepare_benchmarks.sh: error: failed:$failed" >&2
    exit 1
fi
