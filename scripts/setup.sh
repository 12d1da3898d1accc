#!/usr/bin/env bash
# Creates .venv in the repository root and installs everything into it. See --help.
set -euo pipefail

usage() {
    cat <<'EOF'
Usage: bash scripts/setup.sh

Creates .venv in the repository root and installs torch, torchvision, BasicSR, this package (editable, with the command
"clit") and the development tools into it. Works from any folder. Takes minutes the first time and less than a second
if nothing has changed; an interrupted set-up can be run again, and a broken .venv is rebuilt.

Environment:
  PYTHON      the Python to use, 3.10 to 3.12. Default: the first suitable one of python3, python3.11, python3.12, python3.10
  CLIT_TORCH  what pip installs in place of "torch torchvision": a matching pair, with pip's options if need be, e.g.
                CLIT_TORCH="torch==2.4.1 torchvision==0.19.1"
                CLIT_TORCH="torch torchvision --index-url https://download.pytorch.org/whl/cpu"   (no GPU: 0.3 GB)

Exit status: 0 done, 1 an installation failed, 2 no suitable Python or a wrong argument (nothing written).
EOF
}

refuse() {
    echo "setup.sh: $*" >&2
    exit 2
}

# Prints e.g. 3.11.7. Fails where the command is missing or does not run (a pyenv shim without its version).
version_of() {
    "$1" -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])' 2>/dev/null
}

# BasicSR 1.4.2 does not build on 3.13 (its issues 749 and 692).
supported() {
    case "$1" in
        3.10.* | 3.11.* | 3.12.*) return 0 ;;
        *) return 1 ;;
    esac
}

# Sets $base_python and $base_version, or refuses.
find_python() {
    local candidates=(python3 python3.11 python3.12 python3.10) candidate found="" without_venv=""
    [ -z "${PYTHON:-}" ] || candidates=("$PYTHON")
    for candidate in "${candidates[@]}"; do
        base_version=$(version_of "$candidate") || continue
        if ! supported "$base_version"; then
            found+="${found:+, }$candidate $base_version"
        elif ! "$candidate" -c 'import ensurepip, venv' 2>/dev/null; then
            without_venv=${without_venv:-$candidate}
        else
            base_python=$candidate
            return
        fi
    done
    [ -z "$without_venv" ] || refuse "$without_venv is suitable but lacks venv or ensurepip; install them" \
        "(Debian and Ubuntu: apt install python3-venv), or name another Python 3.10 to 3.12 with PYTHON=/path/to/python."
    found=${found:-none that runs${PYTHON:+ (PYTHON=$PYTHON)}}
    refuse "needs Python 3.10, 3.11 or 3.12, found $found; install one" \
        "(e.g. uv python install 3.12, or pyenv install 3.12) and name it: PYTHON=/path/to/python3.12 bash scripts/setup.sh"
}

# What the stamp holds; it changes when the set-up has to be done again. $1: the version of .venv's Python.
fingerprint() {
    { cat "$root/setup.py" "$root/scripts/setup.sh" && printf '%s\n' "$root" "$1" "${CLIT_TORCH:-}"; } | cksum
}

exit_if_up_to_date() {
    local version
    if version=$(version_of "$venv/bin/python") && fits_request "$version" && [ -x "$venv/bin/clit" ] &&
        [ "$(cat "$stamp" 2>/dev/null)" = "$(fingerprint "$version")" ]; then
        echo ".venv is up to date (Python $version)."
        exit 0
    fi
}

# The version in .venv ($1) is supported, and the one that PYTHON names if it is set.
fits_request() {
    supported "$1" && { [ -z "${PYTHON:-}" ] || [ "${1%.*}" = "${base_version%.*}" ]; }
}

# Fails where .venv has to be built, with the reason in $broken if there was one before.
usable() {
    local version
    broken=""
    [ -e "$venv/pyvenv.cfg" ] || return 1
    if ! version=$(version_of "$venv/bin/python"); then
        broken="its interpreter does not run"
    elif ! fits_request "$version"; then
        broken="it holds Python $version"
    elif [ -f "$location" ] && [ "$(cat "$location")" != "$venv" ]; then
        broken="it was made in another folder, and its commands name that one"
    elif ! "$venv/bin/python" -c 'import pip' 2>/dev/null; then
        broken="pip is missing in it"
    fi
    [ -z "$broken" ]
}

build_venv() {
    [ -z "$broken" ] || echo "Rebuilding .venv: $broken."
    # The lock stays: another set-up may wait on it.
    find "$venv/" -mindepth 1 -maxdepth 1 ! -name setup.lock -exec rm -rf {} +
    echo "Creating .venv with Python $base_version ..."
    "$base_python" -m venv "$venv"
}

# A package that pip was stopped at half-way looks installed to it, but INSTALLER, which pip writes last, is missing.
forget_half_installed() {
    find "$venv"/lib/python3*/site-packages -mindepth 1 -maxdepth 1 \
        \( -name '~*' -o -name '*.dist-info' ! -exec test -e '{}/INSTALLER' \; \) -exec rm -rf {} + 2>/dev/null || true
}

step=0
# $1: what is installed; the rest: arguments of pip install.
install() {
    local started=$SECONDS
    step=$((step + 1))
    printf '[%d/4] %s ... ' "$step" "$1"
    shift
    if ! "$venv/bin/python" -m pip install "$@" >>"$log" 2>"$log.errors"; then
        echo "failed"
        cat "$log.errors" >&2
        cat "$log.errors" >>"$log"
        echo "setup.sh: pip install $* failed (full log: $log). Fix it, then run setup.sh again: it continues here." >&2
        exit 1
    fi
    cat "$log.errors" >>"$log"
    rm -f "$log.errors"
    echo "$((SECONDS - started)) s"
}

check_import() {
    local started=$SECONDS output remedy
    printf 'Checking that clit_plugin imports ... '
    if output=$("$venv/bin/python" -I -c 'import clit_plugin' 2>&1); then
        echo "$((SECONDS - started)) s"
        return
    fi
    echo "failed"
    printf '%s\n' "$output" | tee -a "$log" >&2
    case "$output" in
        *libGL* | *libgthread* | *libglib*) remedy="OpenCV lacks system libraries: apt install libgl1 libglib2.0-0" ;;
        *torchvision* | *CUDA* | *libcu*) remedy="torch and torchvision do not match each other or this machine: delete \
.venv and run setup.sh again, if need be with CLIT_TORCH (see --help)" ;;
        *) remedy="if the code above is unchanged, delete .venv and run setup.sh again" ;;
    esac
    echo "setup.sh: the installed package does not import; $remedy." >&2
    exit 1
}

case "${1:-}" in
    "") ;;
    -h | --help)
        usage
        exit 0
        ;;
    *) refuse "unknown argument '$1'; see --help" ;;
esac

root=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
venv=$root/.venv
stamp=$venv/setup.stamp
location=$venv/setup.location
log=$venv/setup.log
base_python=""
base_version=""

# An activated .venv must not be what the new one is made from.
PATH=":$PATH:"
PATH=${PATH//":$venv/bin:"/:}
PATH=${PATH#:}
PATH=${PATH%:}

[ -z "${PYTHON:-}" ] || find_python
exit_if_up_to_date
usable || [ -n "$base_python" ] || find_python

mkdir -p "$venv"
if command -v flock >/dev/null; then
    exec 9>>"$venv/setup.lock"
    if ! flock -n 9; then
        echo "Another set-up is running in .venv; waiting for it ..."
        flock 9
        exit_if_up_to_date
    fi
fi

cd "$root"
rm -f "$stamp"
if ! usable; then
    [ -n "$base_python" ] || find_python
    build_venv
fi
printf '%s\n' "$venv" >"$location"
: >"$log"
forget_half_installed

export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PIP_PROGRESS_BAR=off PIP_USER=0
read -r -a torch_pair <<<"${CLIT_TORCH:-torch torchvision}"
install "torch and torchvision (about 3 GB with CUDA)" "${torch_pair[@]}"
install "build tools" "pip>=23.1" "setuptools>=68" wheel cython
# BasicSR's setup.py imports torch, numpy and cython: isolated, pip would download a second torch to build it.
install "BasicSR 1.4.2" --no-build-isolation basicsr==1.4.2
install "clit_plugin and the development tools" --no-build-isolation -e ".[dev]"
check_import

fingerprint "$(version_of "$venv/bin/python")" >"$stamp"
echo "Done. Use .venv/bin/clit, or activate it: source .venv/bin/activate"
