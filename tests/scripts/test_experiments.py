"""scripts/experiments: the list of jobs, and a job from training to its stored result."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from tiny_networks import TINY_NETWORK
from train_helpers import to_lmdb, write_images

from clit_plugin.config.option_checks import load_option_file

SCRIPTS = Path(__file__).parents[2] / "scripts" / "experiments"
sys.path.insert(0, str(SCRIPTS))
from jobs import read_jobs  # noqa: E402


@pytest.fixture
def photographs(tmp_path):
    """A tiny version of what scripts/photographs.sh makes."""
    for name in ("train", "held_out"):
        to_lmdb(write_images(tmp_path / "photographs" / name, 2, (64, 56)))
    return tmp_path / "photographs"


def run(python, tmp_path, photographs, jobs: dict) -> subprocess.CompletedProcess:
    file = tmp_path / "jobs.yml"
    defaults = {"base": "base.yml", "test": ["held_out"], "seeds": [0], "studies": ["systems"]}
    file.write_text(yaml.safe_dump({"defaults": defaults, "jobs": jobs}))
    (tmp_path / "base.yml").write_text(
        yaml.safe_dump({**yaml.safe_load((SCRIPTS / "studies.yml").read_text()), "network_g": TINY_NETWORK})
    )
    command = [python, str(SCRIPTS / "run.py"), "--jobs", str(file), "--photographs", str(photographs)]
    command += ["--output", str(tmp_path / "output"), "--results", str(tmp_path / "results")]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_job_is_trained_in_its_stages_and_its_scores_are_stored(tmp_path, photographs, commands):
    small = {"train": {"lq_size": 8, "batch_size_per_gpu": 2, "dataset_enlarge_ratio": 4}}
    stages = [{"steps": 2, "datasets": small}]
    stages += [{"steps": 3, "datasets": small, "network_g": {"num_branches": 2}, "scale_ranges": [[[1, 2]] * 2]}]
    done = run(commands / "python", tmp_path, photographs, {"tiny": {"stages": stages}})
    assert done.returncode == 0, done.stdout + (tmp_path / "output/logs/tiny_0.log").read_text()
    result = json.loads((tmp_path / "results/tiny_0.json").read_text())
    assert result["steps"] == 5
    assert result["network_g"]["num_branches"] == 2
    assert set(result["psnr"]["held_out"]) == {"x2", "x3", "x4", "x6", "x8", "x12"}
    again = run(commands / "python", tmp_path, photographs, {"tiny": {"stages": stages}})
    assert again.returncode == 0
    assert "started" not in again.stdout


def test_realistic_lr_of_the_held_out_photographs_is_a_separate_set(tmp_path, photographs, commands):
    job = {"network": {"type": "Bicubic", "kernel": "pil"}, "test": ["held_out", "realistic"]}
    assert run(commands / "python", tmp_path, photographs, {"cubic": job}).returncode == 0
    result = json.loads((tmp_path / "results/cubic_0.json").read_text())
    assert result["degradation"]["held_out"] == "pil"
    assert result["degradation"]["held_out_realistic"]["type"] == "realistic"
    assert result["psnr"]["held_out_realistic"]["x2"] < result["psnr"]["held_out"]["x2"]


def test_an_unknown_test_is_refused(tmp_path):
    (tmp_path / "jobs.yml").write_text(
        "defaults: {base: base.yml, seeds: [0], studies: []}\njobs: {a: {test: [photo]}}"
    )
    with pytest.raises(ValueError, match="a.test: unknown photo; known are benchmarks, held_out, realistic"):
        read_jobs(tmp_path / "jobs.yml")


def test_a_failed_job_is_named_and_the_others_continue(tmp_path, photographs, commands):
    bad = {"stages": [{"steps": 2, "network_g": {"num_heads": 5}}]}
    done = run(
        commands / "python",
        tmp_path,
        photographs,
        {"bad": bad, "cubic": {"network": {"type": "Bicubic", "kernel": "pil"}}},
    )
    assert done.returncode == 1
    assert "failed: bad_0" in done.stdout
    assert (tmp_path / "results/cubic_0.json").exists()


@pytest.mark.parametrize("job", [job for job in read_jobs() if job.seed == 0], ids=lambda job: job.system)
def test_option_files_of_every_job_are_valid(job, tmp_path):
    for number in range(len(job.stages)):
        file = tmp_path / "stage.yml"
        file.write_text(yaml.safe_dump(job.stage_options(number)))
        options = load_option_file(file, is_train=True).options
        assert options.train.total_iter == job.stages[number]["steps"]
