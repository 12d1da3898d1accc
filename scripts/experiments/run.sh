#!/usr/bin/env bash
# Train and score all jobs of jobs.yml that have no result yet; scripts/experiments/run.sh --help says more.
set -euo pipefail
root="$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd -P)"
bash "$root/scripts/setup.sh"
exec "$root/.venv/bin/python" "$root/scripts/experiments/run.py" "$@"
