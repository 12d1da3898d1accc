"""Training samples: contents, scales, augmentation."""

import numpy as np
import pytest
import torch
from dataset_helpers import TENSORS, TWO_BRANCHES, batches_of, total_scale, train_set, write_images
from PIL import Image

from clit_plugin.data.numbered_sampler import NumberedIndex
from clit_plugin.utils.errors import UserError


def test_a_sample_has_the_shapes_ranges_and_types_that_the_networks_take(hr):
    dataset = train_set(hr, num_queries=50, scale_ranges=[[[1.5, 2], [1.5, 2]]])
    item = dataset[3]
    shapes = {key: (tuple(item[key].shape), item[key].dtype) for key in TENSORS}
    assert shapes == {
        "lq": ((3, 8, 8), torch.float32),
        "gt": ((50, 3), torch.float32),
        "coord": ((50, 2), torch.float32),
        "cell": ((2,), torch.float32),
        "stage_sizes": ((1, 2), torch.int64),
    }
    assert 0 <= item["gt"].min() < 0.1 and 0.9 < item["gt"].max() <= 1
    assert 0 <= item["lq"].min() < 0.4 and 0.6 < item["lq"].max() <= 1
    for key in ("lq", "gt"):
        assert torch.equal((item[key] * 255).round() / 255, item[key])  # of whole bytes
    assert -1 <= item["coord"].min() < -0.7 and 0.7 < item["coord"].max() <= 1
    assert item["epoch"] == 0
    assert item["gt_path"] == item["lq_path"] == str(hr / "0004.png")


def test_there_are_as_many_queries_as_lr_pixels_by_default(hr):
    assert train_set(hr)[0]["gt"].shape == (64, 3)


def test_the_queries_are_pixels_of_the_named_image(hr):
    dataset = train_set(hr, scale_ranges=[[[2, 2]]])
    for item in dataset.__getitems__([NumberedIndex(i, 0, i, i) for i in range(5)]):
        image = np.asarray(Image.open(item["gt_path"])).reshape(-1, 3)
        colours = {tuple(colour) for colour in image.tolist()}
        assert {tuple(colour) for colour in (item["gt"] * 255).round().int().tolist()} <= colours


def test_the_lr_patch_and_the_queries_show_the_same_crop(tmp_path):
    rows, cols = np.mgrid[:60, :70]
    ramps = np.stack([3 * rows, 2 * cols, 100 + rows - cols], axis=-1).astype(np.uint8)
    (tmp_path / "hr").mkdir()
    Image.fromarray(ramps).save(tmp_path / "hr" / "ramps.png")
    dataset = train_set(tmp_path / "hr", scale_ranges=[[[2.5, 4]]])
    for number in range(16):  # all flips and rotations
        item = dataset.__getitems__([NumberedIndex(0, 0, number, number)])[0]
        inner = item["coord"].abs().amax(1) < 0.6
        grid = item["coord"][inner].flip(-1).view(1, 1, -1, 2)
        shown = torch.nn.functional.grid_sample(item["lq"][None], grid, align_corners=False)[0, :, 0].T
        torch.testing.assert_close(shown, item["gt"][inner], rtol=0, atol=1.01 / 255)


def test_the_grids_between_the_branches_are_the_products_of_the_scales(hr):
    item = train_set(hr, scale_ranges=[[[1.5, 1.5], [1.3, 1.3], [1.2, 1.2]]])[0]
    assert item["stage_sizes"].tolist() == [[12, 12], [16, 16]]  # 8 * 1.5 and 8 * 1.95
    assert item["cell"].tolist() == pytest.approx([2 / 19, 2 / 19])  # 8 * 2.34


def test_one_branch_has_no_grid_between_branches(hr):
    assert train_set(hr)[0]["stage_sizes"].shape == (0, 2)


def test_the_lr_patch_is_made_by_the_configured_degradation(hr):
    pil, matlab = (train_set(hr, degradation=kind, scale_ranges=[[[3, 3]]])[0] for kind in ("pil", "matlab"))
    assert torch.equal(pil["gt"], matlab["gt"])
    assert not torch.equal(pil["lq"], matlab["lq"])


def test_all_samples_of_a_batch_have_one_scale_and_the_next_batch_another(hr):
    batches = batches_of(train_set(hr, scale_ranges=[[[1, 4]]]), ratio=4)
    assert len(batches) == 10
    for batch in batches:
        assert (batch["cell"] == batch["cell"][0]).all()
    assert len({tuple(total_scale(batch)) for batch in batches}) > 5


def test_alternatives_take_turns_across_epochs(hr):
    batches = batches_of(train_set(hr, scale_ranges=TWO_BRANCHES), epochs=(0, 1, 2))  # of three batches each
    assert [batch["stage_sizes"].shape[1] for batch in batches] == [0, 1, 0, 1, 0, 1, 0, 1, 0]


def test_the_epoch_comes_from_the_sampler_with_the_batch(hr):
    assert [batch["epoch"].tolist() for batch in batches_of(train_set(hr), epochs=(0, 4))] == [[0, 0]] * 3 + [
        [4, 4]
    ] * 3


def test_augmentation_does_not_repeat_from_epoch_to_epoch(tmp_path):
    # The crop is the whole image, so that only flips and rotations tell samples apart.
    dataset = train_set(write_images(tmp_path / "hr", (8, 8)), scale_ranges=[[[1, 1]]], batch_size_per_gpu=1)
    batches = batches_of(dataset, epochs=range(40))
    assert len({batch["lq"].numpy().tobytes() for batch in batches}) == 8


def test_an_image_seen_twice_in_an_epoch_is_cropped_elsewhere(tmp_path):
    dataset = train_set(
        write_images(tmp_path / "hr", (40, 40)), scale_ranges=[[[1, 1]]], use_hflip=False, use_rot=False
    )
    (batch,) = batches_of(dataset, ratio=2)
    assert not torch.equal(batch["lq"][0], batch["lq"][1])


def test_augmentation_can_be_switched_off(tmp_path):
    root = write_images(tmp_path / "hr", (8, 8))
    options = {"scale_ranges": [[[1, 1]]], "use_hflip": False, "use_vflip": False, "use_rot": False}
    image = torch.from_numpy(np.asarray(Image.open(root / "0001.png")).astype(np.float32) / 255).permute(2, 0, 1)
    for batch in batches_of(train_set(root, batch_size_per_gpu=1, **options), epochs=range(10)):
        assert torch.equal(batch["lq"][0], image)


@pytest.mark.parametrize(("side", "crop"), [(10, 10), (11, 11), (20, 20), (31, 31), (32, 32), (33, 32), (40, 32)])
@pytest.mark.parametrize("wide", [False, True])
def test_the_scale_is_clipped_to_what_the_image_holds(tmp_path, side, crop, wide):
    root = write_images(tmp_path / "hr", (side, 60) if wide else (60, side))
    item = train_set(root, scale_ranges=[[[4, 4]]])[0]
    assert (2 / item["cell"]).tolist() == pytest.approx([crop, crop])


@pytest.mark.parametrize(
    ("side", "grid", "crop"), [(200, 32, 128), (128, 32, 128), (127, 32, 127), (64, 16, 64), (32, 8, 32), (20, 8, 20)]
)
def test_the_first_scale_is_clipped_before_the_second(tmp_path, side, grid, crop):
    item = train_set(write_images(tmp_path / "hr", (side, side)), scale_ranges=[[[4, 4], [4, 4]]])[0]
    assert item["stage_sizes"].tolist() == [[grid, grid]]
    assert (2 / item["cell"]).tolist() == pytest.approx([crop, crop], rel=1e-5)


def test_the_smallest_image_of_a_batch_limits_its_scale(tmp_path):
    dataset = train_set(write_images(tmp_path / "hr", (32, 32), (40, 20), (31, 31)), scale_ranges=[[[4, 4]]])
    for indices, crop in (([0, 1], 20), ([0, 2], 31), ([1, 2], 20), ([0, 0], 32)):
        for item in dataset.__getitems__(indices):
            assert (2 / item["cell"]).tolist() == pytest.approx([crop, crop])


def test_images_of_every_accepted_size_can_be_sampled(tmp_path):
    rng = np.random.default_rng(0)
    root = write_images(tmp_path / "hr", *[(int(h), int(w)) for h, w in rng.integers(10, 40, (24, 2))])
    batches = batches_of(train_set(root, scale_ranges=[[[1, 4]], [[1, 4], [1, 4]]]), epochs=(0, 1))
    assert len(batches) == 24
    for batch in batches:
        assert 8 <= (2 / batch["cell"]).round().max() < 40


@pytest.mark.parametrize("size", [(7, 40), (40, 7)])
def test_an_image_smaller_than_the_crop_is_refused_by_name(tmp_path, size):
    with pytest.raises(UserError, match=rf"0002\.png: {size[1]}x{size[0]} is smaller than the crop of 8x8.*lq_size"):
        train_set(write_images(tmp_path / "hr", (8, 8), size))
