"""Logits of local attention, and the decoder's first layer."""

import triton
import triton.language as tl

from clit_plugin.fast.fused_kernels.gather import grid_pixel, interpolated, weighted_values


@triton.jit(do_not_specialize=["n", "width"])
def logits_kernel(
    q_table,
    k_table,
    centre,
    hat,
    rows,
    columns,
    logits,
    n,
    width,
    scale,
    heads: tl.constexpr,
    depth: tl.constexpr,
    grid_h: tl.constexpr,
    grid_w: tl.constexpr,
    block: tl.constexpr,
    heads_tile: tl.constexpr,
    depth_tile: tl.constexpr,
):
    """logits (n, N, heads) = q k / sqrt(depth) + rows (n, G_h, heads) + columns (n, G_w, heads)."""
    query = tl.program_id(0) * block + tl.arange(0, block)
    head, within = tl.arange(0, heads_tile), tl.arange(0, depth_tile)
    real = query < n
    inside = real[:, None] & (head < heads)[None, :]
    cube = inside[:, :, None] & (within < depth)[None, None, :]
    channel = (head[:, None] * depth + within[None, :])[None, :, :]
    middle = tl.load(centre + query, mask=real, other=0)
    q = interpolated(q_table, middle, hat, query, real, channel, cube, width, heads, depth)
    q *= scale
    for j in range(grid_h * grid_w):
        pixel = grid_pixel(middle, j, width, grid_h, grid_w)
        k = tl.load(k_table + pixel[:, None, None] * (heads * depth) + channel, mask=cube, other=0.0)
        row = (query * grid_h + j // grid_w)[:, None] * heads + head[None, :]
        column = (query * grid_w + j % grid_w)[:, None] * heads + head[None, :]
        bias = tl.load(rows + row, mask=inside, other=0.0).to(tl.float32)
        bias += tl.load(columns + column, mask=inside, other=0.0).to(tl.float32)
        place = (query.to(tl.int64) * (grid_h * grid_w) + j)[:, None] * heads + head[None, :]
        tl.store(logits + place, tl.sum(q * k.to(tl.float32), 2) + bias, mask=inside)


@triton.jit(do_not_specialize=["n", "width"])
def hidden_kernel(
    v_table,
    centre,
    attention,
    weight,
    hidden,
    n,
    width,
    heads: tl.constexpr,
    depth: tl.constexpr,
    grid_h: tl.constexpr,
    grid_w: tl.constexpr,
    features: tl.constexpr,
    block: tl.constexpr,
    features_tile: tl.constexpr,
    channels_tile: tl.constexpr,
    precision: tl.constexpr,
):
    """hidden (n, F) = weight (F, N * C) times the weighted values."""
    channels: tl.constexpr = heads * depth
    pixels: tl.constexpr = grid_h * grid_w
    parts: tl.constexpr = (channels + channels_tile - 1) // channels_tile
    query = tl.program_id(0) * block + tl.arange(0, block)
    feature = tl.program_id(1) * features_tile + tl.arange(0, features_tile)
    middle = tl.load(centre + query, mask=query < n, other=0)
    total = tl.zeros((block, features_tile), tl.float32)
    for step in range(pixels * parts):
        j = step // parts
        channel = (step % parts) * channels_tile + tl.arange(0, channels_tile)
        pixel = grid_pixel(middle, j, width, grid_h, grid_w)
        x = weighted_values(v_table, attention, query, channel, pixel, j, n, heads, depth, pixels)
        place = feature[None, :] * (pixels * channels) + j * channels + channel[:, None]
        known = (channel < channels)[:, None] & (feature < features)[None, :]
        w = tl.load(weight + place, mask=known, other=0.0)
        total = tl.dot(x, w, total, input_precision=precision)
    place = query.to(tl.int64)[:, None] * features + feature[None, :]
    known = (query < n)[:, None] & (feature < features)[None, :]
    tl.store(hidden + place, total.to(hidden.dtype.element_ty), mask=known)
