"""What several kernels gather in registers."""

import triton
import triton.language as tl


@triton.jit
def grid_pixel(centre, j, width, grid_h: tl.constexpr, grid_w: tl.constexpr):
    """Index of the grid's j-th pixel; int64, as tables may have more than 2^31 elements."""
    return centre.to(tl.int64) + (j // grid_w - grid_h // 2) * width + (j % grid_w - grid_w // 2)


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
