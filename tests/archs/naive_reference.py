"""CLIT from the paper's equations, one query after the other: no batch, no tensor operation, nothing shared."""

import math
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from clit_plugin.archs.clit_arch import CLIT

Point = tuple[Fraction, Fraction]
Index = tuple[int, int]


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
