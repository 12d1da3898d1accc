"""Gradients of the maps of q, k and v, of the attention and of W1."""

import triton
import triton.language as tl

from clit_plugin.fast.fused_kernels.gather import grid_pixel, interpolated, weighted_values


@triton.jit(do_not_specialize=["n", "width"])
def values_backward_kernel(
    v_table,
    centre,
    attention,
    weight,
    grad,
    attention_grad,
    v_grad,
    n,
    width,
    heads: tl.constexpr,
    depth: tl.constexpr,
    grid_h: tl.constexpr,
    grid_w: tl.constexpr,
    features: tl.constexpr,
    block: tl.constexpr,
    features_tile: tl.constexpr,
    depth_tile: tl.constexpr,
    precision: tl.constexpr,
):
    """From grad (n, F): attention_grad (n, N, heads) is written, v_grad (pixels, C), float32, is added to.

    A step takes ``depth_tile`` channels of one head. A query's grad is held all the time if its features fit in a tile.
    """
    channels: tl.constexpr = heads * depth
    pixels: tl.constexpr = grid_h * grid_w
    parts: tl.constexpr = (depth + depth_tile - 1) // depth_tile
    query = tl.program_id(0) * block + tl.arange(0, block)
    held: tl.constexpr = features <= features_tile
    some, within = tl.arange(0, features_tile), tl.arange(0, depth_tile)
    real = query < n
    middle = tl.load(centre + query, mask=real, other=0)
    incoming = grad + query.to(tl.int64)[:, None] * features + some[None, :]
    g = tl.load(incoming, mask=real[:, None] & (some < features)[None, :], other=0.0)
    for step in range(pixels * heads):
        j, head = step // heads, step % heads
        pixel = grid_pixel(middle, j, width, grid_h, grid_w)
        entry = (query.to(tl.int64) * pixels + j) * heads + head
        a = tl.load(attention + entry, mask=real, other=0.0)
        a_grad = tl.zeros((block,), tl.float32)
        for part in range(parts):
            known = part * depth_tile + within < depth
            channel = head * depth + part * depth_tile + within
            x_grad = tl.zeros((block, depth_tile), tl.float32)
            for first in range(0, features, features_tile):
                feature = first + some
                if not held:
                    g = tl.load(incoming + first, mask=real[:, None] & (feature < features)[None, :], other=0.0)
                entries = feature[:, None] * (pixels * channels) + j * channels + channel[None, :]
                w = tl.load(weight + entries, mask=(feature < features)[:, None] & known[None, :], other=0.0)
                x_grad = tl.dot(g, w, x_grad, input_precision=precision)
            inside = real[:, None] & known[None, :]
            place = pixel[:, None] * channels + channel[None, :]
            value = tl.load(v_table + place, mask=inside, other=0.0)
            a_grad += tl.sum(x_grad * value.to(tl.float32), 1)
            tl.atomic_add(v_grad + place, x_grad * a[:, None], mask=inside, sem="relaxed")
        tl.store(attention_grad + entry, a_grad, mask=real)


@triton.jit(do_not_specialize=["n", "width"])
def logits_backward_kernel(
    q_table,
    k_table,
    centre,
    hat,
    logits_grad,
    q_between,
    q_grad,
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
    """Of every query q between pixels and, from logits_grad (n, N, heads), its gradient: (n, C) each, written."""
    query = tl.program_id(0) * block + tl.arange(0, block)
    head, within = tl.arange(0, heads_tile), tl.arange(0, depth_tile)
    real = query < n
    inside = real[:, None] & (head < heads)[None, :]
    cube = inside[:, :, None] & (within < depth)[None, None, :]
    channel = (head[:, None] * depth + within[None, :])[None, :, :]
    middle = tl.load(centre + query, mask=real, other=0)
    own = query.to(tl.int64)[:, None, None] * (heads * depth) + channel
    q = interpolated(q_table, middle, hat, query, real, channel, cube, width, heads, depth)
    tl.store(q_between + own, q.to(q_between.dtype.element_ty), mask=cube)
    total = tl.zeros((block, heads_tile, depth_tile), tl.float32)
    for j in range(grid_h * grid_w):
        place = (query.to(tl.int64) * (grid_h * grid_w) + j)[:, None] * heads + head[None, :]
        gradient = tl.load(logits_grad + place, mask=inside, other=0.0)[:, :, None] * scale
        place = grid_pixel(middle, j, width, grid_h, grid_w)[:, None, None] * (heads * depth) + channel
        total += gradient * tl.load(k_table + place, mask=cube, other=0.0).to(tl.float32)
    tl.store(q_grad + own, total.to(q_grad.dtype.element_ty), mask=cube)


@triton.jit(do_not_specialize=["n", "width", "queries"])
def weight_grad_kernel(
    v_table,
    centre,
    attention,
    grad,
    weight_grad,
    n,
    width,
    queries,
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
    """weight_grad (F, N * C), float32, is added to: grad (n, F) times the weighted values.

    A program takes ``queries`` of the queries, a multiple of ``block``, and ``channels_tile`` channels of one pixel.
    """
    channels: tl.constexpr = heads * depth
    pixels: tl.constexpr = grid_h * grid_w
    parts: tl.constexpr = (channels + channels_tile - 1) // channels_tile
    j = tl.program_id(0) // parts
    channel = (tl.program_id(0) % parts) * channels_tile + tl.arange(0, channels_tile)
    feature = tl.program_id(1) * features_tile + tl.arange(0, features_tile)
    first = tl.program_id(2) * queries
    total = tl.zeros((features_tile, channels_tile), tl.float32)
    for start in range(first, tl.minimum(first + queries, n), block):
        query = start + tl.arange(0, block)
        pixel = grid_pixel(tl.load(centre + query, mask=query < n, other=0), j, width, grid_h, grid_w)
        x = weighted_values(v_table, attention, query, channel, pixel, j, n, heads, depth, pixels)
        place = query.to(tl.int64)[None, :] * features + feature[:, None]
        g = tl.load(grad + place, mask=(feature < features)[:, None] & (query < n)[None, :], other=0.0)
        total = tl.dot(g, x, total, input_precision=precision)
    place = feature[:, None] * (pixels * channels) + j * channels + channel[None, :]
    known = (feature < features)[:, None] & (channel < channels)[None, :]
    tl.atomic_add(weight_grad + place, total, mask=known, sem="relaxed")
