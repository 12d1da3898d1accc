"""What queries send back to the pixels of their grids, summed pixel by pixel."""

import triton
import triton.language as tl


@triton.jit
def stretch(starts, first_pixel, row, pixels, width, block: tl.constexpr, grid_h: tl.constexpr, grid_w: tl.constexpr):
    """Which sorted queries [first, last) see one of ``block`` pixels in this row of their grids."""
    low = first_pixel - (row - grid_h // 2) * width - grid_w // 2
    first = tl.load(starts + tl.minimum(tl.maximum(low, 0), pixels))
    last = tl.load(starts + tl.minimum(tl.maximum(low + block + grid_w - 1, 0), pixels))
    return first, last


@triton.jit(do_not_specialize=["pixels", "width"])
def scatter_kernel(
    shares,
    values,
    centre,
    order,
    starts,
    table_grad,
    pixels,
    width,
    scale,
    heads: tl.constexpr,
    depth: tl.constexpr,
    grid_h: tl.constexpr,
    grid_w: tl.constexpr,
    block: tl.constexpr,
    queries_tile: tl.constexpr,
    depth_tile: tl.constexpr,
    precision: tl.constexpr,
):
    """table_grad (pixels, C), float32, is added to: of each query its values (n, C) times shares (n, N, heads).

    ``order`` (n,) sorts the queries by centre, ``centre`` is sorted, and ``starts`` (pixels + 1,) counts the queries
    whose centre comes before a pixel: those that see a program's pixels in one row of their grids follow one another.
    No two programs add to the same number.
    """
    parts: tl.constexpr = (depth + depth_tile - 1) // depth_tile
    first_pixel = tl.program_id(0) * block
    pixel = first_pixel + tl.arange(0, block)
    head, within = tl.program_id(1) // parts, (tl.program_id(1) % parts) * depth_tile + tl.arange(0, depth_tile)
    known, channel = within < depth, head * depth + within
    total = tl.zeros((block, depth_tile), tl.float32)
    for row in range(grid_h):
        first, last = stretch(starts, first_pixel, row, pixels, width, block, grid_h, grid_w)
        for start in range(first, last, queries_tile):
            place = start + tl.arange(0, queries_tile)
            real = place < last
            query = tl.load(order + place, mask=real, other=0)
            middle = tl.load(centre + place, mask=real, other=0)
            column = pixel[:, None] - middle[None, :] - (row - grid_h // 2) * width + grid_w // 2
            hit = real[None, :] & (column >= 0) & (column < grid_w)
            entry = (query[None, :] * (grid_h * grid_w) + row * grid_w + column) * heads + head
            share = tl.load(shares + entry, mask=hit, other=0.0) * scale
            entry = query[:, None] * (heads * depth) + channel[None, :]
            value = tl.load(values + entry, mask=real[:, None] & known[None, :], other=0.0)
            total = tl.dot(share.to(value.dtype), value, total, input_precision=precision)
    entry = pixel.to(tl.int64)[:, None] * (heads * depth) + channel[None, :]
    mine = (pixel < pixels)[:, None] & known[None, :]
    tl.store(table_grad + entry, tl.load(table_grad + entry, mask=mine, other=0.0) + total, mask=mine)


@triton.jit(do_not_specialize=["pixels", "width"])
def values_by_pixel_kernel(
    v_table,
    centre,
    order,
    starts,
    attention,
    weight,
    grad,
    attention_grad,
    v_grad,
    pixels,
    width,
    heads: tl.constexpr,
    depth: tl.constexpr,
    grid_h: tl.constexpr,
    grid_w: tl.constexpr,
    features: tl.constexpr,
    block: tl.constexpr,
    queries_tile: tl.constexpr,
    features_tile: tl.constexpr,
    depth_tile: tl.constexpr,
    precision: tl.constexpr,
):
    """What ``values_backward_kernel`` computes, without atomics: a program has all that is added to its pixels' rows.

    ``centre``, ``order`` and ``starts`` are those of ``scatter_kernel``. A program takes one head. Every pair of a
    query and a pixel of its grid is one program's, so that nothing is computed twice.
    """
    offsets: tl.constexpr = grid_h * grid_w
    held: tl.constexpr = features <= features_tile
    first_pixel = tl.program_id(0) * block
    head = tl.program_id(1)
    own, some, within = tl.arange(0, block), tl.arange(0, features_tile), tl.arange(0, depth_tile)
    known, channel = within < depth, head * depth + within
    rows = first_pixel.to(tl.int64) * (heads * depth)  # of the tables
    total = tl.zeros((block, depth_tile), tl.float32)
    for row in range(grid_h):
        first, last = stretch(starts, first_pixel, row, pixels, width, block, grid_h, grid_w)
        for start in range(first, last, queries_tile):
            place = start + tl.arange(0, queries_tile)
            real = place < last
            query = tl.load(order + place, mask=real, other=0)
            # Where the row's first pixel lies, seen from the program's first one.
            left = tl.load(centre + place, mask=real, other=0) + (row - grid_h // 2) * width - grid_w // 2 - first_pixel
            left = tl.where(real, left, -grid_w).to(tl.int32)
            incoming = grad + query[:, None] * features + some[None, :]
            g = tl.load(incoming, mask=real[:, None] & (some < features)[None, :], other=0.0)
            for column in range(grid_w):
                j, at = row * grid_w + column, left + column
                x_grad = tl.zeros((queries_tile, depth_tile), tl.float32)
                for begin in range(0, features, features_tile):
                    feature = begin + some
                    if not held:
                        g = tl.load(incoming + begin, mask=real[:, None] & (feature < features)[None, :], other=0.0)
                    entry = feature[:, None] * (offsets * heads * depth) + j * (heads * depth) + channel[None, :]
                    w = tl.load(weight + entry, mask=(feature < features)[:, None] & known[None, :], other=0.0)
                    x_grad = tl.dot(g, w, x_grad, input_precision=precision)
                mine = (at >= 0) & (at < block)
                entry = at[:, None] * (heads * depth) + channel[None, :]
                value = tl.load(v_table + rows + entry, mask=mine[:, None] & known[None, :], other=0.0)
                entry = (query * offsets + j) * heads + head
                tl.store(attention_grad + entry, tl.sum(x_grad * value.to(tl.float32), 1), mask=mine)
                share = x_grad * tl.load(attention + entry, mask=mine, other=0.0)[:, None]
                hit = own[:, None] == at[None, :]
                total = tl.dot(hit.to(value.dtype), share.to(value.dtype), total, input_precision=precision)
    entry = rows + own[:, None] * (heads * depth) + channel[None, :]
    mine = (first_pixel + own < pixels)[:, None] & known[None, :]
    tl.store(v_grad + entry, tl.load(v_grad + entry, mask=mine, other=0.0) + total, mask=mine)
