"""Two and three processes train to what one process with the joint batch trains to."""

import pytest
import torch
from cli_process import torchrun
from train_helpers import stage_options, train, weights, write_images, write_yaml

STAGES = (1, 2, 3)
BATCH = 6
FILES = [f"s{stage}.yml" for stage in STAGES]


@pytest.fixture(scope="module")
def runs(tmp_path_factory, commands):
    """Folders of a chain of three stages trained by one process with batch 6 and two with 3 each, and of its first
    stage by three with 2 each.
    """
    root = tmp_path_factory.mktemp("ddp")
    images = write_images(root / "hr", 4, (96, 96))
    folders = {}
    for processes, name in enumerate(("one", "two", "three"), start=1):
        folder = folders[name] = root / name
        folder.mkdir()
        for stage, file in zip(STAGES, FILES, strict=True):
            options = stage_options(images, stage, name=f"s{stage}", total_iter=6, batch=BATCH // processes)
            options["logger"]["save_checkpoint_freq"] = 1
            options["datasets"]["train"] |= {"num_worker_per_gpu": int(file == "s1.yml" and processes == 2)}
            options["datasets"]["train"]["dataset_enlarge_ratio"] = 6
            write_yaml(folder / file, options)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folders["one"])
        assert train("-opt", *FILES) == 0
    for processes, name, files in ((2, "two", FILES), (3, "three", FILES[:1])):
        result = torchrun(commands, folders[name], "clit_plugin.train", "-opt", *files, processes=processes)
        assert result.returncode == 0, result.stdout[-1000:] + result.stderr[-3000:]
    return folders


@pytest.mark.parametrize(("run", "stage"), [("two", "s1"), ("two", "s2"), ("two", "s3"), ("three", "s1")])
def test_several_processes_train_to_the_weights_of_one_with_the_joint_batch(runs, run, stage):
    one, several = weights(runs["one"], stage), weights(runs[run], stage)
    start = weights(runs["one"], stage, "net_g_2.pth")
    assert one.keys() == several.keys()
    for key, value in one.items():
        torch.testing.assert_close(several[key], value, rtol=0, atol=4e-6, msg=key)
    moved = max((one[key] - start[key]).abs().max().item() for key in one)
    assert moved > 1e-4  # the agreement is about training, not about the start


@pytest.mark.parametrize("run", ["one", "two"])
def test_an_idle_branch_of_an_alternating_stage_is_updated_only_in_its_turn(runs, run):
    # Step 3 is the third batch of the first epoch and uses one branch, step 4 both.
    second, third, fourth = (weights(runs[run], "s2", f"net_g_{step}.pth") for step in (2, 3, 4))
    branch = [key for key in second if key.startswith("params.branches.1")]
    assert branch
    assert all(torch.equal(second[key], third[key]) for key in branch)
    assert not any(torch.equal(third[key], fourth[key]) for key in branch)


def test_two_processes_with_a_batch_in_parts_train_to_the_weights_of_one(runs, commands):
    folder = runs["two"]
    parts = ["name=parts", "train.accumulate=3", "datasets.train.num_worker_per_gpu=0"]
    result = torchrun(commands, folder, "clit_plugin.train", "-opt", "s1.yml", "--set", *parts)
    assert result.returncode == 0, result.stderr[-3000:]
    one, two = weights(runs["one"], "s1"), weights(folder, "parts")
    for key, value in one.items():
        torch.testing.assert_close(two[key], value, rtol=0, atol=2e-6, msg=key)


def test_bad_options_end_every_process_with_one_line(tmp_path, commands):
    write_yaml(tmp_path / "bad.yml", {**stage_options(tmp_path, 1, name="bad"), "nmae": "x"})
    result = torchrun(commands, tmp_path, "clit_plugin.train", "-opt", "bad.yml")
    assert result.returncode != 0
    assert "nmae: unknown key; did you mean name?" in result.stderr
    assert not (tmp_path / "experiments").exists()
