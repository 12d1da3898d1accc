"""Which sets ``clit test`` scores: scales, folders, degradations, and what it refuses."""

import numpy as np
import pytest
from evaluation_helpers import bicubic_options, results, scores
from PIL import Image
from train_helpers import write_yaml

from clit_plugin.commands.cli import main


@pytest.mark.parametrize(
    ("scale", "lq", "gt", "shave"),
    # By hand: LR is the floor of 41 / s by 38 / s, HR is cropped to LR times s, rounded; the shave is s rounded up.
    # Of 2x3.5 the width's comes first.
    [("1.5", [27, 25], [40, 38], 2), ("3.7", [11, 10], [41, 37], 4), ("2x3.5", [11, 19], [38, 38], 4)],
)
def test_sets_at_any_scale_have_the_documented_sizes(place, scale, lq, gt, shave):
    assert main(["test", "-opt", "test.yml", "--scales", scale]) == 0
    (result,) = results(place).values()
    image = result["images"][0]
    assert (image["lq_size"], image["gt_size"], image["shave"]) == (lq, gt, shave)


def test_a_missing_set_is_skipped_and_its_folder_named(place, capsys):
    content = bicubic_options(place / "hr")
    content["datasets"]["test_2"] = {**content["datasets"]["test"], "name": "gone_x2", "dataroot_gt": "no/such/HR"}
    write_yaml(place / "two.yml", content)
    assert main(["test", "-opt", "two.yml"]) == 1
    assert "gone_x2: looked for no/such/HR" in capsys.readouterr().err
    assert set(results(place)) == {"tiny_x2"}


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("alpha", "expected an 8-bit RGB image, got RGBA"),
        ("16-bit", "expected an 8-bit RGB image, got I;16"),
        ("tiny", "2x2 at x2 is too small for the protocol benchmark"),
    ],
)
def test_an_image_that_cannot_be_scored_is_refused_by_name(place, capsys, kind, reason):
    folder = place / "odd"
    folder.mkdir()
    rng = np.random.default_rng(0)
    arrays = {
        "alpha": rng.integers(0, 256, (30, 31, 4), dtype=np.uint8),
        "16-bit": rng.integers(0, 65536, (30, 31), dtype=np.uint16),
        "tiny": rng.integers(0, 256, (3, 3, 3), dtype=np.uint8),
    }
    Image.fromarray(arrays[kind]).save(folder / "odd.png")
    assert main(["test", "-opt", "test.yml", "--folder", f"tiny={folder}"]) == 2
    error = capsys.readouterr().err.strip()
    assert f"odd.png: {reason}" in error and error.count("\n") == 0
    assert not (place / "results").exists()


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["--folder", "m=hr", "m=lr", "--scales", "2"], "--folder: m is given twice, as hr and lr"),
        (["--scales", "2", "2.0000001"], "--scales: 2.0 and 2.0000001 are too close to distinguish"),
        (["--scales", "2x3", "2.0000001x3"], "--scales: 2.0x3.0 and 2.0000001x3.0 are too close to distinguish"),
    ],
)
def test_sets_that_would_share_a_name_are_refused(place, capsys, arguments, error):
    assert main(["test", "-opt", "test.yml", *arguments]) == 2
    assert error in capsys.readouterr().err


def test_a_scale_given_twice_is_tested_once(place):
    assert main(["test", "-opt", "test.yml", "--scales", "3", "3.0", "3x3"]) == 0
    assert list(results(place)) == ["tiny_x3"]


def test_a_realistic_test_is_reproducible(place):
    command = ["test", "-opt", "test.yml", "--degradation", "realistic", "--scales", "1.7x2.5"]
    assert main(command) == 0
    first = results(place)["tiny_x1.7x2.5"]
    assert first["degradation"]["type"] == "realistic" and first["degradation"]["seed"] == 0
    assert main([*command, "--again"]) == 0
    assert scores(results(place)["tiny_x1.7x2.5"]) == scores(first)


def test_an_inherited_kernel_is_replaced_by_a_realistic_degradation(place):
    write_yaml(
        place / "child.yml",
        {
            "_base_": "test.yml",
            "name": "child",
            "datasets": {"test": {"degradation": {"_delete_": True, "type": "realistic", "jpeg_prob": 0}}},
        },
    )
    assert main(["test", "-opt", "child.yml"]) == 0
    assert results(place, "child")["tiny_x2"]["degradation"]["jpeg_prob"] == 0


@pytest.mark.parametrize("minutes", ["0", "-1", "nan"])
def test_a_timeout_that_is_not_positive_is_refused(place, capsys, minutes):
    assert main(["test", "-opt", "test.yml", "--timeout", minutes]) == 2
    assert "--timeout: expected more than 0 minutes" in capsys.readouterr().err
