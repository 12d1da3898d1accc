"""Two processes train to what one process with the joint batch trains to."""

import os
import subprocess
import sys

import pytest
import torch
from train_helpers import stage_options, train, weights, write_images, write_yaml


def torchrun(folder, *arguments):
    """``torchrun --nproc_per_node=2 -m clit_plugin.train`` in ``folder``, on the CPU."""
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--master_port=0"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    command = [*command, "--rdzv_backend=c10d", "--rdzv_endpoint=localhost:0", "-m", "clit_plugin.train", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=240)


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """Folders of a chain of two stages trained by one process with batch 4, and by two with batch 2 each."""
    root = tmp_path_factory.mktemp("ddp")
    images = write_images(root / "hr", 4, (96, 96))
    folders = {}
    for name, batch in (("one", 4), ("two", 2)):
        folder = folders[name] = root / name
        folder.mkdir()
        for stage in (1, 2):
            options = stage_options(images, stage, name=f"s{stage}", total_iter=6, batch=batch)
            options["logger"]["save_checkpoint_freq"] = 1
            options["datasets"]["train"]["num_worker_per_gpu"] = 1 if name == "two" else 0
            write_yaml(folder / f"s{stage}.yml", options)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folders["one"])
        assert train("-opt", "s1.yml", "s2.yml") == 0
    result = torchrun(folders["two"], "-opt", "s1.yml", "s2.yml")
    assert result.returncode == 0, result.stderr[-3000:]
    return folders


@pytest.mark.parametrize("stage", ["s1", "s2"])
def test_two_processes_train_to_the_weights_of_one_with_the_joint_batch(both, stage):
    one, two = weights(both["one"], stage), weights(both["two"], stage)
    start = weights(both["one"], stage, "net_g_2.pth")
    assert one.keys() == two.keys()
    for key, value in one.items():
        torch.testing.assert_close(two[key], value, rtol=0, atol=2e-6, msg=key)
    moved = max((one[key] - start[key]).abs().max().item() for key in one)
    assert moved > 1e-4  # the agreement is about training, not about the start


@pytest.mark.parametrize("run", ["one", "two"])
def test_the_idle_branch_of_an_alternating_stage_moves_in_its_turn_only(both, run):
    # Step 3 is the third batch of the first epoch and uses one branch, step 4 both.
    second, third, fourth = (weights(both[run], "s2", f"net_g_{step}.pth") for step in (2, 3, 4))
    branch = [key for key in second if key.startswith("params.branches.1")]
    assert branch
    assert all(torch.equal(second[key], third[key]) for key in branch)
    assert not any(torch.equal(third[key], fourth[key]) for key in branch)


def test_two_processes_with_a_batch_in_parts_train_to_the_weights_of_one(both):
    folder = both["two"]
    parts = ["name=parts", "train.accumulate=2", "datasets.train.num_worker_per_gpu=0"]
    result = torchrun(folder, "-opt", "s1.yml", "--set", *parts)
    assert result.returncode == 0, result.stderr[-3000:]
    one, two = weights(both["one"], "s1"), weights(folder, "parts")
    for key, value in one.items():
        torch.testing.assert_close(two[key], value, rtol=0, atol=2e-6, msg=key)


def test_bad_options_end_every_process_with_one_line(tmp_path):
    write_yaml(tmp_path / "bad.yml", {**stage_options(tmp_path, 1, name="bad"), "nmae": "x"})
    result = torchrun(tmp_path, "-opt", "bad.yml")
    assert result.returncode != 0
    assert "nmae: unknown key; did you mean name?" in result.stderr
    assert not (tmp_path / "experiments").exists()
