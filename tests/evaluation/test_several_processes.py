"""``clit test`` under torchrun."""

from cli_process import torchrun
from evaluation_helpers import bicubic_options, results, scores
from train_helpers import write_yaml

from clit_plugin.commands.cli import main

_STUCK = '''
import os, time
from basicsr.utils.registry import ARCH_REGISTRY
from clit_plugin.archs import Bicubic

@ARCH_REGISTRY.register()
class Stuck(Bicubic):
    """Never returns on rank 1."""

    def upscale(self, *args, **kwargs):
        if os.environ["RANK"] == "1":
            time.sleep(600)
        return super().upscale(*args, **kwargs)
'''


def test_two_processes_store_the_same_results_as_one(place, commands):
    assert main(["test", "-opt", "test.yml"]) == 0
    alone = results(place)["tiny_x2"]
    done = torchrun(commands, place, "clit_plugin", "test", "-opt", "test.yml", "--again")
    assert done.returncode == 0, done.stderr[-2000:]
    both = results(place)["tiny_x2"]
    assert both["finished"] >= alone["finished"]
    assert both["metrics"] == alone["metrics"] and scores(both) == scores(alone)


def test_processes_end_when_one_of_them_is_stuck(place, commands):
    (place / "stuck.py").write_text(_STUCK)
    write_yaml(
        place / "stuck.yml", {**bicubic_options(place / "hr", "Stuck"), "custom_imports": {"imports": ["stuck"]}}
    )
    done = torchrun(commands, place, "clit_plugin", "test", "-opt", "stuck.yml", "--timeout", "0.2")
    assert done.returncode != 0
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("clit test: error: no process")]
    assert "has made progress for 0.2 minutes (--timeout)" in line
    assert line.endswith("stored results are kept, the same command continues from them")
    assert results(place) == {}
