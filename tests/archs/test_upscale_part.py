"""Parts of an output from parts of an image, against the whole."""

import pytest
import torch

from clit_plugin.archs import CLIT, IPE, LIIF, LTE, MetaSR, UltraSR
from clit_plugin.ops.coordinates import make_coord
from clit_plugin.ops.local_attention import sample_bilinear
from clit_plugin.ops.parts import Part, sample_bilinear_part, whole

ENCODER = {"type": "EDSRBaseline", "num_feat": 6, "num_block": 1}  # sees 4 pixels
REACH = 4
BASE = {"dim": 8, "num_heads": 2, "decoder_hidden": [8]}
NETS = {
    "CLIT": (CLIT, {**BASE, "num_branches": 3, "local_grid": 3}),
    "LIT of 7 x 7": (CLIT, {**BASE, "num_branches": 1}),
    "CLIT with local ensemble and an uneven grid": (
        CLIT,
        {**BASE, "num_branches": 2, "local_grid": (3, 5), "local_ensemble": True},
    ),
    "CLIT of a grid of one": (CLIT, {**BASE, "num_branches": 2, "local_grid": 1, "positional_encoding": "eq6"}),
    "LIIF": (LIIF, {"decoder_hidden": [8]}),
    "LIIF without ensemble and unfolding": (
        LIIF,
        {"decoder_hidden": [8], "local_ensemble": False, "feature_unfold": False},
    ),
    "LIIF by the plain path": (LIIF, {"decoder_hidden": [8], "reference": True}),
    "LTE": (LTE, {"decoder_hidden": [8], "width": 8}),
    "IPE": (IPE, {"decoder_hidden": [8], "num_frequencies": 3}),
    "UltraSR": (UltraSR, {"width": 8}),
    "MetaSR": (MetaSR, {"width": 8}),
}
SIZES = [((25, 31), (84, 106)), ((27, 30), (31, 30)), ((24, 27), (49, 189))]


def parts(lq_size, size, reach, cuts=2):
    """Parts that cover the output, each given ``reach`` LR pixels around itself."""
    spans = []
    for n, n_out in zip(lq_size, size, strict=True):
        edges = [n * i // cuts for i in range(cuts + 1)]
        axis = []
        for start, stop in zip(edges, edges[1:], strict=False):
            out = (-(-start * n_out // n), -(-stop * n_out // n))
            axis.append(((max(0, start - reach), min(n, stop + reach)), out))
        spans.append(axis)
    for (y0, y1), rows in spans[0]:
        for (x0, x1), columns in spans[1]:
            yield (slice(y0, y1), slice(x0, x1)), Part(lq_size, (y0, x0), rows, columns)


@pytest.mark.parametrize(("lq_size", "size"), SIZES)
@pytest.mark.parametrize("name", NETS)
def test_parts_are_cut_from_the_whole_image(name, lq_size, size):
    kind, options = NETS[name]
    net = kind(encoder=ENCODER, **options).eval().double()
    lq = torch.rand(1, 3, *lq_size, dtype=torch.float64)
    expected = net.upscale(lq, size)
    actual = torch.full_like(expected, torch.nan)
    reported = []
    for (rows, columns), part in parts(lq_size, size, REACH + net.head_reach):
        result = net.upscale_part(lq[..., rows, columns], size, part, progress=reported.append)
        assert result.shape[-2:] == part.shape
        actual[..., slice(*part.rows), slice(*part.columns)] = result
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-9)
    assert sum(reported) == pytest.approx(size[0] * size[1])


@pytest.mark.parametrize("name", ["CLIT", "LIIF", "LTE", "MetaSR"])
def test_parts_of_kept_features_are_cut_from_the_whole_image_without_the_encoder(name):
    kind, options = NETS[name]
    net = kind(encoder=ENCODER, **options).eval().double()
    lq, size = torch.rand(1, 3, 25, 31, dtype=torch.float64), (84, 106)
    expected, features = net.upscale(lq, size), net.encode(lq)
    net.encoder.forward = None
    for (rows, columns), part in parts((25, 31), size, net.head_reach):
        actual = net.upscale_part(lq[..., rows, columns], size, part, features=features[..., rows, columns])
        torch.testing.assert_close(actual, expected[..., slice(*part.rows), slice(*part.columns)], rtol=0, atol=1e-9)


def test_attention_maps_come_from_a_part_of_the_features():
    net = CLIT(encoder=ENCODER, **BASE, num_branches=2, local_grid=3).eval().double()
    lq, coord = torch.rand(1, 3, 41, 37, dtype=torch.float64), torch.tensor([[(0.1, -0.2)]], dtype=torch.float64)
    features, stages = net.encode(lq), [(164, 148)]
    given = (slice(22 - net.head_reach, 23 + net.head_reach), slice(14 - net.head_reach, 15 + net.head_reach))
    part = Part((41, 37), (given[0].start, given[1].start), (0, 0), (0, 0))
    cut = net.attention(lq[..., given[0], given[1]], coord, stages, features[..., given[0], given[1]], part)
    for expected, actual in zip(net.attention(lq, coord, stages), cut, strict=True):
        assert actual.size == expected.size
        torch.testing.assert_close(actual.weights, expected.weights, rtol=0, atol=1e-9)
        torch.testing.assert_close(actual.centre, expected.centre)


def test_a_margin_below_the_reach_changes_the_part():
    net = LIIF(encoder=ENCODER, decoder_hidden=[8]).eval().double()
    lq, size = torch.rand(1, 3, 30, 30, dtype=torch.float64), (61, 60)
    expected = net.upscale(lq, size)
    worst = 0.0
    for (rows, columns), part in parts((30, 30), size, REACH + net.head_reach - 3):
        result = net.upscale_part(lq[..., rows, columns], size, part)
        worst = max(worst, (result - expected[..., slice(*part.rows), slice(*part.columns)]).abs().max().item())
    assert worst > 1e-9


@pytest.mark.parametrize("options", [{"reference": True}, {"local_attention": False}, {"frequency_channels": 2}])
def test_networks_without_parts_support_only_whole_images(options):
    net = CLIT(encoder=ENCODER, **BASE, local_grid=3, **options).eval()
    lq = torch.rand(1, 3, 6, 7)
    assert net.head_reach is None
    torch.testing.assert_close(net.upscale_part(lq, (9, 11), whole((6, 7), (9, 11))), net.upscale(lq, (9, 11)))
    with pytest.raises(ValueError, match="CLIT computes whole images only"):
        net.upscale_part(lq, (9, 11), Part((6, 7), (0, 0), (0, 4), (0, 11)))


@pytest.mark.parametrize(("lq_size", "size"), [((5, 7), (13, 7)), ((1, 3), (4, 5)), ((6, 4), (5, 9))])
def test_the_bilinear_image_of_a_part_is_that_of_the_whole(lq_size, size):
    lq = torch.rand(2, 3, *lq_size, dtype=torch.float64)
    coord = make_coord(size, dtype=torch.float64).expand(2, -1, -1)
    expected = sample_bilinear(lq, coord, padding_mode="border").transpose(1, 2).unflatten(2, size)
    actual = sample_bilinear_part(lq, size, whole(lq_size, size), dtype=torch.float64)
    torch.testing.assert_close(actual, expected)
