import math
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import yaml
from basicsr.archs import build_network
from torch import nn

from clit_plugin.archs import lit_branch
from clit_plugin.archs.clit_arch import CLIT
from clit_plugin.ops.coordinates import make_coord
from clit_plugin.utils.errors import UserError

ENCODER = {"type": "EDSRBaseline", "num_feat": 5, "num_block": 1}
SMALL = {"encoder": ENCODER, "dim": 6, "num_heads": 2, "local_grid": 3, "decoder_hidden": [7, 5]}
Point = tuple[Fraction, Fraction]
Index = tuple[int, int]


def small(**changes) -> CLIT:
    return CLIT(**{**SMALL, **changes})


def lively(**changes) -> CLIT:
    """A small net in float64 whose attention is far from uniform, and whose residual is as large as the image."""
    net = small(**changes).double()
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            if name.startswith(("branches", "pos_bias")):
                parameter.mul_(3.0)
    return net


# ---------------------------------------------------------------------- the reference: one query after the other


def nearest_pixel(x: Point, size: tuple[int, ...]) -> Index:
    """The pixel nearest to a point; half way between two of them the even one."""
    row, col = (min(max(round(p * n - Fraction(1, 2)), 0), n - 1) for p, n in zip(x, size, strict=True))
    return row, col


def only_nearest_pixel(x: Point, size: tuple[int, ...]) -> Index:
    """As ``nearest_pixel``, where no two are equally near; floats would decide otherwise, by their rounding."""
    assert all((p * n).denominator > 1 or p * n in (0, n) for p, n in zip(x, size, strict=True))
    return nearest_pixel(x, size)


class Reference:
    """CLIT from the paper's equations, in float64 and exact fractions, on one image (3, H, W).

    Positions are fractions of the image, so that a pixel i of n lies at (i + 1/2) / n.
    """

    def __init__(
        self,
        net: CLIT,
        *,
        size: tuple[int, int],
        stages: tuple[tuple[int, int], ...] = (),
        attention: bool = True,
        cell: bool = True,
        ensemble: bool = False,
        grid: tuple[int, int] = (3, 3),
        nearest: Callable[[Point, tuple[int, ...]], Index] = only_nearest_pixel,
    ) -> None:
        self.net, self.size, self.stages = net, size, stages
        self.attention, self.cell, self.ensemble = attention, cell, ensemble
        self.grid = grid if attention else (1, 1)
        self.nearest = nearest

    def __call__(self, image: torch.Tensor) -> np.ndarray:
        """(H_out, W_out, 3)."""
        with torch.no_grad():
            normalised = ((image - 0.5) / 0.5)[None]
            feature = self._conv(self.net.conv_feat, self.net.encoder(normalised))
            maps = [feature[0].numpy(), *(self._resized(feature[0].numpy(), size) for size in self.stages)]
            parts = [(branch, z, *self._embed(branch, z)) for branch, z in zip(self.net.branches, maps, strict=False)]
            result = np.zeros((*self.size, 3))
            for i, j in np.ndindex(*self.size):
                x = (Fraction(2 * i + 1, 2 * self.size[0]), Fraction(2 * j + 1, 2 * self.size[1]))
                colour = self._bilinear(normalised[0].numpy(), x, border=True)
                for n, (branch, z, q, k, v) in enumerate(parts, start=1):  # eq. 9
                    predict = self._blend if self.ensemble else self._predict
                    colour = colour + self.net.discount ** (len(parts) - n) * predict(branch, z, q, k, v, x, x)
                result[i, j] = colour * 0.5 + 0.5
        return result

    def _embed(self, branch: nn.Module, z: np.ndarray) -> list[np.ndarray | None]:
        layers = [branch.to_q, branch.to_k, branch.to_v] if self.attention else [None, None, branch.to_v]
        feature = torch.from_numpy(z)[None]
        return [None if layer is None else self._conv(layer, feature)[0].numpy() for layer in layers]

    @staticmethod
    def _conv(layer: nn.Conv2d, feature: torch.Tensor) -> torch.Tensor:
        return F.conv2d(feature, layer.weight, layer.bias, padding=1)

    @staticmethod
    def _pixel(z: np.ndarray, row: int, col: int) -> np.ndarray:
        inside = 0 <= row < z.shape[1] and 0 <= col < z.shape[2]
        return z[:, row, col] if inside else np.zeros(z.shape[0])

    def _bilinear(self, z: np.ndarray, x: Point, *, border: bool) -> np.ndarray:
        u, v = (p * n - Fraction(1, 2) for p, n in zip(x, z.shape[1:], strict=True))
        if border:
            u, v = (min(max(p, 0), n - 1) for p, n in zip((u, v), z.shape[1:], strict=True))
        row, col = math.floor(u), math.floor(v)
        down, right = float(u - row), float(v - col)
        return (
            self._pixel(z, row, col) * (1 - down) * (1 - right)
            + self._pixel(z, row, col + 1) * (1 - down) * right
            + self._pixel(z, row + 1, col) * down * (1 - right)
            + self._pixel(z, row + 1, col + 1) * down * right
        )

    def _resized(self, z: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """Eq. 8, with zeros outside."""
        resized = np.zeros((z.shape[0], *size))
        for i, j in np.ndindex(*size):
            x = (Fraction(2 * i + 1, 2 * size[0]), Fraction(2 * j + 1, 2 * size[1]))
            resized[:, i, j] = self._bilinear(z, x, border=False)
        return resized

    def _delta(self, x: Point, pixel: Index, size: tuple[int, ...]) -> tuple[float, float]:
        """Eq. 2 in units of half a pixel."""
        y, x = (float(2 * (p * n - Fraction(1, 2) - i)) for p, n, i in zip(x, size, pixel, strict=True))
        return y, x

    def _bias(self, delta: tuple[float, float]) -> np.ndarray:
        """Eq. 5 and 6, (heads,)."""
        frequencies = [float(f) for f in self.net.pos_bias.frequencies]
        phases = [f * d for d in delta for f in frequencies]
        encoded = [math.sin(p) for p in phases] + [math.cos(p) for p in phases] if frequencies else list(delta)
        return self.net.pos_bias.weight.numpy() @ np.array(encoded) + self.net.pos_bias.bias.numpy()

    def _predict(self, branch, z, q, k, v, x: Point, centre: Point) -> np.ndarray:
        """I(x), eq. 3, 4 and 7."""
        size = z.shape[1:]
        row, col = self.nearest(centre, size)
        reach = [range(-(n // 2), n // 2 + 1) for n in self.grid]
        neighbours = [(row + dy, col + dx) for dy in reach[0] for dx in reach[1]]
        values = [self._pixel(v, *neighbour) for neighbour in neighbours]
        if self.attention:
            query = self._bilinear(q, x, border=False)
            biases = [self._bias(self._delta(x, neighbour, size)) for neighbour in neighbours]
            heads = len(biases[0])
            width = len(query) // heads
            for h in range(heads):
                part = slice(h * width, (h + 1) * width)
                logits = [
                    float(query[part] @ self._pixel(k, *neighbour)[part]) / math.sqrt(width) + float(bias[h])
                    for neighbour, bias in zip(neighbours, biases, strict=True)
                ]
                total = sum(math.exp(value) for value in logits)
                for n, value in enumerate(logits):
                    values[n] = values[n].copy()
                    values[n][part] *= math.exp(value) / total
        z_tilde = np.concatenate(values)
        if self.cell:  # (2 / H_out, 2 / W_out) in half-pixels of the map
            z_tilde = np.append(z_tilde, [2 * n / out for n, out in zip(size, self.size, strict=True)])
        return self._decode(branch.decoder, z_tilde)

    @staticmethod
    def _decode(decoder: nn.Sequential, x: np.ndarray) -> np.ndarray:
        linear = [layer for layer in decoder if isinstance(layer, nn.Linear)]
        for layer in linear[:-1]:
            x = layer.weight.numpy() @ x + layer.bias.numpy()
            x = np.array([0.5 * value * (1 + math.erf(value / math.sqrt(2))) for value in x])  # GELU
        return linear[-1].weight.numpy() @ x + linear[-1].bias.numpy()

    def _blend(self, branch, z, q, k, v, x: Point, _: Point) -> np.ndarray:
        """LIIF's local ensemble: the grids about the pixels up and down, left and right of x."""
        size, predictions, areas = z.shape[1:], {}, {}
        for shift in ((-1, -1), (-1, 1), (1, -1), (1, 1)):
            # LIIF's epsilon, 1e-6 of an image that is 2 units wide.
            moved = [p + Fraction(s, 2 * n) + Fraction(1, 2_000_000) for p, s, n in zip(x, shift, size, strict=True)]
            least = Fraction(1, 2_000_000)
            centre = (min(max(moved[0], least), 1 - least), min(max(moved[1], least), 1 - least))
            dy, dx = self._delta(x, self.nearest(centre, size), size)
            areas[shift] = abs(dy * dx) + 1e-9
            predictions[shift] = self._predict(branch, z, q, k, v, x, centre)
        total = sum(areas.values())
        return sum(predictions[a, b] * areas[-a, -b] / total for a, b in predictions)


def upscaled(net: CLIT, image: torch.Tensor, size: tuple[int, int], **options) -> np.ndarray:
    return net.upscale(image[None], size, **options)[0].permute(1, 2, 0).numpy()


def queries(size: tuple[int, int]) -> torch.Tensor:
    """Pixel centres (H * W, 2), written out."""
    return torch.tensor(
        [[(2 * i + 1) / size[0] - 1, (2 * j + 1) / size[1] - 1] for i, j in np.ndindex(*size)], dtype=torch.float64
    )


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


@pytest.mark.parametrize(("options", "told"), VARIANTS.values(), ids=VARIANTS)
@pytest.mark.parametrize("render", PATHS)
def test_every_variant_equals_the_equations(options, told, render):
    net, image, size = lively(**options), torch.rand(3, 3, 5, dtype=torch.float64), (5, 8)
    assert_equal(render(net, image, size), Reference(net, size=size, **told)(image))


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
    told = {
        "ensemble": options.get("local_ensemble", False),
        "attention": options.get("local_attention", True),
        "cell": options.get("cell_decoding", True),
    }
    stages = ((3, 5),)
    assert_equal(render(net, image, size, stage_sizes=stages), Reference(net, size=size, stages=stages, **told)(image))


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


# ---------------------------------------------------------------------- calling it


@pytest.mark.parametrize("max_queries", [1, 7, 98, 99, 100])
def test_chunks_make_the_whole(max_queries):
    net, lq = lively(num_branches=2, local_ensemble=True), torch.rand(2, 3, 2, 2, dtype=torch.float64)
    whole = net.upscale(lq, (9, 11), max_queries=1000)
    torch.testing.assert_close(net.upscale(lq, (9, 11), max_queries=max_queries), whole, rtol=0, atol=1e-12)


@pytest.mark.parametrize("max_queries", [1, 7, 98, 99, 100])
def test_no_chunk_of_the_reference_path_is_larger_than_max_queries(max_queries, monkeypatch):
    sizes, gather = [], lit_branch.gather_local_grid
    monkeypatch.setattr(lit_branch, "gather_local_grid", lambda f, i, g: sizes.append(i.shape[1]) or gather(f, i, g))
    net = small(local_attention=False, num_branches=2, reference=True)
    net.upscale(torch.rand(1, 3, 2, 2), (9, 11), max_queries=max_queries)
    assert max(sizes) <= max_queries
    assert sum(sizes) == 2 * 99  # both branches, every pixel once


def test_the_reference_path_decodes_all_queries_at_once_in_training(monkeypatch):
    sizes, gather = [], lit_branch.gather_local_grid
    monkeypatch.setattr(lit_branch, "gather_local_grid", lambda f, i, g: sizes.append(i.shape[1]) or gather(f, i, g))
    small(local_attention=False, reference=True)(torch.rand(2, 3, 4, 4), torch.rand(2, 50, 2), torch.full((2, 2), 0.2))
    assert sizes == [50]


@pytest.mark.parametrize("batch", [1, 3, 16])
@pytest.mark.parametrize(("grid", "dim"), [(7, 256), (25, 64), (1, 256)])
def test_the_default_chunk_keeps_the_gathered_features_within_256_mb(grid, dim, batch):
    with torch.device("meta"):
        net = small(dim=dim, num_heads=8, local_grid=grid)
    chunk = net.default_max_queries(batch)
    gathered = batch * chunk * grid**2 * dim * 4  # bytes of float32 keys, or of values
    assert 2 * gathered <= 2**28
    assert gathered * 8 >= 2**28  # and it is not needlessly small


def test_the_default_chunk_is_at_least_one_query():
    with torch.device("meta"):
        assert small(dim=256, local_grid=25).default_max_queries(10**6) == 1


def test_the_reference_path_uses_the_default_chunk(monkeypatch):
    net, lq = small(reference=True), torch.rand(2, 3, 3, 4)
    asked = []
    monkeypatch.setattr(net, "default_max_queries", lambda batch: asked.append(batch) or 5)
    sizes, gather = [], lit_branch.gather_local_grid
    monkeypatch.setattr(lit_branch, "gather_local_grid", lambda f, i, g: sizes.append(i.shape[1]) or gather(f, i, g))
    net.upscale(lq, (4, 5))
    assert asked == [2]
    assert max(sizes) == 5


@pytest.mark.parametrize("size", [(7, 11), (12, 12), (13, 8), (3, 16)])
def test_forward_chooses_the_grids_that_upscale_does(size, monkeypatch):
    net, grids = small(num_branches=3), []
    monkeypatch.setattr(net, "residual", lambda lq, coord, *rest: grids.append(list(rest[1])) or torch.zeros(1, 1, 3))
    net(torch.rand(1, 3, 3, 2), torch.zeros(1, 1, 2), torch.tensor([[2 / size[0], 2 / size[1]]]))
    monkeypatch.setattr(net, "residual_image", lambda x, s, stages, m, p: grids.append(stages) or torch.zeros(1, 3, *s))
    net.upscale(torch.rand(1, 3, 3, 2), size)
    assert grids[0] == grids[1]


def test_forward_takes_the_smallest_cell_of_a_batch_for_its_grids(monkeypatch):
    net, grids = small(num_branches=2), []
    monkeypatch.setattr(net, "residual", lambda *args: grids.append(list(args[3])) or torch.zeros(2, 1, 3))
    net(torch.rand(2, 3, 3, 2), torch.zeros(2, 1, 2), torch.tensor([[2 / 6, 2 / 10], [2 / 15, 2 / 4]]))
    assert grids == [[(12, 8)]]  # for 15 x 10


def test_images_of_a_batch_do_not_mix():
    net, lq = lively(num_branches=2), torch.rand(3, 3, 3, 2, dtype=torch.float64)
    together = net.upscale(lq, (13, 11))
    for i in range(3):
        torch.testing.assert_close(net.upscale(lq[i : i + 1], (13, 11)), together[i : i + 1], rtol=0, atol=1e-12)


def test_every_image_of_a_batch_has_its_own_queries_and_cell():
    net, lq = lively(), torch.rand(2, 3, 3, 4, dtype=torch.float64)
    coord, cell = torch.rand(2, 9, 2, dtype=torch.float64) * 2 - 1, torch.tensor([[0.2, 0.3], [0.4, 0.1]]).double()
    together = net(lq, coord, cell)
    for i in range(2):
        alone = net(lq[i : i + 1], coord[i : i + 1], cell[i : i + 1])
        torch.testing.assert_close(alone, together[i : i + 1], rtol=0, atol=1e-12)


def test_the_result_is_not_clamped():
    net = small()
    with torch.no_grad():
        net.branches[0].decoder[-1].bias.copy_(torch.tensor([9.0, -9.0, 0.0]))
    rgb = net.upscale(torch.rand(1, 3, 4, 4), (6, 7))
    assert rgb[0, 0].min() > 1
    assert rgb[0, 1].max() < 0


def test_without_a_residual_the_image_is_interpolated():
    net, lq = small(), torch.rand(2, 3, 5, 7)
    with torch.no_grad():
        net.branches[0].decoder[-1].weight.zero_()
        net.branches[0].decoder[-1].bias.zero_()
    expected = F.interpolate(lq, (13, 11), mode="bilinear", align_corners=False)
    torch.testing.assert_close(net.upscale(lq, (13, 11)), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("training", [True, False])
def test_upscale_keeps_the_mode_and_records_no_gradient(training):
    net = small().train(training)
    assert not net.upscale(torch.rand(1, 3, 4, 4), (5, 6)).requires_grad
    assert all(module.training == training for module in net.modules())


def test_float64_in_gives_float64_out():
    net = small(num_branches=2).double()
    lq = torch.rand(1, 3, 2, 3, dtype=torch.float64)
    assert net.upscale(lq, (9, 13)).dtype == torch.float64
    assert net(lq, torch.zeros(1, 4, 2).double(), torch.full((1, 2), 0.3).double()).dtype == torch.float64


@pytest.mark.parametrize("grid", [1, 9, 25])
def test_local_grids_up_to_25_run(grid):
    net = small(local_grid=grid)
    assert net.upscale(torch.rand(1, 3, 4, 5), (6, 9)).isfinite().all()


def test_an_image_of_one_pixel_can_be_upscaled():
    assert small(num_branches=2).upscale(torch.rand(1, 3, 1, 1), (5, 7)).isfinite().all()


@pytest.mark.parametrize("size", [(0, 5), (5, 0), (-1, 5)])
def test_an_output_without_pixels_is_refused(size):
    with pytest.raises(ValueError, match="size: expected two positive integers"):
        small().upscale(torch.rand(1, 3, 4, 4), size)


def test_a_chunk_of_no_queries_is_refused():
    with pytest.raises(ValueError, match="max_queries: expected at least 1, got 0"):
        small().upscale(torch.rand(1, 3, 4, 4), (5, 5), max_queries=0)


@pytest.mark.parametrize("branches", [1, 2])
def test_more_grids_than_branches_are_refused(branches):
    net, lq, stages = small(num_branches=branches), torch.rand(1, 3, 4, 4), [(5, 5)] * branches
    with pytest.raises(ValueError, match=f"at most {branches - 1} grids"):
        net.upscale(lq, (6, 6), stage_sizes=stages)
    with pytest.raises(ValueError, match=f"at most {branches - 1} grids"):
        net(lq, torch.zeros(1, 1, 2), torch.full((1, 2), 0.3), stages)


# ---------------------------------------------------------------------- building it


def head_parameters(**changes) -> int:
    """Parameters of the paper's net on an encoder of 64 channels, without the encoder."""
    with torch.device("meta"):
        net = CLIT(encoder={"type": "EDSRBaseline", "num_block": 1}, **changes)
    count = {name: sum(p.numel() for p in module.parameters()) for name, module in net.named_children()}
    return sum(count.values()) - count["encoder"]


# conv_feat and the bias are shared; a branch has three convolutions and the decoder.
SHARED = (64 * 9 * 256 + 256) + (64 * 8 + 8)
BRANCH = 3 * (256 * 9 * 256 + 256) + ((49 * 256 + 2) * 256 + 256) + 3 * (256 * 256 + 256) + (256 * 3 + 3)


@pytest.mark.parametrize(("branches", "parameters"), [(1, 5_328_651), (3, 15_689_489)])
def test_the_defaults_are_the_paper_s_sizes(branches, parameters):
    assert SHARED + branches * BRANCH == parameters
    assert head_parameters(num_branches=branches) == parameters


def test_variants_have_the_parameters_that_their_parts_need():
    whole = head_parameters()
    assert head_parameters(cell_decoding=False) == whole - 2 * 256
    assert head_parameters(positional_encoding="eq6") == whole - (64 - 40) * 8
    assert head_parameters(positional_encoding="none") == whole - (64 - 2) * 8
    assert head_parameters(local_ensemble=True) == whole
    without = whole - (64 * 8 + 8) - 2 * (256 * 9 * 256 + 256) - 48 * 256 * 256
    assert head_parameters(local_attention=False) == without


@pytest.mark.parametrize("name", ["released", "eq6", "none"])
def test_the_frequencies_are_constants_and_no_weights(name):
    net = small(positional_encoding=name)
    assert not [key for key in net.state_dict() if "frequencies" in key]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"local_grid": 4}, "local_grid: expected an odd number"),
        ({"local_grid": 0}, "local_grid: expected an odd number"),
        ({"local_grid": -3}, "local_grid: expected an odd number"),
        ({"local_grid": [3, 4]}, "local_grid: expected an odd number"),
        ({"local_grid": [3, 3, 3]}, "local_grid: expected an odd number"),
        ({"num_branches": 0}, "num_branches: expected at least 1, got 0"),
        ({"dim": 7}, r"dim: expected a positive multiple of num_heads \(2\), got 7"),
        ({"dim": 0}, "dim: expected a positive multiple"),
        ({"num_heads": 0}, "dim: expected a positive multiple"),
        ({"decoder_hidden": [8, 0]}, r"decoder_hidden: expected positive widths, got \[8, 0\]"),
        ({"positional_encoding": "fourier"}, "positional_encoding: expected one of .* got 'fourier'"),
    ],
)
def test_arguments_outside_their_bounds_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        small(**arguments)


def test_an_unknown_argument_is_refused_by_name():
    with pytest.raises(TypeError, match="num_branch'"):
        small(num_branch=2)


def test_an_unknown_encoder_is_refused_with_those_there_are():
    with pytest.raises(UserError, match="no type named 'EDSRBase'; there are .*EDSRBaseline"):
        small(encoder={"type": "EDSRBase"})


def test_it_is_built_from_yaml_by_basicsr():
    options = yaml.safe_load(
        """
        type: CLIT
        encoder: {type: EDSRBaseline, num_feat: 5, num_block: 1}
        num_branches: 2
        dim: 6
        num_heads: 2
        local_grid: [3, 5]
        decoder_hidden: [7, 5]
        positional_encoding: eq6
        local_attention: true
        cell_decoding: false
        local_ensemble: true
        discount: 0.5
        """
    )
    net = build_network(options)
    assert isinstance(net, CLIT)
    assert (net.num_branches, net.local_grid, net.discount) == (2, (3, 5), 0.5)
    assert net.upscale(torch.rand(1, 3, 2, 3), (9, 13)).shape == (1, 3, 9, 13)
    assert options["encoder"]["type"] == "EDSRBaseline"  # the options can be used again


# ---------------------------------------------------------------------- training it


def train_step(net: CLIT, stages: list[tuple[int, int]]) -> None:
    # The queries take in the border: elsewhere a bias of the keys changes all logits alike and has no gradient.
    coord, cell = queries((9, 7)).float().expand(2, -1, -1), torch.tensor([[2 / 9, 2 / 7]]).expand(2, -1)
    net(torch.rand(2, 3, 4, 5), coord, cell, stages).square().sum().backward()


@pytest.mark.parametrize("encoding", ["released", "eq6", "none"])
@pytest.mark.parametrize("branches", [1, 2, 3])
def test_every_parameter_of_the_branches_in_use_gets_a_gradient(branches, encoding):
    net = small(num_branches=branches, positional_encoding=encoding)
    train_step(net, [(5, 6), (7, 7)][: branches - 1])
    assert [name for name, parameter in net.named_parameters() if parameter.grad is None] == []
    zero = {name for name, parameter in net.named_parameters() if parameter.grad.abs().max() < 1e-9}
    assert zero <= {"pos_bias.bias"}  # it changes all logits of a head alike


def test_a_branch_that_does_not_take_part_gets_no_gradient():
    net = small(num_branches=3)
    train_step(net, [(5, 6)])
    idle = {name for name, parameter in net.named_parameters() if parameter.grad is None}
    assert idle == {name for name, _ in net.named_parameters() if name.startswith("branches.2.")}


def test_the_gradient_is_that_of_finite_differences():
    net = lively(num_branches=2, positional_encoding="eq6", local_ensemble=True)
    lq = torch.rand(1, 3, 2, 3, dtype=torch.float64, requires_grad=True)
    coord, cell = torch.rand(1, 2, 2, dtype=torch.float64) * 2 - 1, torch.full((1, 2), 0.3, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: net(x, coord, cell, [(4, 5)]), lq)


def test_a_new_branch_leaves_what_the_others_predict():
    two, three = small(num_branches=2), small(num_branches=3)
    assert not three.load_state_dict(two.state_dict(), strict=False).unexpected_keys
    lq = torch.rand(1, 3, 2, 3)
    torch.testing.assert_close(three.upscale(lq, (9, 7), [(5, 6)]), two.upscale(lq, (9, 7), [(5, 6)]))


def test_zero_start_begins_at_the_bilinear_image():
    torch.manual_seed(0)
    net = CLIT(**SMALL, zero_start=True, num_branches=2)
    lq = torch.rand(1, 3, 5, 7)
    size = (14, 19)
    expected = torch.nn.functional.grid_sample(
        lq,
        make_coord(size).view(1, *size, 2).flip(-1),
        mode="bilinear",
        padding_mode="border",
        align_corners=False,
    )
    torch.testing.assert_close(net.upscale(lq, size), expected, rtol=0, atol=1e-6)
