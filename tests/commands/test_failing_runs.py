"""A run that fails, or is stopped, ends soon and says why, with workers and under torchrun."""

import os
import signal
import subprocess
import sys
import time

import pytest
from failing_helpers import PATIENCE, end_of, failing_options, start_training, wait_for_state


def errors_in(errors):
    return [line for line in errors.splitlines() if "error: " in line and "clit train" in line]


def test_an_error_in_a_step_ends_a_run_with_workers_in_one_line(tmp_path):
    failing_options(tmp_path)
    status, errors = end_of(start_training(tmp_path, FAIL_HOW="raise"))
    assert status == 1
    (line,) = errors_in(errors)
    assert "failing: ArithmeticError: no more of this (failing_encoder.py:" in line
    assert "--auto_resume continues from them" in line
    assert "Traceback" not in errors
    (log,) = tmp_path.glob("experiments/failing/train_failing_*.log")
    assert 'raise ArithmeticError("no more of this")' in log.read_text()


def test_a_killed_worker_ends_the_run_in_one_line(tmp_path):
    failing_options(tmp_path)
    status, errors = end_of(start_training(tmp_path, FAIL_HOW="worker"))
    assert status == 1
    (line,) = errors_in(errors)
    assert "DataLoader worker (pid" in line and "killed by signal: Killed" in line


def test_a_damaged_training_image_ends_the_run_in_one_line(tmp_path):
    failing_options(tmp_path, size=200)
    image = tmp_path / "hr" / "0003.png"
    content = image.read_bytes()
    image.write_bytes(content[: len(content) // 2])  # the header, by which files are checked beforehand, is whole
    status, errors = end_of(start_training(tmp_path))
    assert status == 1
    (line,) = errors_in(errors)
    assert "0003.png" in line
    assert "Traceback" not in errors


@pytest.mark.parametrize(("rank", "workers"), [("0", 1), pytest.param("1", 0, marks=pytest.mark.slow)])
def test_a_rank_that_fails_ends_the_other(tmp_path, rank, workers):
    failing_options(tmp_path, workers=workers)
    status, errors = end_of(start_training(tmp_path, processes=2, FAIL_HOW="raise", FAIL_RANK=rank))
    assert status != 0
    (line,) = errors_in(errors)
    assert "no more of this" in line
    logs = tmp_path.glob("experiments/failing/*.log")  # rank 0's, which any run has, and that of a failure elsewhere
    assert any('raise ArithmeticError("no more of this")' in log.read_text() for log in logs)


def test_ctrl_c_under_torchrun_saves_the_current_step_and_ends_soon(tmp_path):
    failing_options(tmp_path)
    process = start_training(tmp_path, processes=2, STEP_TIME="0.3")
    wait_for_state(tmp_path, process)
    start = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, errors = end_of(process)
    assert time.monotonic() - start < 25  # torchrun itself waits for 30 seconds before it kills
    assert "interrupted; saved checkpoints are kept" in errors
    assert not errors_in(errors)


def test_a_signal_to_a_rank_that_does_not_save_stops_the_run(tmp_path):
    failing_options(tmp_path, workers=0)
    process = start_training(tmp_path, processes=2, STEP_TIME="0.3")
    wait_for_state(tmp_path, process)
    (second,) = [pid for pid in children_of(process.pid) if environment_of(pid).get("RANK") == "1"]
    os.kill(second, signal.SIGTERM)
    status, errors = end_of(process)
    assert status != 0
    assert "interrupted; saved checkpoints are kept" in errors


@pytest.mark.slow
def test_a_hanging_rank_ends_the_attempt_and_torchrun_resumes_from_the_newest_state(tmp_path):
    failing_options(tmp_path, workers=0, total_iter=6)
    # Without the last one, gloo gets the ports of the first attempt, and often fails to connect.
    how = {"FAIL_HOW": "hang", "FAIL_RANK": "1", "FAIL_ONCE": "yes", "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
    process = start_training(tmp_path, "--auto_resume", "--set", "train.timeout=0.2", processes=2, restarts=4, **how)
    status, errors = end_of(process)
    assert status == 0, errors[-3000:]
    (line,) = [line for line in errors_in(errors) if "train.timeout" in line]
    assert "no process has made progress for 0.2 minutes" in line
    logs = sorted(tmp_path.glob("experiments/failing/train_failing_*.log"))
    assert "Resuming training from epoch: 0, iter: 2" in logs[-1].read_text()
    assert (tmp_path / "experiments/failing/models/net_g_latest.pth").is_file()


def children_of(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(child) for child in file.read().split()]


def environment_of(pid):
    with open(f"/proc/{pid}/environ") as file:
        return dict(entry.split("=", 1) for entry in file.read().split("\0") if "=" in entry)


_OTHER_TRAINER = """
import clit_plugin
from clit_plugin.utils.signals import leave_signals_to_trainer
from torch.utils.data import DataLoader, Dataset

class Numbers(Dataset):
    def __len__(self):
        return 1000

    def __getitem__(self, index):
        leave_signals_to_trainer()
        return index

batches = iter(DataLoader(Numbers(), num_workers=2))
next(batches), next(batches)
raise ArithmeticError("no more of this")
"""


def test_a_users_own_program_that_fails_does_not_wait_for_workers(tmp_path):
    (tmp_path / "trainer.py").write_text(_OTHER_TRAINER)
    result = subprocess.run(
        [sys.executable, "trainer.py"], cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE
    )
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1] == "ArithmeticError: no more of this"
