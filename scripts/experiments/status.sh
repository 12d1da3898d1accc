#!/usr/bin/env bash
# List which jobs are done, running or left, with estimated hours: scripts/experiments/status.sh [OUTPUT]
set -euo pipefail
root="$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd -P)"
bash "$root/scripts/setup.sh"
exec "$root/.venv/bin/python" "$root/scripts/experiments/status.py" "$@"
