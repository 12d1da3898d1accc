#!/usr/bin/env bash
# Train on several machines: start this on each of them, in the same folder of a shared file system.
# usage: scripts/train_nodes.sh NODES GPUS HEAD[:PORT] ARGUMENTS      (GPUS per node; HEAD: one of the nodes, port 29500)
#   For 2 nodes of 4 GPUs, with the paper's 32 images per step shared among the 8, on both:
#     scripts/train_nodes.sh 2 4 node-a -opt options/train/edsr_stage1.yml --set datasets.train.batch_size_per_gpu=4
# RUN_ID=NAME if two trainings use the same HEAD and port. RESTARTS=N: further attempts after a failure (default 3).
set -euo pipefail

case "${1:-}" in
    -h | --help | "")
        sed -n '2,6s/^# //p' "${BASH_SOURCE[0]}"
        exit 0
        ;;
esac
if (($# < 4)); then
    echo "train_nodes.sh: expected NODES GPUS HEAD and arguments of clit train; see --help" >&2
    exit 2
fi
nodes=$1 gpus=$2 head=$3
shift 3

root="$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)"
# Every attempt meets at a port of its own. Otherwise torchrun keeps one store for all of them, in which processes find
# the addresses of the attempt before: gloo then often fails to connect, and the nodes count their attempts differently.
export TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1
# Let idle threads sleep soon: spinning ones stall each other.
export GOMP_SPINCOUNT="${GOMP_SPINCOUNT:-10000}" OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"

# A failing process or a lost node ends the attempt on all nodes; the next one continues from the newest state
# (--auto_resume) as soon as enough nodes are available. If a process only hangs, train.timeout ends the attempt.
exec "${PYTHON:-$root/.venv/bin/python}" -m torch.distributed.run \
    --nnodes="$nodes" --nproc_per_node="$gpus" --max-restarts="${RESTARTS:-3}" \
    --rdzv_backend=c10d --rdzv_endpoint="$head" --rdzv_id="${RUN_ID:-clit}" \
    -m clit_plugin.train --auto_resume "$@"
