"""Training in a process of its own, with an encoder that fails on request."""

import os
import subprocess
import sys
import time
from pathlib import Path

from train_helpers import stage_options, write_images, write_yaml

PATIENCE = 150  # seconds to start, train a few steps and end, on a slow machine; a run that hangs takes for ever

_MODULE = '''
import os, signal, time
from torch import nn
from clit_plugin.archs.encoders import ENCODER_REGISTRY

@ENCODER_REGISTRY.register()
class Failing(nn.Conv2d):
    """Fails at its fourth training step on the rank FAIL_RANK, in the way FAIL_HOW; STEP_TIME slows every step.

    With FAIL_ONCE set, not where torchrun has started it again.
    """

    def __init__(self) -> None:
        super().__init__(3, 8, 3, padding=1)
        self.out_channels, self.steps = 8, 0

    def forward(self, x):
        self.steps += self.training
        if self.training:
            time.sleep(float(os.environ.get("STEP_TIME", "0")))
        if self.training and self.steps == 4 and os.environ.get("RANK", "0") == os.environ.get("FAIL_RANK", "0"):
            again = os.environ.get("FAIL_ONCE") and os.environ.get("TORCHELASTIC_RESTART_COUNT") != "0"
            how = None if again else os.environ.get("FAIL_HOW")
            if how == "raise":
                raise ArithmeticError("no more of this")
            if how == "worker":
                import multiprocessing
                os.kill(multiprocessing.active_children()[0].pid, signal.SIGKILL)
                time.sleep(60)
            if how == "hang":
                time.sleep(600)
            if how == "freeze":
                os.kill(os.getpid(), signal.SIGSTOP)
            if how == "die":
                os.kill(os.getpid(), signal.SIGKILL)
        return super().forward(x)
'''


def failing_options(folder: Path, *, workers: int = 1, total_iter: int = 10000, size: int = 40) -> Path:
    """An option file of a long run on the CPU, in ``folder``, whose encoder fails as environment variables say."""
    images = write_images(folder / "hr", 4, (size, size + 4))
    (folder / "failing_encoder.py").write_text(_MODULE)
    options = stage_options(images, 1, name="failing", total_iter=total_iter)
    options["custom_imports"] = {"imports": ["failing_encoder"]}
    options["network_g"]["encoder"] = {"type": "Failing"}
    options["datasets"]["train"] |= {"num_worker_per_gpu": workers, "dataset_enlarge_ratio": 10000}
    return Path(write_yaml(folder / "failing.yml", options))


def start_training(
    folder: Path, *arguments: str, processes: int = 1, restarts: int = 0, own_entry: bool = False, **environment: str
) -> subprocess.Popen:
    """Train ``failing.yml`` in ``folder``, under torchrun if there are several processes.

    Args:
        folder: The working directory.
        arguments: Of the command line.
        processes: How many.
        restarts: How often torchrun starts them again.
        own_entry: By BasicSR's ``train_pipeline`` in a script of two lines, instead of ``clit train``.
        environment: How it is to fail.
    """
    launcher = ["-m", "torch.distributed.run", f"--nproc_per_node={processes}", "--rdzv_backend=c10d"]
    launcher += ["--rdzv_endpoint=localhost:0", f"--max-restarts={restarts}"]
    command = [sys.executable, *(launcher if processes > 1 else [])]
    if own_entry:
        (folder / "train.py").write_text(
            "import clit_plugin\nfrom basicsr.train import train_pipeline\n\ntrain_pipeline('.')\n"
        )
        command += ["train.py", *(["--launcher", "pytorch"] if processes > 1 else [])]
    else:
        command += ["-m", "clit_plugin", "train"]
    return subprocess.Popen(
        [*command, "-opt", "failing.yml", *arguments],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def end_of(process: subprocess.Popen) -> tuple[int, str]:
    """The exit status and what stood on stderr."""
    try:
        _, errors = process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    return process.returncode, errors


def wait_for_state(folder: Path, process: subprocess.Popen) -> None:
    """Until the first state is written."""
    deadline = time.monotonic() + PATIENCE
    while not list(folder.glob("experiments/failing/training_states/*.state")):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.2)
