"""What only a GPU can tell: whether the fused kernels agree there, what a training step takes, the benchmark.

    python scripts/gpu_check.py --out gpu.md

Every step is a process of its own with its own time limit, so that nothing hangs or stops the rest; the page is written
as the steps end. ``--minutes`` bounds the whole: a step that would begin later is left out, and the page says so.
``--step`` runs some steps only. Without a GPU the page has what is counted, and names the steps that are left out.
"""

import argparse
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from gpu_steps import STEPS

ROOT = Path(__file__).resolve().parents[1]
LIMITS = {
    "counted": 300,
    "tests": 200,
    "agreement": 150,
    "gradients": 100,
    "steps": 200,
    "images": 120,
    "kernels": 60,
    "small": 90,
    "tiles": 120,
    "benchmark": 240,
}
WITHOUT_GPU = ["counted"]
DEFAULT = ["counted", "tests", "agreement", "gradients", "steps", "images", "kernels", "small", "benchmark"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("gpu_check.md"), help="the page (default: gpu_check.md)")
    parser.add_argument("--minutes", type=float, default=15.0, help="for all steps (default: 15)")
    parser.add_argument("--step", nargs="+", choices=list(LIMITS), default=DEFAULT, help="default: all but tiles")
    parser.add_argument("--child", choices=list(LIMITS), help=argparse.SUPPRESS)
    args = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    if args.child:
        import logging

        logging.basicConfig(level=logging.WARNING, stream=sys.stdout, format="%(message)s\n")
        STEPS[args.child]()
        return 0
    import torch

    gpu = torch.cuda.is_available()
    end = time.monotonic() + 60 * args.minutes
    page = f"# {torch.cuda.get_device_name() if gpu else 'No GPU: counted only'}, torch {torch.__version__}\n"
    failed = False
    left_out = [] if gpu else [name for name in args.step if name not in WITHOUT_GPU]
    if left_out:
        page += f"\nLeft out, as torch finds no GPU: {', '.join(left_out)}\n"
        print(page, flush=True)
    for name in [name for name in args.step if name not in left_out]:
        limit = min(LIMITS[name], end - time.monotonic())
        page += f"\n## {name}\n\n{STEPS[name].__doc__}\n\n"
        start = time.monotonic()
        if limit < 15:
            page, failed = page + "left out: no time left\n", True
        else:
            output, status = child(name, limit)
            failed |= status != "done"
            page += f"{output.strip()}\n\n({status}, {time.monotonic() - start:.0f} s)\n"
        args.out.write_text(page, encoding="utf-8")
        print(page[page.rindex("\n## ") :], flush=True)
    args.out.write_text(page, encoding="utf-8")
    return int(failed or bool(left_out))


def child(name: str, limit: float) -> tuple[str, str]:
    """What a step prints, and how it ended."""
    command = [sys.executable, "-u", str(Path(__file__).resolve()), "--child", name]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "start_new_session": True}
    with subprocess.Popen(command, cwd=ROOT, text=True, **pipes) as process:
        try:
            output, errors = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # with the processes that it has started
            output, errors = process.communicate()
            return output, f"stopped after {limit:.0f} s"
    if process.returncode:
        return f"{output}\n```\n{errors[-1500:]}\n```", f"failed with {process.returncode}"
    return output, "done"


if __name__ == "__main__":
    sys.exit(main())
