"""BasicSR's own training entry is guarded as ``clit train`` is: one training per run, interruptible, one error line."""

import signal

import torch
from failing_helpers import end_of, failing_options, start_training, wait_for_state

from clit_plugin.basicsr_bridge.run_lock import lock_runs


def test_a_run_that_is_being_trained_elsewhere_is_refused(tmp_path):
    failing_options(tmp_path)
    with lock_runs(tmp_path / "experiments", ["failing"]):
        status, errors = end_of(start_training(tmp_path, own_entry=True))
    assert status == 2
    assert "train.py: error: name: failing is being trained by process " in errors
    assert "Traceback" not in errors
    assert not (tmp_path / "experiments" / "failing").exists()


def test_ctrl_c_saves_the_running_step(tmp_path):
    failing_options(tmp_path)
    process = start_training(tmp_path, own_entry=True, STEP_TIME="0.3")
    wait_for_state(tmp_path, process)
    process.send_signal(signal.SIGINT)
    status, errors = end_of(process)
    assert status == 130
    assert errors.endswith("train.py: interrupted; saved checkpoints are kept, --auto_resume continues from them\n")
    states = tmp_path.glob("experiments/failing/training_states/*.state")
    newest = max(int(state.stem) for state in states)
    saved = torch.load(tmp_path / f"experiments/failing/models/net_g_{newest}.pth", weights_only=True)
    assert saved["iter"] == newest


def test_a_rank_that_fails_ends_the_other_with_one_line(tmp_path):
    failing_options(tmp_path, workers=0)
    process = start_training(tmp_path, processes=2, own_entry=True, FAIL_HOW="raise", FAIL_RANK="1")
    status, errors = end_of(process)
    assert status != 0
    (line,) = [line for line in errors.splitlines() if "train.py: error: " in line]
    assert "failing: ArithmeticError: no more of this (failing_encoder.py:" in line
