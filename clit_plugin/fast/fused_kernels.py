"""Triton kernels of local attention and the decoder's first layer, on tables of pixels. Importing it needs Triton.

Every query n has a centre, the index of a pixel in the tables of q, k and v, each (pixels, C); the pixels of its G_h x
G_w grid lie about the centre in rows of ``width`` pixels, and C is ``heads`` times ``depth``. What a query sees is
gathered in registers, weighted and multiplied at once: nothing of (N, C) a query, N = G_h * G_w, reaches memory.
Arithmetic is float32; products of matrices take operands of the tables' dtype, as ``precision`` says where that is
float32 (``ieee``, ``tf32x3`` or ``tf32``).
"""

import triton
import triton.language as tl


@triton.jit
def _pixel(centre, j, width, grid_h: tl.constexpr, grid_w: tl.constexpr):
    """Index of the grid's j-th pixel; int64, as tables may have more than 2^31 elements."""
    return centre.to(tl.int64) + (j // grid_w - grid_h // 2) * width + (j % grid_w - grid_w // 2)


@triton.jit
def _weighted_values(
    v_table,
    attention,
    query,
    channel,
    pixel,
    j,
    n,
    heads: tl.constexpr,
    depth: tl.constexpr,
    pixels: tl.constexpr,
):
    """Attention times values, (queries, channels), of the grid's j-th pixel."""
    inside = (query < n)[:, None] & (channel < heads * depth)[None, :]
    value = tl.load(v_table + pixel[:, None] * (heads * depth) + channel[None, :], mask=inside, other=0.0)
    place = (query.to(tl.int64) * pixels + j)[:, None] * heads + (channel // depth)[None, :]
    weight = tl.load(attention + place, mask=inside, other=0.0)
    return (value.to(tl.float32) * weight).to(v_table.dtype.element_ty)


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
    q = tl.zeros((block, heads_tile, depth_tile), tl.float32)
    for i in range(9):
        pixel = _pixel(middle, i, width, 3, 3)
        weight = tl.load(hat + query * 9 + i, mask=real, other=0.0)
        part = tl.load(q_table + pixel[:, None, None] * (heads * depth) + channel, mask=cube, other=0.0)
        q += weight[:, None, None] * part.to(tl.float32)
    q *= scale
    for j in range(grid_h * grid_w):
        pixel = _pixel(middle, j, width, grid_h, grid_w)
        k = tl.load(k_table + pixel[:, None, None] * (heads * depth) + channel, mask=cube, other=0.0)
        row = (query * grid_h + j // grid_w)[:, None] * heads + head[None, :]
        column = (query * grid_w + j % grid_w)[:, None] * heads + head[None, :]
        bias = tl.load(rows + row, mask=inside, other=0.0) + tl.load(columns + column, mask=inside, other=0.0)
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
        pixel = _pixel(middle, j, width, grid_h, grid_w)
        x = _weighted_values(v_table, attention, query, channel, pixel, j, n, heads, depth, pixels)
        place = feature[None, :] * (pixels * channels) + j * channels + channel[:, None]
        known = (channel < channels)[:, None] & (feature < features)[None, :]
        w = tl.load(weight + place, mask=known, other=0.0)
        total = tl.dot(x, w, total, input_precision=precision)
    place = query.to(tl.int64)[:, None] * features + feature[None, :]
    known = (query < n)[:, None] & (feature < features)[None, :]
    tl.store(hidden + place, total.to(hidden.dtype.element_ty), mask=known)


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
        pixel = _pixel(middle, j, width, grid_h, grid_w)
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
    q_grad,
    k_grad,
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
    """From logits_grad (n, N, heads): q_grad and k_grad (pixels, C), float32, are added to."""
    query = tl.program_id(0) * block + tl.arange(0, block)
    head, within = tl.arange(0, heads_tile), tl.arange(0, depth_tile)
    real = query < n
    inside = real[:, None] & (head < heads)[None, :]
    cube = inside[:, :, None] & (within < depth)[None, None, :]
    channel = (head[:, None] * depth + within[None, :])[None, :, :]
    middle = tl.load(centre + query, mask=real, other=0)
    q = tl.zeros((block, heads_tile, depth_tile), tl.float32)
    for i in range(9):
        pixel = _pixel(middle, i, width, 3, 3)
        weight = tl.load(hat + query * 9 + i, mask=real, other=0.0)
        part = tl.load(q_table + pixel[:, None, None] * (heads * depth) + channel, mask=cube, other=0.0)
        q += weight[:, None, None] * part.to(tl.float32)
    total = tl.zeros((block, heads_tile, depth_tile), tl.float32)
    for j in range(grid_h * grid_w):
        place = (query.to(tl.int64) * (grid_h * grid_w) + j)[:, None] * heads + head[None, :]
        gradient = tl.load(logits_grad + place, mask=inside, other=0.0)[:, :, None] * scale
        place = _pixel(middle, j, width, grid_h, grid_w)[:, None, None] * (heads * depth) + channel
        total += gradient * tl.load(k_table + place, mask=cube, other=0.0).to(tl.float32)
        tl.atomic_add(k_grad + place, gradient * q, mask=cube, sem="relaxed")
    for i in range(9):
        place = _pixel(middle, i, width, 3, 3)[:, None, None] * (heads * depth) + channel
        weight = tl.load(hat + query * 9 + i, mask=real, other=0.0)
        tl.atomic_add(q_grad + place, weight[:, None, None] * total, mask=cube, sem="relaxed")


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
        pixel = _pixel(tl.load(centre + query, mask=query < n, other=0), j, width, grid_h, grid_w)
        x = _weighted_values(v_table, attention, query, channel, pixel, j, n, heads, depth, pixels)
        place = query.to(tl.int64)[None, :] * features + feature[:, None]
        g = tl.load(grad + place, mask=(feature < features)[:, None] & (query < n)[None, :], other=0.0)
        total = tl.dot(g, x, total, input_precision=precision)
    place = feature[:, None] * (pixels * channels) + j * channels + channel[None, :]
    known = (feature < features)[:, None] & (channel < channels)[None, :]
    tl.atomic_add(weight_grad + place, total, mask=known, sem="relaxed")
