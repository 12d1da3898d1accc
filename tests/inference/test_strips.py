"""Images upscaled strip by strip, in tiles, against the whole image."""

import pytest
import torch
from torch import nn

from clit_plugin.archs import CLIT, LIIF
from clit_plugin.inference.strips import UpscaleJob, upscale_strips, upscale_whole
from clit_plugin.inference.tiling import Tiling, axis_tile, margin_of, split_axis
from clit_plugin.ops.self_ensemble import upscale_ensemble

EDSR = {"type": "EDSRBaseline", "num_feat": 6, "num_block": 1}
BASE = {"dim": 8, "num_heads": 2, "decoder_hidden": [8], "local_grid": 3}
FURTHER = {
    "SwinIR": {"type": "SwinIR", "embed_dim": 8, "depths": [2], "num_heads": [2]},
    "RCAN": {"type": "RCAN", "num_feat": 16, "num_group": 1, "num_block": 1},
    "RDN": {"type": "RDN", "num_feat": 4, "num_block": 20, "num_layer": 4, "growth": 2},
}


def in_tiles(net, lq, size, tiling, **more):
    strips = list(upscale_strips(UpscaleJob(net=net, lq=lq, size=size, **more), tiling))
    assert len(strips) > 1
    return torch.cat(strips, 1)


@pytest.mark.parametrize(
    ("make", "options"),
    [(CLIT, {**BASE, "num_branches": 2}), (LIIF, {"decoder_hidden": [8]})],
)
@pytest.mark.parametrize(("lq", "size"), [((70, 51), (239, 173)), ((41, 66), (41, 400))])
def test_tiles_equal_the_whole_where_the_margin_covers_the_receptive_field(make, options, lq, size):
    net = make(encoder=EDSR, **options).eval().requires_grad_(False)
    image = torch.rand(3, *lq)
    margin, overlap = margin_of(net)
    assert overlap == 0 and margin in (8, 16)
    reported = []
    tiling = Tiling(tile=24, rows=16, margin=margin, overlap=overlap)
    actual = in_tiles(net, image, size, tiling, progress=reported.append)
    assert (actual - net.upscale(image[None], size)[0]).abs().max() < 1e-4
    assert sum(reported) == pytest.approx(size[0] * size[1], rel=1e-6)


@pytest.mark.parametrize("views", [4, 8])
def test_the_self_ensemble_in_tiles_equals_that_of_the_whole(views):
    net = CLIT(encoder=EDSR, **BASE, num_branches=2).eval().requires_grad_(False)
    image, size = torch.rand(3, 29, 22), (100, 40)
    margin, _ = margin_of(net)
    tiling = Tiling(tile=16, rows=16, margin=margin, overlap=0)
    expected = upscale_ensemble(net.upscale, image[None], size, views)[0]
    torch.testing.assert_close(in_tiles(net, image, size, tiling, views=views), expected, rtol=0, atol=1e-4)


def pattern(kind, side=120):
    """(3, side, side): a gradient, or fine texture upon one."""
    y, x = torch.meshgrid(torch.linspace(0.1, 0.9, side), torch.linspace(0.2, 0.8, side), indexing="ij")
    if kind == "gradient":
        return torch.stack([y, x, (x + y) / 2])
    waves = 0.15 * torch.sin(torch.arange(side) * 1.3).outer(torch.cos(torch.arange(side) * 0.9))
    return torch.stack([y + waves, x - waves, (x + y) / 2])


def step_across(image, at, *, axis):
    """How much larger the mean step between neighbours is at some lines than just beside them."""
    image = image if axis == 1 else image.transpose(1, 2)
    steps = image.diff(dim=1).abs().mean((0, 2))
    return max((steps[i - 1] / steps[i - 12 : i + 11].median()).item() for i in at)


@pytest.mark.parametrize(
    ("encoder", "kind"), [("SwinIR", "texture"), ("RDN", "texture"), ("RCAN", "texture"), ("RCAN", "gradient")]
)
def test_blending_leaves_no_seams_where_the_receptive_field_exceeds_the_margin(encoder, kind):
    net = LIIF(encoder=FURTHER[encoder], decoder_hidden=[8], local_ensemble=False).eval().requires_grad_(False)
    margin, overlap = margin_of(net)
    assert (margin, overlap) == (48, 32)
    image, size = pattern(kind), (240, 240)
    whole = net.upscale(image[None], size)[0]
    blended = in_tiles(net, image, size, Tiling(tile=40, rows=40, margin=margin, overlap=overlap))
    cuts = [2 * stop for _, stop in split_axis(120, 40)[:-1]]
    for axis in (1, 2):
        # A step at a border would stand out among its neighbours; the whole image's own texture is the measure.
        assert step_across(blended, cuts, axis=axis) < 1.25 * max(1.0, step_across(whole, cuts, axis=axis))
    spread = whole.max() - whole.min()
    assert (blended - whole).abs().max() < 0.05 * spread


def test_without_overlap_the_seam_measure_finds_seams():
    net = LIIF(encoder=FURTHER["RCAN"], decoder_hidden=[8], local_ensemble=False).eval().requires_grad_(False)
    image = pattern("gradient")
    hard = in_tiles(net, image, (240, 240), Tiling(tile=40, rows=40, margin=0, overlap=0))
    cuts = [2 * stop for _, stop in split_axis(120, 40)[:-1]]
    assert step_across(hard, cuts, axis=1) > 1.5


@pytest.mark.parametrize(("n", "n_out", "side", "overlap"), [(100, 341, 24, 16), (65, 65, 32, 0), (97, 1000, 40, 32)])
def test_blending_weights_of_the_tiles_sum_to_one(n, n_out, side, overlap):
    total = torch.zeros(n_out)
    for span in split_axis(n, side):
        one = axis_tile(n, n_out, span, margin=40, overlap=overlap)
        assert one.lr_span[0] >= 0 and one.lr_span[1] <= n
        total[slice(*one.out_span)] += one.weights
    torch.testing.assert_close(total, torch.ones(n_out))


class Hungry(nn.Module):
    """An encoder that runs out of memory on tiles of more than so many pixels."""

    out_channels, reach = 4, 1

    def __init__(self, most):
        super().__init__()
        self.conv, self.most, self.seen = nn.Conv2d(3, 4, 3, padding=1), most, []

    def forward(self, x):
        self.seen.append(tuple(x.shape[-2:]))
        if x.shape[-1] * x.shape[-2] > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return self.conv(x)


def hungry(most):
    net = LIIF(encoder=EDSR, decoder_hidden=[8]).eval().requires_grad_(False)
    net.encoder = Hungry(most).requires_grad_(False)
    net.decoder[0] = nn.Linear(9 * 4 + 4, 8).requires_grad_(False)
    return net


def test_running_out_of_memory_retries_with_smaller_tiles():
    net, image, size = hungry(110 * 110), torch.rand(3, 300, 260), (330, 290)
    reported, sides = [], []
    job = UpscaleJob(net=net, lq=image, size=size, progress=reported.append)
    strips = list(upscale_strips(job, Tiling(tile=256, rows=256, margin=8, overlap=0), sides.append))
    assert sides == [128, 64]
    assert sum(reported) == pytest.approx(size[0] * size[1], rel=1e-6)
    net.encoder.most = 10**9
    torch.testing.assert_close(torch.cat(strips, 1), net.upscale(image[None], size)[0], rtol=0, atol=1e-5)


def test_running_out_of_memory_with_the_smallest_tiles_is_an_error():
    job = UpscaleJob(net=hungry(10), lq=torch.rand(3, 200, 200), size=(210, 210))
    with pytest.raises(torch.OutOfMemoryError):
        list(upscale_strips(job, Tiling(tile=256, rows=256, margin=8, overlap=0)))


def test_networks_that_cannot_compute_parts_use_a_tiled_encoder():
    net = CLIT(encoder=EDSR, **BASE, reference=True).eval().requires_grad_(False)
    job = UpscaleJob(net=net, lq=torch.rand(3, 60, 50), size=(90, 80))
    encoder = net.encoder
    torch.testing.assert_close(upscale_whole(job, 16), net.upscale(job.lq[None], job.size)[0])
    assert net.encoder is encoder


class Global(nn.Module):
    """Features depend on the mean of all that is seen, as by RCAN's channel attention, but strongly."""

    out_channels = 4

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)

    def forward(self, x):
        return self.conv(x) + self.conv(x.mean((2, 3), keepdim=True).expand_as(x))


def test_overlap_hides_the_seams_of_an_encoder_with_global_context():
    net = hungry(0)
    net.encoder = Global().requires_grad_(False)
    image, size = pattern("gradient", side=200), (400, 400)
    cuts = [2 * stop for _, stop in split_axis(200, 40)[:-1]]
    steps = {}
    for overlap in (0, 32):
        tiles = in_tiles(net, image, size, Tiling(tile=40, rows=40, margin=48, overlap=overlap))
        steps[overlap] = max(step_across(tiles, cuts, axis=axis) for axis in (1, 2))
    assert steps[0] > 1.4 and steps[32] < 1.1, steps
