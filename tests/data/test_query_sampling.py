import itertools
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from clit_plugin.data.query_sampling import Sample, augment, sample_from_hr, sample_from_pair


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def positions(height: int, width: int) -> np.ndarray:
    """An image whose red and green are the row and the column."""
    rows, cols = np.mgrid[:height, :width]
    return np.stack([rows, cols, (7 * rows + 3 * cols) % 256], axis=-1).astype(np.uint8)


def in_pixels(coord: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Coordinates in [-1, 1] as rows and columns of an image: 0 is the centre of the first pixel."""
    return (coord + 1) / 2 * np.array(size) - 0.5


def bilinear(image: np.ndarray, coord: np.ndarray) -> np.ndarray:
    """Colours of an image at coordinates, by ``grid_sample``."""
    grid = torch.from_numpy(coord[:, ::-1].copy()).view(1, 1, -1, 2)
    planes = torch.from_numpy(image.astype(np.float64)).permute(2, 0, 1)[None]
    return F.grid_sample(planes, grid, padding_mode="border", align_corners=False)[0, :, 0].T.numpy()


# ---------------------------------------------------------------------- from HR alone


def hr_sample(gt: np.ndarray, seed: int = 0, **changes) -> Sample:
    options = {"lq_size": 8, "scale": 2.3, "num_queries": 64, "degradation": "pil", **changes}
    return sample_from_hr(gt, rng=generator(seed), **options)


@pytest.mark.parametrize(("scale", "size"), [(1.0, 8), (1.05, 8), (2.3, 18), (3.47, 28), (4.0, 32), (12.0, 96)])
def test_coordinates_point_at_the_pixels_whose_colours_are_given(scale, size):
    gt = positions(131, 97)
    sample = hr_sample(gt, scale=scale)
    pixels = in_pixels(sample.coord, (size, size))
    np.testing.assert_allclose(pixels, pixels.round(), atol=1e-9)  # pixel centres
    corner = sample.gt[:, :2] - pixels.round()
    assert (corner == corner[0]).all()  # all of one crop
    top, left = corner[0].astype(int)
    assert 0 <= top <= 131 - size and 0 <= left <= 97 - size
    assert pixels.min() > -0.1 and pixels.max() < size - 0.9
    assert (sample.gt == gt[sample.gt[:, 0], sample.gt[:, 1]]).all()


@pytest.mark.parametrize(("scale", "size"), [(1.0, 8), (2.3, 18), (3.47, 28)])
def test_the_lr_patch_is_the_crop_scaled_down(scale, size):
    gt = positions(131, 97)
    sample = hr_sample(gt, scale=scale)
    top, left = (sample.gt[0, :2] - in_pixels(sample.coord, (size, size))[0].round()).astype(int)
    crop = Image.fromarray(gt[top : top + size, left : left + size])
    assert np.array_equal(sample.lq, np.asarray(crop.resize((8, 8), Image.Resampling.BICUBIC)))


@pytest.mark.parametrize("kind", ["pil", "matlab"])
def test_the_lr_patch_at_the_coordinates_resembles_the_queries_colours(kind):
    rows, cols = np.mgrid[:60, :70]
    ramps = np.stack([2 * rows, 3 * cols, 255 - rows - cols], axis=-1).astype(np.uint8)
    sample = hr_sample(ramps, scale=3.3, degradation=kind)
    inner = np.abs(sample.coord).max(axis=1) < 0.6
    assert inner.sum() > 10
    # Pillow rounds to bytes twice; an offset of a sixth of an LR pixel would show.
    np.testing.assert_allclose(bilinear(sample.lq, sample.coord)[inner], sample.gt[inner], atol=1.01)


def test_pil_and_matlab_degradations_give_different_patches():
    gt = generator().integers(0, 256, (40, 40, 3), dtype=np.uint8)
    assert not np.array_equal(hr_sample(gt, degradation="pil").lq, hr_sample(gt, degradation="matlab").lq)


@pytest.mark.parametrize("seed", range(5))
def test_no_pixel_is_drawn_twice(seed):
    sample = hr_sample(positions(131, 97), seed, scale=1.5)  # 64 of 144
    assert len(np.unique(sample.gt, axis=0)) == 64


def test_at_scale_1_all_pixels_are_drawn():
    gt = positions(8, 8)
    sample = hr_sample(gt, scale=1.0)
    assert np.array_equal(sample.lq, gt)
    assert {tuple(colour) for colour in sample.gt.tolist()} == {tuple(c) for c in gt.reshape(-1, 3).tolist()}


def test_fewer_queries_may_be_drawn():
    sample = hr_sample(positions(40, 30), num_queries=5)
    assert sample.coord.shape == (5, 2) and sample.gt.shape == (5, 3)


def test_the_cell_is_an_hr_pixel():
    assert hr_sample(positions(40, 30), scale=2.3).cell.tolist() == pytest.approx([2 / 18, 2 / 18])


@pytest.mark.parametrize("size", [(18, 40), (40, 18), (18, 18)])
def test_a_crop_as_large_as_the_image_fits(size):
    sample = hr_sample(positions(*size), scale=18 / 8)
    assert sample.gt[:, 0].max() < size[0] and sample.gt[:, 1].max() < size[1]


def test_crops_reach_every_corner_of_the_image():
    corners = set()
    for seed in range(60):
        sample = hr_sample(positions(11, 10), seed, scale=1.0)
        corners.add(tuple(sample.lq[0, 0, :2].tolist()))
    assert corners == set(itertools.product(range(4), range(3)))


def test_every_pixel_of_the_crop_is_equally_likely():
    counts = np.zeros((12, 12))
    for seed in range(300):
        sample = hr_sample(positions(12, 12), seed, scale=1.5)
        np.add.at(counts, (sample.gt[:, 0], sample.gt[:, 1]), 1)
    expected = 300 * 64 / 144
    assert counts.sum() == 300 * 64
    assert np.abs(counts - expected).max() < 5 * math.sqrt(expected)


# ---------------------------------------------------------------------- from pairs

# LR and HR sizes, not even the same ratio on both axes.
PAIRS = [((12, 9), (12, 9)), ((12, 9), (24, 18)), ((12, 9), (41, 23)), ((10, 13), (17, 40)), ((8, 8), (37, 11))]


def pair_sample(lq_size: tuple[int, int], gt_size: tuple[int, int], seed: int = 0, **changes) -> Sample:
    options = {"lq_size": 8, "num_queries": 64, **changes}
    return sample_from_pair(positions(*lq_size), positions(*gt_size), rng=generator(seed), **options)


@pytest.mark.parametrize(("lq_size", "gt_size"), PAIRS)
@pytest.mark.parametrize("seed", range(4))
def test_coordinates_of_a_pair_point_at_the_hr_pixels(lq_size, gt_size, seed):
    sample = pair_sample(lq_size, gt_size, seed)
    corner = sample.lq[0, 0, :2].astype(int)
    assert np.array_equal(sample.lq, positions(*lq_size)[corner[0] : corner[0] + 8, corner[1] : corner[1] + 8])
    in_lr = in_pixels(sample.coord, (8, 8)) + corner
    in_hr = (in_lr + 0.5) * np.divide(gt_size, lq_size) - 0.5
    np.testing.assert_allclose(in_hr, sample.gt[:, :2], atol=1e-9)
    assert (sample.gt == positions(*gt_size)[sample.gt[:, 0], sample.gt[:, 1]]).all()


@pytest.mark.parametrize(("lq_size", "gt_size"), PAIRS)
def test_lr_and_queries_of_a_pair_of_linear_ramps_agree(lq_size, gt_size):
    def ramps(size: tuple[int, int]) -> np.ndarray:
        """40 to 200 over the image, whatever its size."""
        rows, cols = np.mgrid[: size[0], : size[1]]
        y, x = (rows + 0.5) / size[0], (cols + 0.5) / size[1]
        return (np.stack([y, x, 1 - (x + y) / 2], axis=-1) * 160 + 40).round().astype(np.uint8)

    sample = sample_from_pair(ramps(lq_size), ramps(gt_size), lq_size=8, num_queries=64, rng=generator())
    inner = np.abs(sample.coord).max(axis=1) < 7 / 8  # between pixel centres
    np.testing.assert_allclose(bilinear(sample.lq, sample.coord)[inner], sample.gt[inner], atol=1.01)


@pytest.mark.parametrize(("lq_size", "gt_size"), PAIRS)
@pytest.mark.parametrize("seed", range(4))
def test_the_queries_of_a_pair_are_different_pixels_inside_the_crop(lq_size, gt_size, seed):
    sample = pair_sample(lq_size, gt_size, seed)
    assert np.abs(sample.coord).max() <= 1 + 1e-9
    assert len(np.unique(sample.gt[:, :2], axis=0)) == 64


@pytest.mark.parametrize("start", [0, 1, 2, 4])
def test_all_hr_pixels_whose_centre_lies_in_the_crop_are_drawn_and_no_others(start):
    class Crop:
        """A generator that crops at ``start`` and draws all there is."""

        def integers(self, low, high):
            assert (low, high) == (0, 5)
            return start

        def choice(self, count, num, *, replace, shuffle):
            return np.arange(count)

    sample = sample_from_pair(positions(12, 12), positions(41, 27), lq_size=8, num_queries=1, rng=Crop())
    inside = [[j for j in range(length) if start <= (j + 0.5) * 12 / length < start + 8] for length in (41, 27)]
    assert {tuple(colour) for colour in sample.gt[:, :2].tolist()} == set(itertools.product(*inside))


def test_the_cell_of_a_pair_follows_its_scales():
    # x3 and x2.5: the crop of 8 pixels has 24 and 20 HR pixels.
    assert pair_sample((12, 8), (36, 20)).cell.tolist() == pytest.approx([2 / 24, 2 / 20])


def test_a_crop_as_large_as_the_lr_image_reaches_its_borders():
    drawn = np.concatenate([pair_sample((8, 8), (19, 11), seed).gt for seed in range(40)])
    assert drawn[:, :2].min(axis=0).tolist() == [0, 0]
    assert drawn[:, :2].max(axis=0).tolist() == [18, 10]


# ---------------------------------------------------------------------- augmentation


class Draws:
    """A generator whose three draws are given: True means yes."""

    def __init__(self, *yes: bool) -> None:
        self.yes = yes

    def random(self, count: int) -> np.ndarray:
        assert count == 3
        return np.where(self.yes, 0.25, 0.75)


ALL = list(itertools.product([False, True], repeat=3))


def ramp_sample() -> Sample:
    """A patch that is linear in both axes, and queries with exactly its colours."""
    rows, cols = np.mgrid[:6, :6]
    lq = np.stack([10 * rows, 20 * cols, 100 + 5 * rows - 3 * cols], axis=-1).astype(np.uint8)
    coord = generator().uniform(-5 / 6, 5 / 6, (40, 2))
    y, x = in_pixels(coord, (6, 6)).T
    gt = np.stack([10 * y, 20 * x, 100 + 5 * y - 3 * x], axis=-1)
    return Sample(lq=lq, coord=coord, gt=gt, cell=np.array([0.1, 0.2]))


@pytest.mark.parametrize("draws", ALL)
def test_queries_match_the_patch_after_every_flip_and_rotation(draws):
    sample = augment(ramp_sample(), hflip=True, vflip=True, rot=True, rng=Draws(*draws))
    np.testing.assert_allclose(bilinear(sample.lq, sample.coord), sample.gt, atol=1e-9)


@pytest.mark.parametrize(("hflip", "vflip", "rot"), ALL)
def test_the_patch_is_mirrored_as_an_image(hflip, vflip, rot):
    expected = ramp_sample().lq
    expected = np.fliplr(expected) if hflip else expected
    expected = np.flipud(expected) if vflip else expected
    expected = np.swapaxes(expected, 0, 1) if rot else expected
    given = augment(ramp_sample(), hflip=True, vflip=True, rot=True, rng=Draws(hflip, vflip, rot))
    assert np.array_equal(given.lq, expected)


def test_flips_and_rotation_give_eight_different_patches():
    patches = [augment(ramp_sample(), hflip=True, vflip=True, rot=True, rng=Draws(*draws)).lq for draws in ALL]
    assert len({patch.tobytes() for patch in patches}) == 8


@pytest.mark.parametrize("draws", ALL)
def test_rotation_swaps_the_cells_axes(draws):
    given = augment(ramp_sample(), hflip=True, vflip=True, rot=True, rng=Draws(*draws))
    assert given.cell.tolist() == ([0.2, 0.1] if draws[2] else [0.1, 0.2])


@pytest.mark.parametrize(("hflip", "vflip", "rot"), ALL)
def test_flips_and_rotation_can_be_switched_off_one_by_one(hflip, vflip, rot):
    given = augment(ramp_sample(), hflip=hflip, vflip=vflip, rot=rot, rng=Draws(True, True, True))
    expected = augment(ramp_sample(), hflip=True, vflip=True, rot=True, rng=Draws(hflip, vflip, rot))
    assert np.array_equal(given.lq, expected.lq) and np.array_equal(given.coord, expected.coord)


def test_the_eight_augmentations_are_equally_likely():
    rng, counts = generator(), dict.fromkeys(range(8), 0)
    patches = [augment(ramp_sample(), hflip=True, vflip=True, rot=True, rng=Draws(*draws)).lq for draws in ALL]
    keys = {patch.tobytes(): i for i, patch in enumerate(patches)}
    for _ in range(800):
        counts[keys[augment(ramp_sample(), hflip=True, vflip=True, rot=True, rng=rng).lq.tobytes()]] += 1
    assert min(counts.values()) > 60 and max(counts.values()) < 140


def test_augmentation_does_not_modify_its_input():
    sample, copy = ramp_sample(), ramp_sample()
    augment(sample, hflip=True, vflip=True, rot=True, rng=Draws(True, True, True))
    for name in ("lq", "coord", "gt", "cell"):
        assert np.array_equal(getattr(sample, name), getattr(copy, name))
