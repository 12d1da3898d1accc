"""Local attention and the decoder's first layer on an output grid: queries that share a centre together."""

import triton
import triton.language as tl

from clit_plugin.fast.fused_kernels.gather import grid_pixel


@triton.jit(do_not_specialize=["tall", "wide", "across", "width", "size"])
def grid_attention_kernel(
    q_table,
    k_table,
    centre,
    rows,
    columns,
    row_hat,
    column_hat,
    row_bias,
    column_bias,
    attention,
    across,
    tall,
    wide,
    width,
    size,
    scale,
    heads: tl.constexpr,
    depth: tl.constexpr,
    grid_h: tl.constexpr,
    grid_w: tl.constexpr,
    block: tl.constexpr,
    pixels_tile: tl.constexpr,
    depth_tile: tl.constexpr,
    precision: tl.constexpr,
):
    """attention (n, Q, heads, N) from tables of q (size, C) and of k (heads, size, depth).

    A program takes ``block`` of the Q = tall * wide queries of one centre. Centres are in rows of ``across``; ``rows``
    (n / across, tall) and ``columns`` (across, wide) are those of the output, for which there are hats, (., 3), and the
    positional bias, (., G_h, heads) and (., G_w, heads).
    """
    channels: tl.constexpr = heads * depth
    pixels: tl.constexpr = grid_h * grid_w
    place = tl.program_id(0)
    query = tl.program_id(1) * block + tl.arange(0, block)
    real = query < tall * wide
    row = tl.load(rows + (place // across) * tall + query // wide, mask=real, other=0)
    column = tl.load(columns + (place % across) * wide + query % wide, mask=real, other=0)
    middle = tl.load(centre + place)
    j, within = tl.arange(0, pixels_tile), tl.arange(0, depth_tile)
    known, inside = j < pixels, within < depth
    pixel = grid_pixel(middle, j, width, grid_h, grid_w)
    both = real[:, None] & known[None, :]
    for head in range(heads):
        channel = head * depth + within
        q = tl.zeros((block, depth_tile), tl.float32)
        for i in tl.static_range(9):
            near = grid_pixel(middle, i, width, 3, 3)
            part = tl.load(q_table + near * channels + channel, mask=inside, other=0.0).to(tl.float32)
            hat = tl.load(row_hat + row * 3 + i // 3, mask=real, other=0.0)
            hat *= tl.load(column_hat + column * 3 + i % 3, mask=real, other=0.0)
            q += hat.to(tl.float32)[:, None] * part[None, :]
        entries = (pixel + head * size)[None, :] * depth + within[:, None]
        k = tl.load(k_table + entries, mask=inside[:, None] & known[None, :], other=0.0)
        logits = tl.dot(q.to(k.dtype), k, input_precision=precision) * scale
        bias = row_bias + (row[:, None] * grid_h + j[None, :] // grid_w) * heads + head
        logits += tl.load(bias, mask=both, other=0.0).to(tl.float32)
        bias = column_bias + (column[:, None] * grid_w + j[None, :] % grid_w) * heads + head
        logits += tl.load(bias, mask=both, other=0.0).to(tl.float32)
        logits = tl.where(known[None, :], logits, float("-inf"))
        weights = tl.exp(logits - tl.max(logits, 1)[:, None])
        weights /= tl.sum(weights, 1)[:, None]
        entry = ((place.to(tl.int64) * (tall * wide) + query) * heads + head)[:, None] * pixels + j[None, :]
        tl.store(attention + entry, weights.to(attention.dtype.element_ty), mask=both)


@triton.jit(do_not_specialize=["n", "queries", "width", "size"])
def grid_hidden_kernel(
    v_table,
    centre,
    attention,
    weight,
    bias,
    hidden,
    n,
    queries,
    width,
    size,
    heads: tl.constexpr,
    depth: tl.constexpr,
    grid_h: tl.constexpr,
    grid_w: tl.constexpr,
    features: tl.constexpr,
    block: tl.constexpr,
    queries_tile: tl.constexpr,
    features_tile: tl.constexpr,
    products_tile: tl.constexpr,
    depth_tile: tl.constexpr,
    precision: tl.constexpr,
):
    """hidden (n, Q, F) = bias (F,) plus weight (heads, N, depth, F) times the weighted values.

    Values are a table (heads, size, depth), attention is (n, Q, heads, N), ``queries`` is Q. A program takes ``block``
    centres. T, the product of values and weight, is made for ``products_tile`` pairs of a head and a pixel at a time,
    and does not reach memory.
    """
    pixels: tl.constexpr = grid_h * grid_w
    pairs: tl.constexpr = heads * pixels
    place = tl.program_id(0) * block + tl.arange(0, block)
    query = tl.program_id(1) * queries_tile + tl.arange(0, queries_tile)
    feature = tl.program_id(2) * features_tile + tl.arange(0, features_tile)
    real, valid_query, known = place < n, query < queries, feature < features
    middle = tl.load(centre + place, mask=real, other=0)
    answer = place.to(tl.int64)[:, None] * queries + query[None, :]
    valid = real[:, None] & valid_query[None, :]
    total = tl.zeros((block, queries_tile, features_tile), tl.float32)
    for first in range(0, pairs, products_tile):
        pair = first + tl.arange(0, products_tile)
        used = pair < pairs
        j = pair % pixels
        pixel = grid_pixel(middle[None, :], j[:, None], width, grid_h, grid_w)
        table = tl.zeros((products_tile, block, features_tile), tl.float32)
        for part in range(0, depth, depth_tile):
            within = part + tl.arange(0, depth_tile)
            inside = within < depth
            entry = (pixel + (pair // pixels * size)[:, None]) * depth
            mask = (used[:, None] & real[None, :])[:, :, None] & inside[None, None, :]
            v = tl.load(v_table + entry[:, :, None] + within[None, None, :], mask=mask, other=0.0)
            entry = pair[:, None] * depth + within[None, :]
            mask = (used[:, None] & inside[None, :])[:, :, None] & known[None, None, :]
            w = tl.load(weight + entry[:, :, None] * features + feature[None, None, :], mask=mask, other=0.0)
            table = tl.dot(v, w, table, input_precision=precision)
        mask = valid[:, :, None] & used[None, None, :]
        a = tl.load(attention + answer[:, :, None] * pairs + pair[None, None, :], mask=mask, other=0.0)
        table = tl.permute(table.to(v_table.dtype.element_ty), (1, 0, 2))
        total = tl.dot(a, table, total, input_precision=precision)
    total += tl.load(bias + feature, mask=known, other=0.0).to(tl.float32)[None, None, :]
    mask = valid[:, :, None] & known[None, None, :]
    tl.store(
        hidden + answer[:, :, None] * features + feature[None, None, :], total.to(hidden.dtype.element_ty), mask=mask
    )
