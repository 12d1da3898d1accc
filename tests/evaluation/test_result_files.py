"""Results are read and written in the same stored form, and what is damaged is refused."""

import json
import math

import pytest

from clit_plugin.evaluation.result_files import read_result, settings_from_json, settings_to_json, write_result
from clit_plugin.utils.errors import UserError

IMAGE = {"image": "a/b", "lq_size": [20, 19], "gt_size": [41, 38], "scale": [2.05, 2.0], "shave": 3}
STORED = {
    "format": 1,
    "fingerprint": "1a2b3c4d5e6f",
    "name": "run",
    "set": "Set5_x2x2.05",
    "family": "Set5",
    "scale": [2.05, 2.0],
    "degradation": {"type": "realistic", "seed": 3},
    "protocol": {"name": "div2k", "channel": "RGB", "extra_shave": 6},
    "data_sha256": "0" * 64,
    "metrics": {"psnr": "inf", "ssim": 0.5},
    "weights": {"path": "w.pth", "sha256": "1" * 64, "param_key": "params"},
    "options": {"network_g": {"type": "CLIT"}, "metrics": {"psnr": {"type": "psnr_float"}}, "save_img": False},
    "versions": {"torch": "2"},
    "parameters": 12,
    "multiply_adds": 1.5e9,
    "device": "CPU",
    "finished": "2026-01-01T00:00:00+00:00",
    "images": [{**IMAGE, "metrics": {"psnr": "inf", "ssim": 0.5}, "seconds": 0.25}],
}


@pytest.fixture
def file(tmp_path):
    """A stored result."""
    file = tmp_path / "run" / "metrics" / "Set5.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps(STORED, indent=1) + "\n")
    return file


def test_a_result_that_is_read_and_written_again_has_the_same_bytes(file):
    result = read_result(file)
    assert result.metrics == {"psnr": math.inf, "ssim": 0.5}
    assert result.images[0].gt_size == (41, 38) and result.seconds_per_image == 0.25
    again = file.with_name("again.json")
    write_result(again, result)
    assert again.read_bytes() == file.read_bytes()


def test_settings_round_trip_through_json(file):
    settings = settings_to_json(read_result(file))
    assert settings["metrics"] == ["psnr"]
    assert settings_to_json(settings_from_json(json.loads(json.dumps(settings)))) == settings


def test_crop_files_that_exist_are_listed_in_the_result(file):
    assert read_result(file).crops == {}
    picture = file.parents[1] / "crops" / "Set5" / "a_b.png"
    picture.parent.mkdir(parents=True)
    picture.write_bytes(b"")
    assert read_result(file).crops == {"a/b": picture}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"format": 2}, "has format 2, but this version reads 1"),
        ({"images": []}, "no images"),
        ({"images": [{**IMAGE, "metrics": {}}]}, "metrics.psnr"),
        ({"images": [{**IMAGE, "metrics": {"psnr": 1}, "lq_size": [3]}]}, "ValueError"),
        ({"degradation": 3}, "degradation"),
        ({"family": None}, "family"),
        ({"weights": {"path": "w.pth"}}, "sha256"),
        ({"protocol": {"name": "div2k"}}, "channel"),
        ({"options": {"network_g": {"type": "CLIT", "encoder": "EDSR"}, "metrics": {}}}, "network_g"),
    ],
)
def test_a_damaged_result_is_refused_with_the_faulty_field(file, change, reason):
    file.write_text(json.dumps({**STORED, **change}))
    with pytest.raises(UserError, match=reason):
        read_result(file)
