"""The scripts for several machines and for slurm start a training, here with this machine as two nodes."""

import os
import subprocess
from pathlib import Path

import pytest
from failing_helpers import failing_options

ROOT = Path(__file__).parents[2]
_SLURM = {
    # Two nodes that are this machine.
    "srun": 'for node in 1 2; do "$@" & done; wait -n; first=$?; wait -n && exit $first',
    "scontrol": '[ "$*" = "show hostnames here,there" ] && echo localhost && sleep 1 && echo there',
}


def slurm(python, folder, *arguments):
    """``scripts/train_slurm.sh`` in ``folder``: two nodes of a process each, stand-ins for slurm's commands."""
    (folder / "bin").mkdir()
    for name, text in _SLURM.items():
        (folder / "bin" / name).write_text(f"#!/usr/bin/env bash\n{text}\n")
        (folder / "bin" / name).chmod(0o755)
    job = {"SLURM_JOB_ID": str(os.getpid()), "SLURM_JOB_NODELIST": "here,there", "SLURM_NNODES": "2"}
    job |= {"SLURM_GPUS_ON_NODE": "1", "SLURM_SUBMIT_DIR": str(folder), "CLIT_ROOT": str(ROOT)}
    place = {"PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "PYTHON": str(python), "PYTHON_EXEC": str(python)}
    command = ["bash", ROOT / "scripts/train_slurm.sh", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **job, **place}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=240)


def test_a_slurm_job_of_two_nodes_trains_on_both(tmp_path, commands):
    failing_options(tmp_path, workers=0, total_iter=4)
    done = slurm(commands / "python", tmp_path, "-opt", "failing.yml")
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-3000:]
    (log,) = tmp_path.glob("experiments/failing/train_failing_*.log")
    assert "World size (gpu number): 2" in log.read_text()
    assert (tmp_path / "experiments/failing/models/net_g_latest.pth").is_file()


@pytest.mark.parametrize("name", ["train_nodes.sh", "train_slurm.sh", "soak.sh", "gpu_check.sh"])
def test_training_scripts_are_valid_bash(name):
    subprocess.run(["bash", "-n", ROOT / "scripts" / name], check=True)


def test_too_few_arguments_are_reported():
    done = subprocess.run(["bash", ROOT / "scripts/train_nodes.sh", "2"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "expected NODES GPUS HEAD" in done.stderr
