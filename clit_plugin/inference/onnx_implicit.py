"""The decoders of LIIF, LTE and Meta-SR as ONNX graphs."""

import math
from collections.abc import Callable

from torch import nn

from clit_plugin.archs.liif_arch import LIIF
from clit_plugin.archs.local_implicit_arch import LocalImplicitArch
from clit_plugin.archs.lte_arch import LTE
from clit_plugin.archs.meta_sr_arch import MetaSR
from clit_plugin.inference.onnx_graph import OnnxGraph, Value, run_mlp
from clit_plugin.inference.onnx_map import Band, Grid, Neighbour, Queries, blend, grid_of, neighbours, table
from clit_plugin.ops.local_ensemble import EDGE


def implicit_residual(graph: OnnxGraph, net: LocalImplicitArch, feature: Value, queries: Queries) -> Value:
    """The network's prediction (Q, 3) from the encoder's features (1, C, H, W)."""
    g = graph
    grid = grid_of(g, feature)
    if isinstance(net, MetaSR):
        found = [_corner(g, queries, grid)]
    else:
        found = neighbours(g, queries, grid, net.local_ensemble)
    pad = net.kernel // 2
    band = Band.around(g, grid.rows, found, pad)
    rows = band.take(g, feature, grid.rows)
    band = band.narrowed(g, pad)
    weight, bias = net.projection()
    kernel = weight.reshape(len(weight), -1, net.kernel, net.kernel)
    latents = g.conv(rows, kernel, bias, [0, pad, 0, pad])
    pixels = table(g, latents, len(weight))
    cell = queries.cells(g, grid)
    decode = DECODERS[type(net)]
    predictions = []
    for neighbour in found:
        index = g.add(g.mul(g.sub(neighbour.row, band.first), grid.columns.count), neighbour.column)
        predictions.append(decode(g, net, g.op("Gather", pixels, index), neighbour.delta, cell))
    return blend(g, predictions, found)


def _corner(g: OnnxGraph, queries: Queries, grid: Grid) -> Neighbour:
    """The LR pixel that contains an output pixel's top left corner, and that corner relative to the LR pixel's own."""
    indices, deltas = [], []
    for number, (axis, coord) in enumerate(zip(grid, (queries.y, queries.x), strict=True)):
        corner = g.sub(coord, g.div(g.column(queries.cell, number), 2.0))
        indices.append(axis.nearest(g.clip(g.add(corner, EDGE), EDGE - 1, 1 - EDGE)))
        pixel = g.sub(axis.centres(indices[-1]), g.div(1.0, axis.extent))
        deltas.append(g.op("Unsqueeze", g.mul(g.sub(corner, pixel), axis.extent), [-1]))
    return Neighbour(indices[0], indices[1], g.concat(deltas, 1))


def _liif(g: OnnxGraph, net: LIIF, latent: Value, delta: Value, cell: Value) -> Value:
    inputs = g.concat([delta, cell], 1) if net.cell_decoding else delta
    position = g.linear(inputs, net.decoder.first.weight[:, net.unfolded_channels :])
    return run_mlp(g, net.decoder.rest, g.add(latent, position))


def _lte(g: OnnxGraph, net: LTE, latent: Value, delta: Value, cell: Value) -> Value:
    width = net.amplitude.out_channels
    if net.cell_clip:
        cell = g.op("Max", cell, 0.5)
    amplitude, frequency = (g.op("Slice", latent, [i * width], [(i + 1) * width], [1]) for i in (0, 1))
    pairs = g.mul(g.reshape(frequency, [0, width // 2, 2]), g.op("Unsqueeze", delta, [1]))
    angle = g.add(g.op("ReduceSum", pairs, [2], keepdims=0), g.linear(cell, net.phase.weight))
    angle = g.mul(angle, math.pi)
    wave = g.concat([g.op("Cos", angle), g.op("Sin", angle)], 1)
    return run_mlp(g, net.decoder, g.mul(amplitude, wave))


def _meta_sr(g: OnnxGraph, net: MetaSR, latent: Value, delta: Value, cell: Value) -> Value:
    width = net.hidden.out_features
    position = g.div(g.concat([delta, g.op("Slice", cell, [0], [1], [1])], 1), 2.0)
    hidden = g.op("Relu", g.linear(position, net.hidden.weight, net.hidden.bias))
    filters = g.op("Pad", hidden, [0, 0, 0, 1], 1.0)  # appends a 1 for the bias
    product = g.op("MatMul", g.reshape(latent, [-1, 3, width + 1]), g.op("Unsqueeze", filters, [2]))
    return g.op("Squeeze", product, [2])


DECODERS: dict[type[nn.Module], Callable[..., Value]] = {LIIF: _liif, LTE: _lte, MetaSR: _meta_sr}
