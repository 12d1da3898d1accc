"""What queries send back to the pixels of their grids, summed pixel by pixel."""

import triton
import triton.language as tl


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

    ``order`` (n,) sorts the queries by centre, and ``starts`` (pixels + 1,) counts those whose centre comes before a
    pixel: a row of the grids of a program's pixels is a stretch of queries. No two programs add to the same number.
    """
    parts: tl.constexpr = (depth + depth_tile - 1) // depth_tile
    first_pixel = tl.program_id(0) * block
    pixel = first_pixel + tl.arange(0, block)
    head, within = tl.program_id(1) // parts, (tl.program_id(1) % parts) * depth_tile + tl.arange(0, depth_tile)
    known, channel = within < depth, head * depth + within
    total = tl.zeros((block, depth_tile), tl.float32)
    for row in range(grid_h):
        low = first_pixel - (row - grid_h // 2) * width - grid_w // 2
        first = tl.load(starts + tl.minimum(tl.maximum(low, 0), pixels))
        last = tl.load(starts + tl.minimum(tl.maximum(low + block + grid_w - 1, 0), pixels))
        for start in range(first, last, queries_tile):
            place = start + tl.arange(0, queries_tile)
            real = place < last
            query = tl.load(order + place, mask=real, other=0)
            middle = tl.load(centre + query, mask=real, other=0)
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
