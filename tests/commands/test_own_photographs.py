"""README's way from a folder of photographs to weights, a table and larger pictures, as printed there."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

from PIL import Image
from train_helpers import write_images

ROOT = Path(__file__).parents[2]
# The real training takes minutes.
SHORTER = (
    " --set train.total_iter=4 'train.scheduler.periods=[4]' val.val_freq=4 datasets.train.dataset_enlarge_ratio=1"
)


def printed_commands() -> list[str]:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    block = re.search(r"<!-- own photographs -->\n```bash\n(.*?)```\n<!-- /own photographs -->", text, re.DOTALL)
    return block[1].splitlines()


def test_five_printed_commands_lead_from_photographs_to_larger_pictures(tmp_path):
    write_images(tmp_path / "photos", 20, (140, 132))
    commands = printed_commands()
    assert len(commands) == 5
    (tmp_path / "bin").mkdir()
    clit = tmp_path / "bin" / "clit"
    clit.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m clit_plugin "$@"\n')
    clit.chmod(0o755)
    paths = {"PATH": f"{clit.parent}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    for command in commands:
        if command.startswith("clit train"):
            command += SHORTER
        done = subprocess.run(
            command, shell=True, cwd=tmp_path, env={**os.environ, **paths}, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    assert (tmp_path / "experiments/mine/models/net_g_latest.pth").is_file()
    assert (tmp_path / "results/mine/results.csv").read_text().count("\n") == 4
    assert (tmp_path / "report/report.html").is_file()
    with Image.open(tmp_path / "larger/0001.png") as image:
        assert image.size == (449, 476)
