"""Given LR images: how they pair up with HR, and what samples of them contain."""

import numpy as np
import pytest
from dataset_helpers import total_scale, train_set, val_set, write_images
from PIL import Image

from clit_plugin.utils.errors import UserError


def test_training_pairs_keep_their_own_scale(pairs):
    hr, lr = pairs
    dataset = train_set(hr, dataroot_lq=str(lr), filename_tmpl="{}x2")
    item = dataset[1]  # 35x32 over 14x13
    assert sorted(total_scale({"cell": item["cell"][None]})) == pytest.approx(sorted([35 / 14, 32 / 13]), rel=1e-5)
    assert item["stage_sizes"].shape == (0, 2)
    assert (item["gt_path"], item["lq_path"]) == (str(hr / "0002.png"), str(lr / "0002x2.png"))


def test_the_lr_crop_of_a_pair_is_cut_from_the_given_file(pairs):
    hr, lr = pairs
    options = {"use_hflip": False, "use_vflip": False, "use_rot": False}
    item = train_set(hr, dataroot_lq=str(lr), filename_tmpl="{}x2", **options)[2]
    patch = (item["lq"].permute(1, 2, 0) * 255).round().numpy().astype(np.uint8)
    image = np.asarray(Image.open(lr / "0003x2.png"))
    crops = np.lib.stride_tricks.sliding_window_view(image, (8, 8, 3))[:, :, 0]
    assert (crops == patch).all((2, 3, 4)).any()


def test_the_first_branch_of_a_pair_gets_the_drawn_scale_clipped_to_the_pair_s(pairs):
    hr, lr = pairs
    for low, grid in ((1.5, 12), (4.0, 20)):  # of the pair's 2.5 or so
        options = {"scale_ranges": [[[low, low], [1, 4]]], "dataroot_lq": str(lr), "filename_tmpl": "{}x2"}
        assert train_set(hr, **options)[2]["stage_sizes"].tolist() == [[grid, grid]]  # 33x33 over 13x13


def test_an_lr_image_smaller_than_the_crop_is_refused(pairs):
    hr, lr = pairs
    with pytest.raises(UserError, match=r"0001x2\.png: 16x13 is smaller than the crop of 14x14"):
        train_set(hr, dataroot_lq=str(lr), filename_tmpl="{}x2", lq_size=14)


@pytest.mark.parametrize("make", [train_set, val_set])
def test_an_hr_image_without_its_lr_image_is_named(pairs, make):
    hr, lr = pairs
    (lr / "0003x2.png").unlink()
    with pytest.raises(
        UserError, match=r"0003\.png: no LR image named 0003x2 in .*lr; check filename_tmpl \('\{\}x2'\)"
    ):
        make(hr, dataroot_lq=str(lr), filename_tmpl="{}x2")


@pytest.mark.parametrize("make", [train_set, val_set])
@pytest.mark.parametrize("lr_size", [(14, 33), (36, 12)])
def test_a_pair_whose_lr_image_is_the_larger_is_refused(tmp_path, make, lr_size):
    hr, lr = write_images(tmp_path / "hr", (35, 32)), write_images(tmp_path / "lr", lr_size)
    with pytest.raises(UserError, match=rf"lr/0001\.png: {lr_size[1]}x{lr_size[0]} is larger than its HR image, 32x35"):
        make(hr, dataroot_lq=str(lr))


@pytest.mark.parametrize(
    ("lr_size", "scale", "fits"),
    [
        ((17, 16), 2, True),
        ((18, 16), 2, False),  # 36 of 35 rows
        ((16, 16), 2, False),  # 35 rows would make one more
        ((17, 17), 2, False),
        ((17, 15), 2, True),  # 30 of 32 columns, as where a border was cut
        ((17, 14), 2, False),
        ((17, 9), [2, 3.5], True),
        ((17, 9), [3.5, 2], False),
        ((10, 9), 3.4, True),
        ((10, 10), 3.4, False),
    ],
)
def test_given_lr_images_must_have_the_size_of_the_scale(tmp_path, lr_size, scale, fits):
    hr, lr = write_images(tmp_path / "hr", (35, 32)), write_images(tmp_path / "lr", lr_size)
    if fits:
        assert val_set(hr, dataroot_lq=str(lr), scale=scale)[0]["lq"].shape[-2:] == lr_size
    else:
        message = rf"lr/0001\.png: {lr_size[1]}x{lr_size[0]} does not fit its HR image, 32x35, at x[\d.x]+$"
        with pytest.raises(UserError, match=message):
            val_set(hr, dataroot_lq=str(lr), scale=scale)


def test_pairs_of_subfolders_belong_together(tmp_path):
    hr, lr = write_images(tmp_path / "hr" / "a", (32, 32)).parent, write_images(tmp_path / "lr" / "a", (16, 16)).parent
    assert val_set(hr, dataroot_lq=str(lr))[0]["lq_path"] == "a_0001.png"


def test_images_beyond_max_images_need_no_lr_image(pairs):
    hr, lr = pairs
    (lr / "0003x2.png").unlink()
    assert len(val_set(hr, dataroot_lq=str(lr), filename_tmpl="{}x2", max_images=2)) == 2
