"""What several kernels gather in registers."""

import triton
import triton.language as tl


@triton.jit
def grid_pixel(centre, j, width, grid_h: tl.constexpr, grid_w: tl.constexpr):
    """Index of the grid's j-th pixel; int64, as tables may have more than 2^31 elements."""
    return centre.to(tl.int64) + (j // grid_w - grid_h // 2) * width + (j % grid_w - grid_w // 2)


@triton.jit
def interpolated(table, middle, hat, query, real, channel, cube, width, heads: tl.constexpr, depth: tl.constexpr):
    """q between pixels, (queries, heads, depth), float32: the 3x3 pixels about each centre, weighted by ``hat``."""
    q = tl.zeros(cube.shape, tl.float32)
    for i in range(9):
        pixel = grid_pixel(middle, i, width, 3, 3)
        weight = tl.load(hat + query * 9 + i, mask=real, other=0.0)
        part = tl.load(table + pixel[:, None, None] * (heads * depth) + channel, mask=cube, other=0.0)
        q += weight[:, None, None] * part.to(tl.float32)
    return q


@triton.jit
def weighted_values(
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
