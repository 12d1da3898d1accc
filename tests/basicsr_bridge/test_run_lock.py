"""Two runs of one name, and runs that are started again before they have saved anything."""

import multiprocessing
import os
import shutil
import time

import pytest
from train_helpers import stage_options, train, write_images, write_yaml

from clit_plugin.basicsr_bridge.run_lock import lock_runs
from clit_plugin.models.cumulative_scale_model import CumulativeScaleModel
from clit_plugin.utils.errors import UserError


@pytest.fixture
def option_file(tmp_path, monkeypatch):
    """A tiny stage of 4 steps, in the working directory."""
    monkeypatch.chdir(tmp_path)
    images = write_images(tmp_path / "hr", 2, (40, 44))
    return write_yaml(tmp_path / "s1.yml", stage_options(images, 1, name="s1", total_iter=4))


def hold(folder, names, ready):
    with lock_runs(folder, names):
        ready.set()
        time.sleep(600)


@pytest.fixture
def other_process(tmp_path):
    """Starts a process that locks names below experiments/ until the test ends."""
    context = multiprocessing.get_context("fork")
    processes = []

    def lock(*names):
        ready = context.Event()
        process = context.Process(target=hold, args=(tmp_path / "experiments", names, ready))
        process.start()
        processes.append(process)
        assert ready.wait(20)
        return process

    yield lock
    for process in processes:
        process.kill()
        process.join()


def test_a_second_run_of_a_name_is_refused_with_the_owner_named_and_writes_nothing(
    option_file, tmp_path, other_process, capsys
):
    owner = other_process("s1")
    assert train("-opt", option_file) == 2
    errors = capsys.readouterr().err
    assert f"name: s1 is being trained by process {owner.pid} on {os.uname().nodename} since 20" in errors
    assert [path.name for path in (tmp_path / "experiments").iterdir()] == [".s1.lock"]


def test_runs_of_different_names_can_train_simultaneously(option_file, other_process):
    other_process("s2", "s")
    assert train("-opt", option_file) == 0


def test_a_lock_ends_with_its_process_even_if_that_is_killed(option_file, tmp_path, other_process):
    owner = other_process("s1")
    owner.kill()
    owner.join()
    assert (tmp_path / "experiments/.s1.lock").exists()
    assert train("-opt", option_file) == 0
    assert not (tmp_path / "experiments/.s1.lock").exists()


def test_a_failed_run_releases_its_lock(tmp_path):
    with pytest.raises(ValueError, match="x"), lock_runs(tmp_path, ["a/b"]):
        raise ValueError("x")
    with lock_runs(tmp_path, ["a/b"]):
        assert (tmp_path / "a/.b.lock").exists()
    assert list((tmp_path / "a").iterdir()) == []


def test_a_folder_that_cannot_be_written_to_is_reported(tmp_path):
    (tmp_path / "experiments").write_text("a file")
    with pytest.raises(UserError, match="cannot be written"), lock_runs(tmp_path / "experiments", ["s1"]):
        pass


def interrupt_at(monkeypatch, step):
    original = CumulativeScaleModel.optimize_parameters

    def optimize_parameters(self, current_iter):
        if current_iter == step:
            raise KeyboardInterrupt
        original(self, current_iter)

    monkeypatch.setattr(CumulativeScaleModel, "optimize_parameters", optimize_parameters)


@pytest.mark.parametrize("flags", [[], ["--auto_resume"]])
def test_restarts_before_the_first_checkpoint_leave_no_folders(option_file, tmp_path, monkeypatch, flags):
    settings = ["--set", "logger.use_tb_logger=true"]
    with monkeypatch.context() as patch:
        interrupt_at(patch, 2)
        for _ in range(3):
            assert train("-opt", option_file, *flags, *settings) == 130
    assert train("-opt", option_file, *flags, *settings) == 0
    assert [path.name for path in (tmp_path / "experiments").iterdir()] == ["s1"]
    assert [path.name for path in (tmp_path / "tb_logger").iterdir()] == ["s1"]
    assert len(list((tmp_path / "tb_logger/s1").glob("events.out.tfevents.*"))) == 1


def test_restarting_a_run_with_checkpoints_archives_its_folder(option_file, tmp_path):
    assert train("-opt", option_file) == 0
    shutil.copytree(tmp_path / "experiments/s1", tmp_path / "kept")
    assert train("-opt", option_file) == 0
    (archived,) = [path for path in (tmp_path / "experiments").iterdir() if "_archived_" in path.name]
    assert sorted(path.name for path in (archived / "models").iterdir()) == sorted(
        path.name for path in (tmp_path / "kept/models").iterdir()
    )
