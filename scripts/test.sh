#!/usr/bin/env bash
# Sets up, then runs the linter, the formatter's check, the type checker, the import contract and the tests.
# Arguments go to pytest, with paths relative to the repository root: scripts/test.sh -k name
# Tests that take minutes are left out; scripts/test.sh -m slow runs these.
set -euo pipefail

cd "$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)"
# Let idle threads sleep soon: spinning ones stall each other in the tests that start several processes.
export GOMP_SPINCOUNT="${GOMP_SPINCOUNT:-10000}"
# One single-threaded process per core.
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
bash scripts/setup.sh

status=0
types="$(mktemp)"
trap 'rm -f "$types"' EXIT
.venv/bin/python -m mypy >"$types" 2>&1 & # takes half a minute, while the tests run
mypy=$!
for check in "ruff check ." "ruff format --check ."; do
    echo "== $check"
    # shellcheck disable=SC2086 # the words of $check are the command and its arguments
    if ! .venv/bin/python -m $check; then
        status=1
        echo "test.sh: '$check' failed; the exit status will be 1 whatever pytest says." >&2
    fi
done

echo "== lint-imports"
if ! .venv/bin/lint-imports; then
    status=1
    echo "test.sh: 'lint-imports' failed; the exit status will be 1 whatever pytest says." >&2
fi

echo "== pytest $*"
# Neighbouring tests stay in one process, so that a module's shared fixtures are built once.
.venv/bin/python -m pytest -n logical --dist worksteal "$@" || status=$?

echo "== mypy"
wait "$mypy" || status=1
cat "$types"
exit "$status"
