"""Small images: which are refused, and what is logged about those that cap their batches."""

import re

import numpy as np
import pytest
from train_helpers import log_of, stage_options, train, write_images, write_yaml

from clit_plugin.data.arbitrary_scale_paired_dataset import ArbitraryScalePairedDataset
from clit_plugin.data.scale_reach import ScaleReach
from clit_plugin.utils.errors import UserError


def reach_of(*sides, lq_size=10, max_scale=4.0):
    """Of images of these heights, 9 pixels wider."""
    return ScaleReach(
        {f"{i}.png": (side, side + 9) for i, side in enumerate(sides)}, lq_size=lq_size, max_scale=max_scale
    )


def test_images_that_all_reach_the_largest_scale_are_not_mentioned():
    reach = reach_of(40, 41, 400)
    reach.check()
    assert reach.summary(16) is None


def test_the_summary_gives_the_number_of_small_images_the_smallest_and_the_share_of_batches():
    assert reach_of(*[40] * 8, 39, 20).summary(2) == (
        "2 of 10 training images are too small for x4, which needs sides of 40 pixels with lq_size 10; the smallest, "
        "9.png (29x20), allows x2.00. A batch's scale is capped by its smallest image: 36% of the batches of 2 contain "
        "one of these"
    )


def test_the_median_cap_of_the_batches_is_that_of_drawn_batches():
    rng = np.random.default_rng(0)
    sides = rng.integers(12, 60, 200)
    summary = reach_of(*sides).summary(8)
    drawn = np.median([min(rng.choice(sides, 8)) / 10 for _ in range(20000)])
    median = float(re.search(r"half of the batches are capped at x([\d.]+) or less", summary)[1])
    assert median == pytest.approx(drawn, abs=0.11)  # sides are whole pixels: steps of 0.1


@pytest.mark.parametrize(("side", "refused"), [(57, True), (58, False)])
def test_an_image_that_never_reaches_1_2_is_refused(side, refused):
    reach = reach_of(200, side, lq_size=48)
    if not refused:
        reach.check()
        return
    with pytest.raises(
        UserError, match=r"^1 of 2 images are too small for x1\.2, which needs sides of 58 .*1\.png \(66x57\);"
    ):
        reach.check()


def test_of_more_than_five_refused_images_the_rest_is_counted():
    with pytest.raises(UserError, match=r"^7 of 7 images .* 4\.png \(20x11\) and 2 more; remove them"):
        reach_of(*[11] * 7).check()


def test_a_schedule_whose_largest_scale_is_below_1_2_requires_only_that_scale():
    reach_of(11, max_scale=1.1).check()
    with pytest.raises(UserError, match=r"too small for x1\.1, which needs sides of 11"):
        reach_of(10, max_scale=1.1).check()


def test_a_training_refuses_too_small_images_before_it_writes(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    file = write_yaml(tmp_path / "s.yml", stage_options(write_images(tmp_path / "hr", 2, (40, 9)), 1, name="s"))
    assert train("-opt", file, "--set", "datasets.val.scale=1") == 2
    assert "datasets.train: 2 of 2 images are too small for x1.2" in capsys.readouterr().err
    assert not (tmp_path / "experiments").exists()


def test_a_training_logs_at_its_start_how_many_batches_are_capped(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    images = write_images(tmp_path / "hr", 2, (40, 44))  # x5 from crops of 8
    file = write_yaml(tmp_path / "s.yml", stage_options(images, 2, name="s", total_iter=1))
    assert train("-opt", file) == 0
    assert "WARNING: 2 of 2 training images are too small for x16" in log_of(tmp_path, "s")


def test_lr_and_hr_pairs_keep_their_own_scale(tmp_path):
    images = str(write_images(tmp_path / "hr", 1, (20, 22)))
    options = {"name": "pairs", "phase": "train", "dataroot_gt": images, "dataroot_lq": images, "lq_size": 18}
    dataset = ArbitraryScalePairedDataset({**options, "batch_size_per_gpu": 1})
    assert dataset.reach is None
