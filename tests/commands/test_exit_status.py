"""How a command ends: one line for every error, and the exit status."""

import importlib

import pytest
from torch.utils.data import DataLoader, Dataset

from clit_plugin.commands import cli
from clit_plugin.utils.errors import IncompleteError, UserError


def raising(error: BaseException):
    """A ``run`` that fails."""

    def run(args):
        raise error

    return run


def test_a_user_error_is_one_line_and_status_2(stub_command, capsys):
    stub_command(raising(UserError("a.yml: nmae: unknown key")))
    assert cli.run_command("train", []) == 2
    assert capsys.readouterr() == ("", "clit train: error: a.yml: nmae: unknown key\n")


def test_incomplete_work_is_one_line_and_status_1(stub_command, capsys):
    stub_command(raising(IncompleteError("images/0007.png: damaged")))
    assert cli.run_command("train", []) == 1
    assert capsys.readouterr().err == "clit train: error: images/0007.png: damaged\n"


def test_a_user_error_of_several_lines_is_joined_into_one(stub_command, capsys):
    stub_command(raising(UserError("a.yml: it failed\n  for a  reason\n\n")))
    cli.run_command("train", [])
    assert capsys.readouterr().err == "clit train: error: a.yml: it failed for a  reason\n"


class Failing(Dataset):
    """A data set with one bad image."""

    def __len__(self):
        return 2

    def __getitem__(self, index):
        raise UserError("images/0001.png: not a readable image: \N{EM DASH} replace it")


def test_a_user_error_in_a_dataloader_worker_is_reduced_to_its_message(stub_command, capsys):
    loader = DataLoader(Failing(), num_workers=1, multiprocessing_context="fork")
    stub_command(lambda args: list(loader))
    assert cli.run_command("train", []) == 2
    expected = "clit train: error: images/0001.png: not a readable image: \N{EM DASH} replace it\n"
    assert capsys.readouterr().err == expected


def test_an_unexpected_error_keeps_its_traceback(stub_command):
    stub_command(raising(ZeroDivisionError("a bug")))
    with pytest.raises(ZeroDivisionError):
        cli.run_command("train", [])


def test_a_failed_import_is_one_line_and_status_2(stub_command, capsys):
    stub_command(raising(ImportError("no tensorboard\nreally")))
    assert cli.run_command("train", []) == 2
    assert capsys.readouterr().err == "clit train: error: no tensorboard really\n"


def test_a_command_module_that_does_not_import_is_one_line(monkeypatch, capsys):
    def import_module(name):
        raise ModuleNotFoundError("No module named 'basicsr'", name="basicsr")

    monkeypatch.setattr(importlib, "import_module", import_module)
    assert cli.run_command("train", []) == 2
    assert capsys.readouterr().err == "clit train: error: No module named 'basicsr'\n"


def test_an_interrupted_training_explains_how_to_continue(stub_command, capsys):
    stub_command(raising(KeyboardInterrupt()))
    assert cli.run_command("train", []) == 130
    errors = capsys.readouterr().err
    assert errors.strip() == "clit train: interrupted; saved checkpoints are kept, --auto_resume continues from them"


def test_other_interrupted_commands_have_no_hint_at_auto_resume(stub_command, capsys):
    stub_command(raising(KeyboardInterrupt()), "convert")
    assert cli.run_command("convert", []) == 130
    assert capsys.readouterr().err.strip() == "clit convert: interrupted"
