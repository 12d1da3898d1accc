"""Triton kernels of local attention and the decoder's first layer, on tables of pixels. Importing them needs Triton.

Every query n has a centre, the index of a pixel in the tables of q, k and v, each (pixels, C); the pixels of its G_h x
G_w grid lie about the centre in rows of ``width`` pixels, and C is ``heads`` times ``depth``. What a query sees is
gathered in registers, weighted and multiplied at once: no (N, C) tensor of a query, N = G_h * G_w, reaches memory.
Arithmetic is float32; products of matrices take operands of the tables' dtype, as ``precision`` says where that is
float32 (``ieee``, ``tf32x3`` or ``tf32``).
"""

from clit_plugin.fast.fused_kernels.backward import logits_backward_kernel, values_backward_kernel, weight_grad_kernel
from clit_plugin.fast.fused_kernels.forward import hidden_kernel, logits_kernel
from clit_plugin.fast.fused_kernels.scatter import scatter_kernel, values_by_pixel_kernel

__all__ = [
    "hidden_kernel",
    "logits_backward_kernel",
    "logits_kernel",
    "scatter_kernel",
    "values_backward_kernel",
    "values_by_pixel_kernel",
    "weight_grad_kernel",
]
