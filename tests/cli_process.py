"""The command as a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
SCRIPT = "import sys\nfrom clit_plugin.commands.cli import main\nif __name__ == '__main__':\n    sys.exit(main())\n"


def clit(*arguments: str, folder: Path) -> subprocess.CompletedProcess:
    """Run the command by a console script like pip's, which is written to ``folder``; packages there come first."""
    (folder / "clit").write_text(SCRIPT)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(map(str, [folder, ROOT]))}
    return subprocess.run(
        [sys.executable, folder / "clit", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def torchrun(commands: Path, folder: Path, *arguments: str, processes: int = 2) -> subprocess.CompletedProcess:
    """``torchrun --nproc_per_node=... -m ARGUMENTS`` in ``folder``, on the CPU; ``commands`` is the fixture."""
    python = commands / "python"
    launcher = ["-m", "torch.distributed.run", f"--nproc_per_node={processes}", "--rdzv_backend=c10d"]
    launcher += ["--rdzv_endpoint=localhost:0", "-m"]
    environment = {**os.environ, "PYTHON_EXEC": str(python), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [python, *launcher, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
