#!/usr/bin/env bash
# Sets up, then checks and times on a GPU what only a GPU can tell, and writes one Markdown page.
# Arguments are those of gpu_check.py: scripts/gpu_check.sh --out gpu.md --minutes 9
set -euo pipefail

cd "$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)"
bash scripts/setup.sh
exec .venv/bin/python scripts/gpu_check.py "$@"
