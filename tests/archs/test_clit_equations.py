"""Every path of CLIT against the paper's equations, evaluated query by query in float64."""

from fractions import Fraction

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from naive_reference import Index, Point, Reference, nearest_pixel
from small_clit import lively, queries

from clit_plugin.archs.clit_arch import CLIT


def upscaled(net: CLIT, image: torch.Tensor, size: tuple[int, int], **options) -> np.ndarray:
    return net.upscale(image[None], size, **options)[0].permute(1, 2, 0).numpy()


def forwarded(net: CLIT, image: torch.Tensor, size: tuple[int, int], **options) -> np.ndarray:
    """Every pixel as a query of ``forward``, in a random order."""
    order = torch.randperm(size[0] * size[1])
    cell = torch.tensor([[2 / size[0], 2 / size[1]]], dtype=torch.float64)
    with torch.no_grad():
        colours = net(image[None], queries(size)[order][None], cell, **options)[0]
    return colours[order.argsort()].view(*size, 3).numpy()


def plainly_upscaled(net: CLIT, image: torch.Tensor, size: tuple[int, int], **options) -> np.ndarray:
    net.reference = True
    return upscaled(net, image, size, **options)


PATHS = [upscaled, forwarded, plainly_upscaled]


def assert_equal(actual: np.ndarray, expected: np.ndarray) -> None:
    assert actual.shape == expected.shape
    assert np.abs(expected - expected.mean((0, 1))).max() > 0.05  # there is something to compare
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-9)


# LR and output sizes; the reference sees to it that no query lies half way between two pixels of a map.
CASES = {
    "x2.2 and x1.8": ((5, 5), (11, 9)),
    "x1": ((3, 5), (3, 5)),
    "smaller than LR": ((7, 9), (3, 5)),
    "x3.4 and x2.33": ((5, 3), (17, 7)),
}


@pytest.mark.parametrize(("lq_size", "size"), CASES.values(), ids=CASES)
@pytest.mark.parametrize("render", PATHS)
def test_one_branch_equals_the_equations(lq_size, size, render):
    net, image = lively(), torch.rand(3, *lq_size, dtype=torch.float64)
    assert_equal(render(net, image, size), Reference(net, size=size)(image))


VARIANTS = {
    "eq6": ({"positional_encoding": "eq6"}, {}),
    "-b": ({"positional_encoding": "none"}, {}),
    "-a": ({"local_attention": False}, {"attention": False}),
    "-c": ({"cell_decoding": False}, {"cell": False}),
    "-a -c": ({"local_attention": False, "cell_decoding": False}, {"attention": False, "cell": False}),
    "+e": ({"local_ensemble": True}, {"ensemble": True}),
    "+e -a": ({"local_ensemble": True, "local_attention": False}, {"ensemble": True, "attention": False}),
    "G = 1": ({"local_grid": 1}, {"grid": (1, 1)}),
    "G = 3 x 5": ({"local_grid": [3, 5]}, {"grid": (3, 5)}),
    "G larger than the image": ({"local_grid": [9, 11]}, {"grid": (9, 11)}),
    "one head": ({"num_heads": 1}, {}),
    "as many heads as channels": ({"num_heads": 6}, {}),
    "decoder without hidden layers": ({"decoder_hidden": []}, {}),
}


@pytest.mark.parametrize(("options", "changes"), VARIANTS.values(), ids=VARIANTS)
@pytest.mark.parametrize("render", PATHS)
def test_every_variant_equals_the_equations(options, changes, render):
    net, image, size = lively(**options), torch.rand(3, 3, 5, dtype=torch.float64), (5, 8)
    assert_equal(render(net, image, size), Reference(net, size=size, **changes)(image))


# Sizes for which the default grids are these.
CASCADES = {
    "two branches at x5.33 and x4": (2, (3, 2), (16, 8), ((12, 8),)),
    "two branches at x1.67 and x5.6": (2, (3, 5), (5, 28), ((5, 20),)),
    "three branches at x32 and x1": (3, (1, 3), (32, 3), ((4, 3), (16, 3))),
    "three branches of which two take part": (3, (1, 3), (12, 7), ((4, 7),)),
    "three branches of which one takes part": (3, (3, 5), (11, 9), ()),
}


@pytest.mark.parametrize(("branches", "lq_size", "size", "stages"), CASCADES.values(), ids=CASCADES)
@pytest.mark.parametrize("render", PATHS)
def test_a_cascade_equals_the_equations(branches, lq_size, size, stages, render):
    net, image = lively(num_branches=branches), torch.rand(3, *lq_size, dtype=torch.float64)
    assert_equal(render(net, image, size), Reference(net, size=size, stages=stages)(image))


@pytest.mark.parametrize("render", PATHS)
def test_given_grids_replace_the_default_ones(render):
    net, image, size = lively(num_branches=3, discount=0.4), torch.rand(3, 3, 5, dtype=torch.float64), (9, 8)
    stages = ((5, 4), (7, 8))
    assert_equal(render(net, image, size, stage_sizes=stages), Reference(net, size=size, stages=stages)(image))


@pytest.mark.parametrize("options", [{"local_ensemble": True}, {"local_attention": False, "cell_decoding": False}])
@pytest.mark.parametrize("render", PATHS)
def test_variants_of_a_cascade_equal_the_equations(options, render):
    net, image, size = lively(num_branches=2, **options), torch.rand(3, 3, 1, dtype=torch.float64), (5, 7)
    changes = {
        "ensemble": options.get("local_ensemble", False),
        "attention": options.get("local_attention", True),
        "cell": options.get("cell_decoding", True),
    }
    stages = ((3, 5),)
    assert_equal(
        render(net, image, size, stage_sizes=stages), Reference(net, size=size, stages=stages, **changes)(image)
    )


def test_a_query_half_way_between_two_pixels_takes_the_grid_about_the_even_one():
    # At x1.5, 2 -> 3 and 4 -> 6: the query at 1/2 lies between pixels 0 and 1, those at 1/4 and 3/4 between 0 and 1,
    # 2 and 3. Their coordinates, 0 and +-0.5, are exact.
    net, image, size = lively(), torch.rand(3, 4, 2, dtype=torch.float64), (6, 3)
    between = Fraction(1, 4), Fraction(3, 4)
    ties = [nearest_pixel((p, Fraction(1, 2)), (4, 2)) for p in between]
    assert ties == [(0, 0), (2, 0)]
    coord = torch.tensor([[[-0.5, 0.0], [0.5, 0.0]]], dtype=torch.float64)
    cell = torch.tensor([[2 / 6, 2 / 3]], dtype=torch.float64)
    expected = Reference(net, size=size, nearest=nearest_pixel)(image)[[1, 4], [1, 1]]
    np.testing.assert_allclose(net(image[None], coord, cell)[0].detach().numpy(), expected, rtol=0, atol=1e-9)


def test_a_whole_image_at_scale_1_5_takes_the_grids_that_nearest_sampling_reads():
    net, image, size = lively(), torch.rand(3, 4, 6), (6, 9)
    rows, cols = torch.meshgrid(torch.arange(4.0), torch.arange(6.0), indexing="ij")

    def nearest(x: Point, _) -> Index:
        i, j = int(x[0] * 6), int(x[1] * 9)
        point = (queries(size).float().view(6, 9, 2))[i, j].flip(0).view(1, 1, 1, 2)
        read = F.grid_sample(torch.stack([rows, cols])[None], point, mode="nearest", align_corners=False).flatten()
        return int(read[0]), int(read[1])

    expected = Reference(net, size=size, nearest=nearest)(image.double())
    actual = net.float().upscale(image[None], size)[0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(actual, expected, rtol=0, atol=2e-3)  # float32 rounds the phases of frequency 1023
