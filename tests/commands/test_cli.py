"""The command line itself: its help, its arguments, and that neither needs torch."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from cli_process import ROOT, clit

from clit_plugin.commands import cli


def help_of(capsys, *arguments: str) -> str:
    """What a command prints before it exits with 0."""
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    assert caught.value.code == 0
    return " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_lists_every_command_with_its_description(capsys, flag):
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
    error = "clit train: error: unrecognized arguments: --fast; clit train --help lists the arguments\n"
    assert capsys.readouterr().err == error


def test_a_command_without_option_file_exits_with_2(capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(["train"])
    assert caught.value.code == 2
    assert "-opt" in capsys.readouterr().err


# ---------------------------------------------------------------------- arguments


def test_a_command_receives_its_arguments_and_returns_its_exit_status(stub_command):
    stub_command(lambda args: args.number)
    assert cli.main(["train", "--number", "7"]) == 7


def test_arguments_default_to_sys_argv(stub_command, monkeypatch):
    stub_command(lambda args: args.number)
    monkeypatch.setattr(sys, "argv", ["clit", "train", "--number", "5"])
    assert cli.main() == 5


# ---------------------------------------------------------------------- without torch


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


def test_a_misspelt_option_is_reported_without_importing_torch(without_torch):
    result = clit("upscale", "--sclae", "2", folder=without_torch)
    assert result.returncode == 2
    assert "was imported" not in result.stderr


@pytest.mark.parametrize(
    ("module", "name"), [("clit_plugin upscale", "upscale"), ("clit_plugin.train", "train")], ids=["package", "train"]
)
def test_the_package_runs_as_a_module_like_the_command(without_torch, module, name):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, [without_torch, ROOT]))}
    command = [sys.executable, "-m", *module.split(), "--help"]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith(f"usage: clit {name}")


def test_a_command_without_basicsr_is_one_line_and_status_2(without_torch):
    result = clit("report", "results", folder=without_torch)
    assert result.returncode == 2
    assert result.stderr == "clit report: error: torch was imported\n"
