"""Validation images: cropping of HR, making of LR, names of results, published PSNR."""

import shutil

import numpy as np
import pytest
import torch
from dataset_helpers import train_set, val_set, write_images
from PIL import Image

from clit_plugin.metrics.float_metrics import psnr_float
from clit_plugin.metrics.protocol import EvaluationProtocol
from clit_plugin.utils.errors import UserError


@pytest.mark.parametrize(
    ("scale", "lq_size", "gt_size"),
    [
        (1, (35, 32), (35, 32)),
        (2, (17, 16), (34, 32)),
        (3, (11, 10), (33, 30)),
        (3.4, (10, 9), (34, 31)),
        ([2, 3.5], (17, 9), (34, 32)),  # 31.5 rounds to the even 32
        ([3.5, 2], (10, 16), (35, 32)),
        (16, (2, 2), (32, 32)),
        (32, (1, 1), (32, 32)),
    ],
)
def test_hr_is_cut_to_what_the_scaled_lr_covers(tmp_path, scale, lq_size, gt_size):
    root = write_images(tmp_path / "hr", (35, 32))
    item = val_set(root, scale=scale)[0]
    assert (tuple(item["lq"].shape), tuple(item["gt"].shape)) == ((3, *lq_size), (3, *gt_size))
    image = Image.open(root / "0001.png").crop((0, 0, gt_size[1], gt_size[0]))
    expected = np.asarray(image.resize(lq_size[::-1], Image.Resampling.BICUBIC))
    assert np.array_equal((item["lq"].permute(1, 2, 0) * 255).round().numpy(), expected)
    assert np.array_equal((item["gt"].permute(1, 2, 0) * 255).round().numpy(), np.asarray(image))
    assert item["scale"].tolist() == (scale if isinstance(scale, list) else [scale, scale])


@pytest.mark.parametrize("side", [29, 30, 31, 99, 100, 101])
@pytest.mark.parametrize("scale", [1.1, 2.5, 3.3, 3.4, 7.7])
def test_fractional_scales_leave_less_than_one_lr_pixel_of_hr(tmp_path, side, scale):
    item = val_set(write_images(tmp_path / "hr", (side, side)), scale=scale)[0]
    lq, gt = item["lq"].shape[-1], item["gt"].shape[-1]
    assert lq * scale <= side + 1e-6 < (lq + 1) * scale + 1e-6
    assert gt == round(lq * scale) <= side


def test_an_image_that_has_no_lr_pixel_at_the_scale_is_refused(tmp_path):
    root = write_images(tmp_path / "hr", (35, 32))
    with pytest.raises(UserError, match=r"0001\.png: 32x35 is smaller than the crop of 33x33.*smaller scale"):
        val_set(root, scale=33)


@pytest.mark.parametrize(
    ("scale", "name"), [(2, "0001x2.png"), (2.0, "0001x2.png"), (3.4, "0001x3.4.png"), ([2, 3.5], "0001x3.5x2.png")]
)
def test_results_are_named_after_the_image_and_the_scale(hr, scale, name):
    item = val_set(hr, scale=scale)[0]
    assert (item["lq_path"], item["gt_path"]) == (name, str(hr / "0001.png"))


def test_images_of_different_subfolders_get_different_result_names(tmp_path):
    for folder in ("a", "b"):
        write_images(tmp_path / "hr" / folder, (32, 32))
    dataset = val_set(tmp_path / "hr", scale=2)
    assert [dataset[i]["lq_path"] for i in range(2)] == ["a_0001x2.png", "b_0001x2.png"]


def test_given_lr_images_are_used_as_they_are(pairs):
    hr, lr = pairs
    item = val_set(hr, dataroot_lq=str(lr), filename_tmpl="{}x2")[1]
    assert np.array_equal(
        (item["lq"].permute(1, 2, 0) * 255).round().numpy(), np.asarray(Image.open(lr / "0002x2.png"))
    )
    assert tuple(item["gt"].shape) == (3, 35, 32)
    assert item["scale"].tolist() == [35 / 14, 32 / 13]
    assert item["lq_path"] == "0002x2.png"  # BasicSR names the result after it


def test_with_a_scale_hr_is_cut_to_what_the_given_lr_covers(tmp_path):
    hr, lr = write_images(tmp_path / "hr", (35, 32)), write_images(tmp_path / "lr", (17, 16))
    item = val_set(hr, dataroot_lq=str(lr), scale=2)[0]
    assert tuple(item["gt"].shape) == (3, 34, 32)
    assert item["scale"].tolist() == [2, 2]


@pytest.mark.parametrize(("most", "count"), [(1, 1), (4, 4), (5, 5), (9, 5), (None, 5)])
def test_only_the_first_images_are_validated_on_request(hr, most, count):
    dataset = val_set(hr, scale=2, max_images=most)
    assert len(dataset) == count
    assert dataset[count - 1]["gt_path"].endswith(f"{count:04}.png")


def test_the_cache_of_a_validation_set_gives_the_same_images(pairs):
    hr, lr = pairs
    options = {"dataroot_lq": str(lr), "filename_tmpl": "{}x2", "max_images": 3}
    expected = [val_set(hr, **options)[i] for i in range(3)]
    dataset = val_set(hr, cache=True, **options)
    shutil.rmtree(hr)
    shutil.rmtree(lr)
    for i in range(3):
        assert all(torch.equal(dataset[i][key], expected[i][key]) for key in ("lq", "gt", "scale"))


def test_validation_sets_have_a_protocol_and_training_sets_none(hr):
    assert val_set(hr, scale=2, protocol="div2k").protocol == EvaluationProtocol.named("div2k")
    assert train_set(hr).protocol is None


@pytest.mark.parametrize(("scale", "psnr"), [(2, 33.673), (3, 30.403), (4, 28.429)])
def test_bicubic_interpolation_of_set5_has_the_known_psnr(shared, scale, psnr):
    dataset = val_set(shared / "data" / "benchmarks" / "Set5" / "HR", scale=scale, protocol="benchmark")
    assert len(dataset) == 5
    total = 0.0
    for i in range(5):
        item = dataset[i]
        lq = Image.fromarray((item["lq"].permute(1, 2, 0) * 255).round().byte().numpy())
        size = item["gt"].shape[2], item["gt"].shape[1]
        sr = np.asarray(lq.resize(size, Image.Resampling.BICUBIC)).astype(np.float32) / 255
        sr = torch.from_numpy(sr).permute(2, 0, 1)
        total += psnr_float(sr[None], item["gt"][None], **dataset.protocol.metric_options(scale))
    assert total / 5 == pytest.approx(psnr, abs=0.005)
