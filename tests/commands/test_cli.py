"""The command: its help, its errors in one line, and what the package does when it is imported."""

import importlib
import json
import os
import subprocess
import sys
import types
from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from clit_plugin.commands import cli
from clit_plugin.utils import startup
from clit_plugin.utils.errors import IncompleteError, UserError

ROOT = Path(__file__).parents[2]


@pytest.fixture
def command(monkeypatch):
    """Put a module in the place of ``clit_plugin.commands.train``, whose ``run`` does what is given."""

    def replace(run):
        module = types.ModuleType("clit_plugin.commands.train")
        module.DESCRIPTION = "stub"
        module.add_arguments = lambda parser: parser.add_argument("--number", type=int, default=0)
        module.run = run
        monkeypatch.setitem(sys.modules, "clit_plugin.commands.train", module)

    return replace


def raising(error: BaseException):
    """A ``run`` that fails."""

    def run(args):
        raise error

    return run


def help_of(capsys, *arguments: str) -> str:
    """What a command prints before it exits with 0."""
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    assert caught.value.code == 0
    return " ".join(capsys.readouterr().out.split())


# ---------------------------------------------------------------------- help


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_lists_every_command_with_what_it_does(capsys, flag):
    text = help_of(capsys, flag)
    for name, meaning in cli.COMMANDS.items():
        assert f"{name} {' '.join(meaning.split())}" in text


def test_help_of_train_names_torchrun_and_auto_resume(capsys):
    text = help_of(capsys, "train", "--help")
    assert "torchrun --nproc_per_node=" in text
    assert "--auto_resume" in text
    assert "--set" in text


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_has_a_help_with_an_example(capsys, name):
    text = help_of(capsys, name, "--help")
    assert text.startswith(f"usage: clit {name}")
    assert f"clit {name}" in text.partition("example")[2]


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_option_files_named_in_a_help_exist(capsys, name):
    words = [word.strip("',") for word in help_of(capsys, name, "--help").split()]
    files = [word for word in words if word.startswith("options/") and word.endswith(".yml")]
    assert [file for file in files if not (ROOT / file).is_file()] == []


@pytest.mark.parametrize("arguments", [["trian"], [], ["--fast"]])
def test_an_unknown_command_exits_with_2_and_names_the_commands(capsys, arguments):
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    assert caught.value.code == 2
    errors = capsys.readouterr().err
    assert errors.startswith("usage: clit")
    assert "train" in errors or "COMMAND" in errors


def test_an_unknown_argument_exits_with_2(capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(["train", "-opt", "a.yml", "--fast"])
    assert caught.value.code == 2
    assert "clit train: error: unrecognized arguments: --fast" in capsys.readouterr().err


def test_a_command_without_option_file_exits_with_2(capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(["train"])
    assert caught.value.code == 2
    assert "-opt" in capsys.readouterr().err


# ---------------------------------------------------------------------- errors


def test_a_command_gets_its_arguments_and_gives_its_status(command):
    command(lambda args: args.number)
    assert cli.main(["train", "--number", "7"]) == 7


def test_arguments_are_those_of_the_process_by_default(command, monkeypatch):
    command(lambda args: args.number)
    monkeypatch.setattr(sys, "argv", ["clit", "train", "--number", "5"])
    assert cli.main() == 5


def test_bad_input_is_one_line_and_status_2(command, capsys):
    command(raising(UserError("a.yml: nmae: unknown key")))
    assert cli.run_command("train", []) == 2
    assert capsys.readouterr() == ("", "clit train: error: a.yml: nmae: unknown key\n")


def test_work_that_is_left_undone_is_one_line_and_status_1(command, capsys):
    command(raising(IncompleteError("images/0007.png: damaged")))
    assert cli.run_command("train", []) == 1
    assert capsys.readouterr().err == "clit train: error: images/0007.png: damaged\n"


def test_bad_input_of_several_lines_is_joined_into_one(command, capsys):
    command(raising(UserError("a.yml: it failed\n  for a  reason\n\n")))
    cli.run_command("train", [])
    assert capsys.readouterr().err == "clit train: error: a.yml: it failed for a  reason\n"


class Failing(Dataset):
    """A data set with one bad image."""

    def __len__(self):
        return 2

    def __getitem__(self, index):
        raise UserError("images/0001.png: not a readable image: \N{EM DASH} replace it")


def test_bad_input_in_a_loaders_worker_is_reduced_to_its_message(command, capsys):
    loader = DataLoader(Failing(), num_workers=1, multiprocessing_context="fork")
    command(lambda args: list(loader))
    assert cli.run_command("train", []) == 2
    expected = "clit train: error: images/0001.png: not a readable image: \N{EM DASH} replace it\n"
    assert capsys.readouterr().err == expected


def test_an_error_of_the_program_keeps_its_traceback(command):
    command(raising(ZeroDivisionError("a bug")))
    with pytest.raises(ZeroDivisionError):
        cli.run_command("train", [])


def test_an_import_that_fails_is_one_line_and_status_2(command, capsys):
    command(raising(ImportError("no tensorboard\nreally")))
    assert cli.run_command("train", []) == 2
    assert capsys.readouterr().err == "clit train: error: no tensorboard really\n"


def test_a_commands_module_that_does_not_import_is_one_line(monkeypatch, capsys):
    def import_module(name):
        raise ModuleNotFoundError("No module named 'basicsr'", name="basicsr")

    monkeypatch.setattr(importlib, "import_module", import_module)
    assert cli.run_command("train", []) == 2
    assert capsys.readouterr().err == "clit train: error: No module named 'basicsr'\n"


def test_an_interrupted_training_says_how_to_go_on(command, capsys):
    command(raising(KeyboardInterrupt()))
    assert cli.run_command("train", []) == 130
    errors = capsys.readouterr().err
    assert errors.strip() == "clit train: interrupted; what is saved stays: run again with --auto_resume"


def test_another_interrupted_command_has_no_such_hint(monkeypatch, capsys):
    module = types.ModuleType("clit_plugin.commands.convert")
    module.DESCRIPTION, module.add_arguments, module.run = "stub", lambda parser: None, raising(KeyboardInterrupt())
    monkeypatch.setitem(sys.modules, "clit_plugin.commands.convert", module)
    assert cli.run_command("convert", []) == 130
    assert capsys.readouterr().err.strip() == "clit convert: interrupted"


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_a_commands_module_runs_by_itself_as_well(name, capsys):
    module = cli.module_of(name)
    with pytest.raises(SystemExit) as caught:
        module.main(["--help"])
    assert caught.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: clit {name}")


# ---------------------------------------------------------------------- a fresh process


def python(code: str, *path: Path) -> subprocess.CompletedProcess:
    """Run Python code in a process of its own, with folders before all others on its path."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(map(str, [*path, ROOT]))}
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120, check=False
    )


REGISTRIES = """
import json
import clit_plugin
import basicsr.train
from basicsr.utils import registry
names = {"ARCH": [], "DATASET": [], "MODEL": [], "METRIC": []}
for name in names:
    names[name] = sorted(getattr(registry, name + "_REGISTRY").keys())
print(json.dumps({"pipeline": basicsr.train.train_pipeline.__name__, **names}))
"""


@pytest.fixture(scope="module")
def imported() -> dict:
    """What BasicSR knows in a process that has done no more than import the package."""
    result = python(REGISTRIES)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    return json.loads(result.stdout.splitlines()[-1])


def test_importing_the_package_makes_basicsr_train_importable(imported):
    assert imported["pipeline"] == "train_pipeline"


@pytest.mark.parametrize(
    ("registry", "name"),
    [
        ("ARCH", "CLIT"),
        ("DATASET", "ArbitraryScalePairedDataset"),
        ("MODEL", "CumulativeScaleModel"),
        ("METRIC", "psnr_float"),
        ("METRIC", "ssim_float"),
    ],
)
def test_importing_the_package_fills_basicsrs_registries(imported, registry, name):
    assert name in imported[registry]


def test_basicsrs_own_stay_registered(imported):
    assert {"EDSR", "RRDBNet"} <= set(imported["ARCH"])
    assert "SRModel" in imported["MODEL"]
    assert "calculate_psnr" in imported["METRIC"]


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


@pytest.fixture(scope="module")
def without_torch(tmp_path_factory) -> Path:
    """A folder with a torch and a BasicSR that do not import."""
    folder = tmp_path_factory.mktemp("without_torch")
    for name in ("torch", "torchvision", "basicsr"):
        (folder / f"{name}.py").write_text(f'raise ImportError("{name} was imported")\n')
    return folder


@pytest.mark.parametrize("arguments", [[], *([name] for name in cli.COMMANDS)], ids=" ".join)
def test_help_needs_neither_torch_nor_basicsr(without_torch, arguments):
    result = clit(*arguments, "--help", folder=without_torch)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith(f"usage: {' '.join(['clit', *arguments])} ")


def test_a_misspelt_option_is_told_without_torch(without_torch):
    result = clit("upscale", "--sclae", "2", folder=without_torch)
    assert result.returncode == 2
    assert "was imported" not in result.stderr


@pytest.mark.parametrize("module", ["clit_plugin", "clit_plugin.commands.cli"])
def test_the_package_runs_as_a_module_like_the_command(without_torch, module):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, [without_torch, ROOT]))}
    command = [sys.executable, "-m", module, "upscale", "--help"]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith("usage: clit upscale")


def test_a_command_without_basicsr_is_one_line_and_status_2(without_torch):
    result = clit("report", "results", folder=without_torch)
    assert result.returncode == 2
    assert result.stderr == "clit report: error: torch was imported\n"


SPAWNING = """
import multiprocessing
import sys
from clit_plugin.commands.cli import main

def registered(queue):
    from basicsr.utils.registry import ARCH_REGISTRY
    queue.put("CLIT" in ARCH_REGISTRY)

if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=registered, args=(queue,))
    process.start()
    print(queue.get(timeout=100))
    print("torch" in sys.modules)
"""


def test_processes_that_the_command_spawns_have_full_registries(tmp_path):
    (tmp_path / "clit").write_text(SPAWNING)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, tmp_path / "clit"]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert result.stdout.split() == ["True", "False"], result.stderr


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, {"GOMP_SPINCOUNT": "10000"}),
        ({"GOMP_SPINCOUNT": "7"}, {"GOMP_SPINCOUNT": "7"}),
        ({"OMP_WAIT_POLICY": "active"}, {"OMP_WAIT_POLICY": "active"}),
    ],
)
def test_the_spin_count_is_bounded_unless_the_user_has_chosen(monkeypatch, given, expected):
    names = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
    for name in names:
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    startup.bound_spinning()
    assert {name: os.environ[name] for name in names if name in os.environ} == expected
    monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)


def test_the_spin_count_is_bounded_before_torch_is_imported(tmp_path):
    (tmp_path / "torch.py").write_text("import os, sys\nsys.exit(os.environ.get('GOMP_SPINCOUNT'))\n")
    environment = {key: value for key, value in os.environ.items() if key not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    environment["PYTHONPATH"] = os.pathsep.join(map(str, [tmp_path, ROOT]))
    command = [sys.executable, "-c", "import clit_plugin"]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert result.stderr == "10000\n"


@pytest.fixture(scope="module")
def mismatched(tmp_path_factory) -> subprocess.CompletedProcess:
    """The command where torchvision is of another build than torch."""
    folder = tmp_path_factory.mktemp("mismatched")
    (folder / "torchvision").mkdir()
    error = 'raise RuntimeError("operator torchvision::nms does not exist")\n'
    (folder / "torchvision" / "__init__.py").write_text(error)
    return clit("train", "-opt", "a.yml", folder=folder)


def test_a_torchvision_of_another_build_fails_with_what_to_reinstall(mismatched):
    assert mismatched.returncode != 0
    last = mismatched.stderr.splitlines()[-1]
    assert f"torchvision does not import with torch {torch.__version__}" in last
    assert "(operator torchvision::nms does not exist)" in last
    assert last.endswith("Reinstall the two together: pip install --force-reinstall torch torchvision")


def test_a_torchvision_of_another_build_is_one_line_and_status_2(mismatched):
    assert mismatched.returncode == 2
    assert len(mismatched.stderr.splitlines()) == 1
