#!/usr/bin/env bash
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
clit=$root/.venv/bin/clit
python=$root/.venv/bin/python

usage() {
    cat <<END
usage: bash scripts/photographs.sh FOLDER

Make a training set and a held-out set of photographs under free licences: those that ship inside scikit-image, and
those among Debian's wallpapers, which are downloaded (about 170 MB) and unpacked, never installed:

    FOLDER/
      train/*.png     held_out/*.png
      train.lmdb      held_out.lmdb     for datasets.*.dataroot_gt
      CREDITS.md                        author, licence and source of each

scripts/photographs.csv lists the photographs: author, licence, source, SHA-256 of the original, set, reduction. They
were selected by eye: no artwork, gradients or logos, no scans of text, no microscopy, nothing blurred throughout, no
second copy of a scene, and nothing without a stated licence. The wallpapers are downscaled, to remove traces of JPEG and
demosaicing, by 3 if the short side keeps 700 pixels, else by 2; scikit-image's photographs are small already and are
not. The held-out set was fixed before any training and shares no scene with the training set.

The download needs Debian, or a derivative with these packages. A folder of your own photographs works as well:
    clit prepare --convert YOUR_FOLDER -o train.lmdb

  -h, --help  show this text

After an interruption, run it again: finished files are kept, and it resumes where it stopped.
Exit status: 0 done, 1 some photographs failed (named), 2 nothing to prepare, 130 interrupted.
END
}

# refuse MESSAGE: bad input, nothing written.
refuse() {
    echo "photographs.sh: error: $1" >&2
    exit 2
}
own="a folder of your own photographs works as well: clit prepare --convert YOUR_FOLDER -o train.lmdb"
need_apt() {
    local tool
    for tool in apt-get dpkg; do
        command -v "$tool" >/dev/null || refuse "$tool is not installed: the photographs come from Debian's packages; $own"
    done
}

folder=
for argument in "$@"; do
    case $argument in
        -h | --help) usage; exit 0 ;;
        -*) refuse "unknown option $argument; see --help" ;;
        *)
            [ -z "$folder" ] || refuse "more than one FOLDER: $folder, $argument; see --help"
            folder=$argument ;;
    esac
done
[ -n "$folder" ] || refuse "FOLDER is missing: where to write the photographs; see --help"
[ ! -e "$folder" ] || [ -d "$folder" ] || refuse "$folder is not a folder"
folder=${folder%/}
[[ $folder = /* ]] || folder=$PWD/$folder
trap 'exit 130' INT TERM

if [ ! -x "$clit" ]; then
    need_apt
    bash "$root/scripts/setup.sh"
fi

packages=$folder/packages
failed=
# unpack PACKAGE: download it and unpack it into $packages/PACKAGE, which appears when it is complete.
unpack() {
    local work=$packages/$1.partial status=0 log
    [ ! -d "$packages/$1" ] || return 0
    rm -rf "$work"
    mkdir -p "$work/root"
    echo "downloading $1"
    log=$(cd "$work" && { apt-get download "$1" && dpkg -x ./*.deb root; } 2>&1) || status=$?
    [ "$status" -ne 130 ] || exit 130
    if [ "$status" -ne 0 ]; then
        rm -rf "$work"
        log=$(grep -E '^E:|error' <<<"$log" | tail -n 1 || true)
        echo "photographs.sh: error: no $1 from apt (offline, or not in this system's lists: try 'apt-get update'):" \
            "${log#E: }; $own" >&2
        failed="$failed $1"
        return 0
    fi
    mv "$work/root" "$packages/$1"
    rm -rf "$work"
}

needed=$("$python" "$root/scripts/photographs.py" packages "$folder")
[ -z "$needed" ] || need_apt
for package in $needed; do
    unpack "$package"
    # If the first one fails, there is no network: one message is enough.
    [ "$failed" != " $package" ] || [ -n "$(ls "$packages")" ] || { rmdir "$packages"; exit 1; }
done

status=0
"$python" "$root/scripts/photographs.py" write "$folder" "$packages" || status=$?
[ "$status" -le 1 ] || exit "$status"
for set in train held_out; do
    "$clit" prepare --convert --overwrite -o "$folder/$set.lmdb" -- "$folder/$set" || exit $?
done
if [ "$status" -ne 0 ]; then
    echo "photographs.sh: error: some photographs are missing, see above; the sets contain the others" >&2
    exit 1
fi
rm -rf "$packages"
