#!/usr/bin/env bash
# What is done, running and left, with hours: scripts/experiments/status.sh [OUTPUT]
set -euo pipefail
root="$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd -P)"
bash "$root/scripts/setup.sh"
exec "$root/.venv/bin/python" "$root/scripts/experiments/status.py" "$@"
