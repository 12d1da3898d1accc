"""Steps that are commands of their own, and the card that counts are for."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def counted() -> None:
    """What each case would cost, by ``clit benchmark --roofline``."""
    command = [sys.executable, "-m", "clit_plugin", "benchmark", "--roofline", "--card", card()]
    print(subprocess.run(command, cwd=ROOT, text=True, capture_output=True, check=True).stdout)


def tests() -> None:
    """The tests that use a GPU where there is one."""
    files = ["tests/models/test_captured_step.py", "tests/models/test_guarded_step.py"]
    command = [sys.executable, "-m", "pytest", "-q", *files]
    done = subprocess.run(command, cwd=ROOT, text=True, capture_output=True, check=False)
    print(f"```\n{done.stdout[-1500:]}\n```")
    if done.returncode:
        raise SystemExit(done.returncode)


def benchmark() -> None:
    """``clit benchmark --device cuda``."""
    command = [sys.executable, "-m", "clit_plugin", "benchmark", "--device", "cuda"]
    done = subprocess.run(command, cwd=ROOT, text=True, capture_output=True, check=False)
    print(done.stdout + (done.stderr[-600:] if done.returncode else ""))


def card() -> str:
    """The card of ``clit benchmark --roofline`` that is nearest to the GPU."""
    import torch

    return "a100" if torch.cuda.is_available() and "A100" in torch.cuda.get_device_name() else "h100"
