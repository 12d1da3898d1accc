#!/usr/bin/env bash
# Train under slurm, submitted from the repository's folder; arguments are those of clit train.
#   sbatch scripts/train_slurm.sh -opt options/train/edsr_stage{1,2,3}.yml --set datasets.train.batch_size_per_gpu=4
# Here 2 nodes of 4 GPUs: 8 processes with 4 images each are the paper's 32 per step. Change both numbers together.
#SBATCH --job-name=clit
#SBATCH --nodes=2
#SBATCH --gpus-per-node=4
# One torchrun per node, which starts a process for each GPU.
#SBATCH --ntasks-per-node=1
# For 4 trainers with num_worker_per_gpu: 8 workers each.
#SBATCH --cpus-per-task=36
#SBATCH --time=24:00:00
# Five minutes before the time is up Slurm sends a signal, and this script puts the job back into the queue.
#SBATCH --signal=B:USR1@300
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=%x_%j.log
set -euo pipefail

# slurm runs a copy of this file from elsewhere.
root="${CLIT_ROOT:-$SLURM_SUBMIT_DIR}"

# All nodes meet at the first of them. Ports below 32768 are not given to other connections; a job's own number keeps two
# jobs that share a node apart.
nodes="$(scontrol show hostnames "$SLURM_JOB_NODELIST")" # one per line
head="${nodes%%$'\n'*}:$((20000 + SLURM_JOB_ID % 10000))"
export RUN_ID="$SLURM_JOB_ID"

# A requeued job starts with the same arguments, and --auto_resume continues from the newest state: the steps since then
# are lost, at most logger.save_checkpoint_freq. A lost node also requeues the job.
trap 'echo "train_slurm.sh: time is up, back into the queue"; scontrol requeue "$SLURM_JOB_ID"' USR1

# In the background, as bash runs a trap only when no command is in front; "wait" ends at a signal, so that it is called
# again until srun itself has ended.
srun bash "$root/scripts/train_nodes.sh" "$SLURM_NNODES" "$SLURM_GPUS_ON_NODE" "$head" "$@" &
step=$!
status=0
wait "$step" || status=$?
while kill -0 "$step" 2>/dev/null; do
    status=0
    wait "$step" || status=$?
done
exit "$status"
