import copy
import logging
import random
import shutil

import numpy as np
import pytest
import torch
from basicsr.data import build_dataset
from basicsr.train import create_train_val_dataloader
from PIL import Image
from torch.utils.data import DataLoader

from clit_plugin.data.arbitrary_scale_paired_dataset import ArbitraryScalePairedDataset
from clit_plugin.data.lmdb_files.prepare import prepare_lmdb
from clit_plugin.data.numbered_sampler import NumberedIndex, NumberedSampler
from clit_plugin.metrics import Protocol, psnr_float
from clit_plugin.utils.errors import UserError

TENSORS = ("lq", "gt", "coord", "cell", "stage_sizes")
TWO_BRANCHES = [[[1, 2]], [[1, 2], [1, 2]]]


def write(folder, *sizes, seed=0):
    """Random images 0001.png, 0002.png and so on, of these (H, W)."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    for number, size in enumerate(sizes, start=1):
        image = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
        Image.fromarray(image).save(folder / f"{number:04}.png", compress_level=1)
    return folder


@pytest.fixture
def hr(tmp_path):
    """Five images that hold a crop of 8 pixels at x4."""
    return write(tmp_path / "hr", (32, 41), (35, 32), (33, 33), (40, 32), (37, 38))


def train_options(root, **changes):
    options = {"name": "tiny", "type": "ArbitraryScalePairedDataset", "phase": "train", "dataroot_gt": str(root)}
    options |= {"lq_size": 8, "batch_size_per_gpu": 2, "num_worker_per_gpu": 0}
    return options | ({} if "dataroot_lq" in changes else {"degradation": "pil"}) | changes


def val_options(root, **changes):
    options = {"name": "tiny", "type": "ArbitraryScalePairedDataset", "phase": "val", "dataroot_gt": str(root)}
    options |= {"protocol": "benchmark"}
    return options | ({} if "dataroot_lq" in changes else {"degradation": "pil"}) | changes


def train_set(root, **changes):
    return ArbitraryScalePairedDataset(train_options(root, **changes))


def val_set(root, **changes):
    return ArbitraryScalePairedDataset(val_options(root, **changes))


def batches_of(dataset, *, epochs=(0,), rank=0, replicas=1, ratio=1, **loader_options):
    """Batches of the epochs, one epoch after the other, by one loader, as BasicSR loads them."""
    sampler = NumberedSampler(dataset, replicas, rank, ratio)
    loader = DataLoader(
        dataset, batch_size=dataset.batch_size, shuffle=False, sampler=sampler, drop_last=True, **loader_options
    )
    batches = []
    for epoch in epochs:
        sampler.set_epoch(epoch)
        batches += list(loader)
    return batches


def assert_same(batches, others):
    assert len(batches) == len(others) > 0
    for batch, other in zip(batches, others, strict=True):
        assert batch.keys() == other.keys()
        assert all(torch.equal(batch[key], other[key]) for key in (*TENSORS, "epoch"))
        assert batch["gt_path"] == other["gt_path"]


def total_scale(batch, lq_size=8):
    """The factors (y, x) of a batch's first sample, from its cell."""
    return (2 / batch["cell"][0] / lq_size).tolist()


# ---------------------------------------------------------------------- a training sample


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


def test_the_lr_patch_shows_what_the_queries_show(tmp_path):
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


def test_the_degradation_is_the_one_asked_for(hr):
    pil, matlab = (train_set(hr, degradation=kind, scale_ranges=[[[3, 3]]])[0] for kind in ("pil", "matlab"))
    assert torch.equal(pil["gt"], matlab["gt"])
    assert not torch.equal(pil["lq"], matlab["lq"])


# ---------------------------------------------------------------------- batches


def test_all_samples_of_a_batch_have_one_scale_and_the_next_batch_another(hr):
    batches = batches_of(train_set(hr, scale_ranges=[[[1, 4]]]), ratio=4)
    assert len(batches) == 10
    for batch in batches:
        assert (batch["cell"] == batch["cell"][0]).all()
    assert len({tuple(total_scale(batch)) for batch in batches}) > 5


def test_alternatives_take_turns_across_epochs(hr):
    batches = batches_of(train_set(hr, scale_ranges=TWO_BRANCHES), epochs=(0, 1, 2))  # of three batches each
    assert [batch["stage_sizes"].shape[1] for batch in batches] == [0, 1, 0, 1, 0, 1, 0, 1, 0]


def test_the_epoch_is_given_with_the_batch(hr):
    assert [batch["epoch"].tolist() for batch in batches_of(train_set(hr), epochs=(0, 4))] == [[0, 0]] * 3 + [
        [4, 4]
    ] * 3


def test_the_same_epoch_has_the_same_samples_and_another_has_others(hr):
    dataset = train_set(hr)
    first, again, second = (batches_of(dataset, epochs=(epoch,)) for epoch in (0, 0, 1))
    assert_same(first, again)
    for batch, other in zip(first, second, strict=True):
        assert not torch.equal(batch["lq"], other["lq"])
        assert total_scale(batch) != total_scale(other)


def test_another_seed_has_other_samples(hr):
    first, second = (batches_of(train_set(hr, seed=seed)) for seed in (0, 1))
    assert not any(torch.equal(a["lq"], b["lq"]) for a, b in zip(first, second, strict=True))


def test_numpy_s_and_torch_s_global_state_do_not_matter(hr):
    dataset = train_set(hr)
    first = batches_of(dataset)
    np.random.seed(7)
    torch.manual_seed(7)
    assert_same(first, batches_of(dataset))


def test_augmentation_does_not_repeat_from_epoch_to_epoch(tmp_path):
    # The crop is the whole image, so that only flips and rotations tell samples apart.
    dataset = train_set(write(tmp_path / "hr", (8, 8)), scale_ranges=[[[1, 1]]], batch_size_per_gpu=1)
    batches = batches_of(dataset, epochs=range(40))
    assert len({batch["lq"].numpy().tobytes() for batch in batches}) == 8


def test_an_image_seen_twice_in_an_epoch_is_cropped_elsewhere(tmp_path):
    dataset = train_set(write(tmp_path / "hr", (40, 40)), scale_ranges=[[[1, 1]]], use_hflip=False, use_rot=False)
    (batch,) = batches_of(dataset, ratio=2)
    assert not torch.equal(batch["lq"][0], batch["lq"][1])


def test_augmentation_can_be_switched_off(tmp_path):
    root = write(tmp_path / "hr", (8, 8))
    options = {"scale_ranges": [[[1, 1]]], "use_hflip": False, "use_vflip": False, "use_rot": False}
    image = torch.from_numpy(np.asarray(Image.open(root / "0001.png")).astype(np.float32) / 255).permute(2, 0, 1)
    for batch in batches_of(train_set(root, batch_size_per_gpu=1, **options), epochs=range(10)):
        assert torch.equal(batch["lq"][0], image)


def test_indices_of_another_sampler_are_taken_for_the_first_epoch(hr):
    dataset = train_set(hr)
    numbered = dataset.__getitems__([NumberedIndex(2, 0, 2, 2), NumberedIndex(3, 0, 3, 3)])
    for item, other in zip(dataset.__getitems__([2, 3]), numbered, strict=True):
        assert all(torch.equal(item[key], other[key]) for key in TENSORS)


# ---------------------------------------------------------------------- processes


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("persistent", [False, True])
def test_forked_workers_give_the_same_batches(hr, tmp_path, workers, persistent):
    prepare_lmdb(folder=hr, output=tmp_path / "hr.lmdb", workers=1)
    dataset = train_set(tmp_path / "hr.lmdb", scale_ranges=TWO_BRANCHES)
    alone = batches_of(dataset, epochs=(0, 1))  # which opens the LMDB in this process
    assert_same(
        batches_of(
            dataset,
            epochs=(0, 1),
            num_workers=workers,
            persistent_workers=persistent,
            multiprocessing_context="fork",
        ),
        alone,
    )


def test_spawned_workers_give_the_same_batches(hr, tmp_path):
    prepare_lmdb(folder=hr, output=tmp_path / "hr.lmdb", workers=1)
    dataset = train_set(tmp_path / "hr.lmdb", scale_ranges=TWO_BRANCHES)
    spawned = batches_of(
        dataset, epochs=(0, 1), num_workers=2, persistent_workers=True, multiprocessing_context="spawn"
    )
    assert_same(spawned, batches_of(dataset, epochs=(0, 1)))


def test_folder_lmdb_and_cache_give_the_same_batches(hr, tmp_path):
    prepare_lmdb(folder=hr, output=tmp_path / "hr.lmdb", workers=1)
    expected = batches_of(train_set(hr))
    for dataset in (train_set(tmp_path / "hr.lmdb"), train_set(hr, cache=True)):
        for batch, other in zip(batches_of(dataset), expected, strict=True):
            assert all(torch.equal(batch[key], other[key]) for key in TENSORS)


def test_ranks_see_the_same_scales_and_other_samples(hr):
    dataset = train_set(hr, scale_ranges=TWO_BRANCHES)
    first, second = (batches_of(dataset, rank=rank, replicas=2, ratio=4, epochs=(3,)) for rank in (0, 1))
    assert len(first) == len(second) == 5
    for batch, other in zip(first, second, strict=True):
        assert torch.equal(batch["cell"], other["cell"])
        assert torch.equal(batch["stage_sizes"], other["stage_sizes"])
        assert not torch.equal(batch["lq"], other["lq"])


def test_two_ranks_train_together_on_one_process_s_batch(hr):
    ranks = [batches_of(train_set(hr), rank=rank, replicas=2, ratio=4) for rank in (0, 1)]
    together = batches_of(train_set(hr, batch_size_per_gpu=4), ratio=4)
    for first, second, both in zip(*ranks, together, strict=True):
        samples = {image.numpy().tobytes() for image in torch.cat([first["lq"], second["lq"]])}
        assert samples == {image.numpy().tobytes() for image in both["lq"]}


def test_after_a_resume_the_batches_go_on(hr):
    whole = batches_of(train_set(hr, scale_ranges=TWO_BRANCHES), epochs=(0, 1))
    resumed = batches_of(train_set(hr, scale_ranges=TWO_BRANCHES, resume_iter=2), epochs=(0, 1))
    assert_same(resumed, whole[2:])


@pytest.mark.parametrize("workers", [0, 2])
def test_basicsr_s_trainer_loads_it(hr, workers):
    train = train_options(hr, num_worker_per_gpu=workers, dataset_enlarge_ratio=4, scale_ranges=TWO_BRANCHES)
    options = {
        "datasets": {"train": train, "val": val_options(hr, scale=2), "val_2": val_options(hr, scale=3.4)},
        "num_gpu": 0,
        "dist": False,
        "world_size": 1,
        "rank": 0,
        "manual_seed": 5,
        "train": {"total_iter": 20},
    }
    given = copy.deepcopy(options)
    loader, sampler, val_loaders, epochs, _ = create_train_val_dataloader(options, logging.getLogger("test"))
    assert options == given
    assert epochs == 2
    sampler.set_epoch(1)
    expected = batches_of(train_set(hr, scale_ranges=TWO_BRANCHES), epochs=(1,), ratio=4)
    assert_same(list(loader), expected)
    assert [len(list(val_loader)) for val_loader in val_loaders] == [5, 5]


# ---------------------------------------------------------------------- images that are small for the scale


@pytest.mark.parametrize(("side", "crop"), [(10, 10), (11, 11), (20, 20), (31, 31), (32, 32), (33, 32), (40, 32)])
@pytest.mark.parametrize("wide", [False, True])
def test_the_scale_is_clipped_to_what_the_image_holds(tmp_path, side, crop, wide):
    root = write(tmp_path / "hr", (side, 60) if wide else (60, side))
    item = train_set(root, scale_ranges=[[[4, 4]]])[0]
    assert (2 / item["cell"]).tolist() == pytest.approx([crop, crop])


@pytest.mark.parametrize(
    ("side", "grid", "crop"), [(200, 32, 128), (128, 32, 128), (127, 32, 127), (64, 16, 64), (32, 8, 32), (20, 8, 20)]
)
def test_the_first_scale_is_clipped_before_the_second(tmp_path, side, grid, crop):
    item = train_set(write(tmp_path / "hr", (side, side)), scale_ranges=[[[4, 4], [4, 4]]])[0]
    assert item["stage_sizes"].tolist() == [[grid, grid]]
    assert (2 / item["cell"]).tolist() == pytest.approx([crop, crop], rel=1e-5)


def test_the_smallest_image_of_a_batch_decides(tmp_path):
    dataset = train_set(write(tmp_path / "hr", (32, 32), (40, 20), (31, 31)), scale_ranges=[[[4, 4]]])
    for indices, crop in (([0, 1], 20), ([0, 2], 31), ([1, 2], 20), ([0, 0], 32)):
        for item in dataset.__getitems__(indices):
            assert (2 / item["cell"]).tolist() == pytest.approx([crop, crop])


def test_images_of_any_size_that_is_not_refused_can_be_drawn(tmp_path):
    rng = np.random.default_rng(0)
    root = write(tmp_path / "hr", *[(int(h), int(w)) for h, w in rng.integers(10, 40, (24, 2))])
    batches = batches_of(train_set(root, scale_ranges=[[[1, 4]], [[1, 4], [1, 4]]]), epochs=(0, 1))
    assert len(batches) == 24
    for batch in batches:
        assert 8 <= (2 / batch["cell"]).round().max() < 40


@pytest.mark.parametrize("size", [(7, 40), (40, 7)])
def test_an_image_smaller_than_the_crop_is_refused_by_name(tmp_path, size):
    with pytest.raises(UserError, match=rf"0002\.png: {size[1]}x{size[0]} is smaller than the crop of 8x8.*lq_size"):
        train_set(write(tmp_path / "hr", (8, 8), size))


# ---------------------------------------------------------------------- given pairs


@pytest.fixture
def pairs(hr, tmp_path):
    """HR and LR folders; the LR files, at x2.5 or so, are named as DIV2K's."""
    for file in hr.iterdir():
        image = Image.open(file)
        (tmp_path / "lr").mkdir(exist_ok=True)
        size = (round(image.width / 2.5), round(image.height / 2.5))
        image.resize(size, Image.Resampling.BICUBIC).save(tmp_path / "lr" / f"{file.stem}x2.png")
    return hr, tmp_path / "lr"


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


def test_the_first_branch_of_a_pair_takes_the_drawn_scale_and_no_more_than_there_is(pairs):
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
    hr, lr = write(tmp_path / "hr", (35, 32)), write(tmp_path / "lr", lr_size)
    with pytest.raises(UserError, match=r"lr/0001\.png: is .*, not its HR image's \(35, 32\) or smaller"):
        make(hr, dataroot_lq=str(lr))


def test_pairs_of_subfolders_belong_together(tmp_path):
    hr, lr = write(tmp_path / "hr" / "a", (32, 32)).parent, write(tmp_path / "lr" / "a", (16, 16)).parent
    assert val_set(hr, dataroot_lq=str(lr))[0]["lq_path"] == "a_0001.png"


# ---------------------------------------------------------------------- validation


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
    root = write(tmp_path / "hr", (35, 32))
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
    item = val_set(write(tmp_path / "hr", (side, side)), scale=scale)[0]
    lq, gt = item["lq"].shape[-1], item["gt"].shape[-1]
    assert lq * scale <= side + 1e-6 < (lq + 1) * scale + 1e-6
    assert gt == round(lq * scale) <= side


def test_an_image_that_has_no_lr_pixel_at_the_scale_is_refused(tmp_path):
    root = write(tmp_path / "hr", (35, 32))
    with pytest.raises(UserError, match=r"0001\.png: 32x35 is smaller than the crop of 33x33.*smaller scale"):
        val_set(root, scale=33)


@pytest.mark.parametrize(
    ("scale", "name"), [(2, "0001x2.png"), (2.0, "0001x2.png"), (3.4, "0001x3.4.png"), ([2, 3.5], "0001x3.5x2.png")]
)
def test_results_are_named_after_the_image_and_the_scale(hr, scale, name):
    item = val_set(hr, scale=scale)[0]
    assert (item["lq_path"], item["gt_path"]) == (name, str(hr / "0001.png"))


def test_images_of_subfolders_have_names_of_their_own(tmp_path):
    for folder in ("a", "b"):
        write(tmp_path / "hr" / folder, (32, 32))
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
    hr, lr = write(tmp_path / "hr", (35, 32)), write(tmp_path / "lr", (17, 16))
    item = val_set(hr, dataroot_lq=str(lr), scale=2)[0]
    assert tuple(item["gt"].shape) == (3, 34, 32)
    assert item["scale"].tolist() == [2, 2]


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
    hr, lr = write(tmp_path / "hr", (35, 32)), write(tmp_path / "lr", lr_size)
    if fits:
        assert val_set(hr, dataroot_lq=str(lr), scale=scale)[0]["lq"].shape[-2:] == lr_size
    else:
        with pytest.raises(UserError, match=r"lr/0001\.png: is .*, not its HR image's \(35, 32\) over scale"):
            val_set(hr, dataroot_lq=str(lr), scale=scale)


@pytest.mark.parametrize(("most", "count"), [(1, 1), (4, 4), (5, 5), (9, 5), (None, 5)])
def test_only_the_first_images_are_validated_on_request(hr, most, count):
    dataset = val_set(hr, scale=2, max_images=most)
    assert len(dataset) == count
    assert dataset[count - 1]["gt_path"].endswith(f"{count:04}.png")


def test_images_beyond_max_images_need_no_lr(pairs):
    hr, lr = pairs
    (lr / "0003x2.png").unlink()
    assert len(val_set(hr, dataroot_lq=str(lr), filename_tmpl="{}x2", max_images=2)) == 2


def test_the_cache_of_a_validation_set_gives_the_same_images(pairs):
    hr, lr = pairs
    options = {"dataroot_lq": str(lr), "filename_tmpl": "{}x2", "max_images": 3}
    expected = [val_set(hr, **options)[i] for i in range(3)]
    dataset = val_set(hr, cache=True, **options)
    shutil.rmtree(hr)
    shutil.rmtree(lr)
    for i in range(3):
        assert all(torch.equal(dataset[i][key], expected[i][key]) for key in ("lq", "gt", "scale"))


def test_a_validation_set_knows_its_protocol_and_a_training_set_has_none(hr):
    assert val_set(hr, scale=2, protocol="div2k").protocol == Protocol.named("div2k")
    assert train_set(hr).protocol is None


# ---------------------------------------------------------------------- realistic LR

REALISTIC = {"type": "realistic"}


def test_realistic_lr_differs_and_crops_queries_and_flips_stay(hr):
    for pil, realistic in zip(
        batches_of(train_set(hr), ratio=4), batches_of(train_set(hr, degradation=REALISTIC), ratio=4), strict=True
    ):
        assert all(torch.equal(pil[key], realistic[key]) for key in TENSORS[1:])
        assert not torch.equal(pil["lq"], realistic["lq"])
        assert (realistic["lq"] * 255).round().div(255).equal(realistic["lq"])


@pytest.mark.parametrize("workers", [1, 2])
def test_realistic_samples_do_not_depend_on_the_workers(hr, workers):
    dataset = train_set(hr, degradation=REALISTIC)
    alone = batches_of(dataset, epochs=(0, 1), ratio=2)
    assert_same(batches_of(dataset, epochs=(0, 1), ratio=2, num_workers=workers), alone)
    assert not torch.equal(alone[0]["lq"], alone[5]["lq"])


def test_realistic_samples_go_on_after_a_resume(hr):
    whole = batches_of(train_set(hr, degradation=REALISTIC), epochs=(0, 1), ratio=2)
    np.random.seed(9)
    random.seed(9)
    resumed = batches_of(train_set(hr, degradation=REALISTIC, resume_iter=3), ratio=2)
    assert_same(resumed, whole[3:5])


def test_realistic_samples_leave_the_global_generators_alone(hr):
    torch.manual_seed(0)
    dataset = train_set(hr, degradation=REALISTIC)
    numpy_state, python_state, torch_state = np.random.get_state(), random.getstate(), torch.get_rng_state()
    dataset.__getitems__(list(range(5)))
    val_set(hr, scale=2, degradation=REALISTIC)[0]
    assert all(np.array_equal(one, other) for one, other in zip(np.random.get_state(), numpy_state, strict=True))
    assert random.getstate() == python_state and torch.equal(torch.get_rng_state(), torch_state)


def test_another_seed_of_the_set_or_of_the_degradation_makes_other_lr(hr):
    items = [
        train_set(hr, scale_ranges=[[[2, 2]]], **changes)[0]
        for changes in ({"degradation": REALISTIC}, {"degradation": {**REALISTIC, "seed": 1}})
    ]
    assert torch.equal(items[0]["gt"], items[1]["gt"])
    assert not torch.equal(items[0]["lq"], items[1]["lq"])
    other = train_set(hr, scale_ranges=[[[2, 2]]], degradation=REALISTIC, seed=1)[0]
    assert not torch.equal(items[0]["lq"], other["lq"])


def test_without_any_step_a_realistic_sample_is_a_bicubic_one(hr):
    same = {**REALISTIC, "clean_prob": 1}
    for key in TENSORS:
        assert torch.equal(train_set(hr)[0][key], train_set(hr, degradation=same)[0][key])
    for scale in (2.3, [2, 3.5]):
        assert torch.equal(val_set(hr, scale=scale)[0]["lq"], val_set(hr, scale=scale, degradation=same)[0]["lq"])


@pytest.mark.parametrize("scale", [2.3, [2, 3.5]])
def test_a_validation_image_is_degraded_by_seed_and_name_alone(hr, scale, tmp_path):
    always = {**REALISTIC, "clean_prob": 0}
    dataset = val_set(hr, scale=scale, degradation=always)
    first = dataset[1]
    assert torch.equal(dataset[1]["lq"], first["lq"])
    plain = val_set(hr, scale=scale)[1]
    assert torch.equal(first["gt"], plain["gt"]) and first["lq"].shape == plain["lq"].shape
    assert not torch.equal(first["lq"], plain["lq"])
    other = val_set(hr, scale=scale, degradation={**always, "seed": 1})[1]
    assert not torch.equal(other["lq"], first["lq"])
    prepare_lmdb(folder=hr, output=tmp_path / "hr.lmdb", workers=1)
    assert torch.equal(val_set(tmp_path / "hr.lmdb", scale=scale, degradation=always)[1]["lq"], first["lq"])
    (hr / "0001.png").unlink()  # now it is the first
    assert torch.equal(val_set(hr, scale=scale, degradation=always)[0]["lq"], first["lq"])
    (hr / "0002.png").rename(hr / "0009.png")
    assert not torch.equal(val_set(hr, scale=scale, degradation=always)[-1]["lq"], first["lq"])


def test_the_options_tell_a_realistic_degradation_with_its_defaults(hr):
    told = val_set(hr, scale=2, degradation={**REALISTIC, "jpeg_range": [80, 90]}).options.degradation
    assert told["jpeg_range"] == [80, 90] and told["blur_sigma"] == [0.2, 1.5] and told["seed"] == 0


# ---------------------------------------------------------------------- options


@pytest.mark.parametrize("make", [train_options, lambda root: val_options(root, scale=2)])
def test_basicsr_builds_it_by_name_and_the_options_stay_as_they_are(hr, make):
    options = make(hr)
    given = copy.deepcopy(options)
    dataset = build_dataset(options)
    assert isinstance(dataset, ArbitraryScalePairedDataset)
    assert len(dataset) == 5
    ArbitraryScalePairedDataset(options)[0]
    assert options == given


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size_per_gpu": 0}, r"datasets\.tiny\.batch_size_per_gpu: expected at least 1, got 0"),
        ({"lq_size": 0}, r"lq_size: expected at least 1"),
        ({"num_queries": 0}, r"num_queries: expected 1 to lq_size squared \(64\), got 0"),
        ({"num_queries": 65}, r"num_queries: expected 1 to lq_size squared \(64\), got 65"),
        ({"scale_ranges": [[1, 4]]}, r"datasets\.tiny\.scale_ranges: expected a list of alternatives"),
        ({"degradation": None}, r"degradation: missing; say how LR is made from HR, pil or matlab"),
        ({"degradation": "mat"}, r"degradation: expected .*matlab"),
        ({"degradation": {"type": "realistic", "jpg": 1}}, r"datasets\.tiny\.degradation\.jpg: unknown key"),
        ({"degradation": {}}, r"datasets\.tiny\.degradation\.type: missing"),
        ({"dataroot_lq": "x", "degradation": {"type": "realistic"}}, r"degradation: LR is read from dataroot_lq"),
        ({"dataroot_lq": "x", "degradation": "pil"}, r"degradation: LR is read from dataroot_lq"),
        ({"filename_tmpl": "x2"}, r"filename_tmpl: expected one '\{\}' in the name, got 'x2'"),
        ({"persistent_workers": True}, r"persistent_workers: needs num_worker_per_gpu of at least 1"),
        ({"num_worker_per_gpu": -1}, r"num_worker_per_gpu: expected at least 0"),
        ({"use_hflips": True}, r"use_hflips: unknown key; did you mean use_hflip\?"),
        ({"scale": 2}, r"scale: unknown key"),
    ],
)
def test_training_options_that_do_not_fit_are_named(hr, changes, message):
    with pytest.raises(UserError, match=message):
        train_set(hr, **changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, r"datasets\.tiny\.scale: missing; give a scale as 2, 3\.4 or \[2, 3\.5\], or LR images in dataroot_lq"),
        ({"scale": 0.9}, r"scale: expected at least 1, got 0\.9"),
        ({"scale": [2, 0.9]}, r"scale: expected at least 1"),
        ({"scale": [2, 3, 4]}, r"scale: expected"),
        ({"scale": "2"}, r"scale: expected"),
        ({"scale": 2, "max_images": 0}, r"max_images: expected at least 1, got 0"),
        ({"scale": 2, "protocol": "set5"}, r"protocol: expected one of div2k, benchmark, got 'set5'"),
    ],
)
def test_validation_options_that_do_not_fit_are_named(hr, changes, message):
    with pytest.raises(UserError, match=message):
        val_set(hr, **changes)


# ---------------------------------------------------------------------- published numbers


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
