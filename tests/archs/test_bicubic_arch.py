"""Bicubic interpolation as an architecture."""

import numpy as np
import pytest
import torch
from basicsr.archs import build_network

from clit_plugin.archs import Bicubic
from clit_plugin.ops.bicubic import resize_bicubic


@pytest.mark.parametrize("kernel", ["pil", "matlab"])
@pytest.mark.parametrize("size", [(21, 34), (12, 17), (9, 60)])
def test_each_image_of_a_batch_is_resized_as_uint8(kernel, size):
    images = np.random.default_rng(0).integers(0, 256, (2, 12, 17, 3), dtype=np.uint8)
    lq = torch.from_numpy(images).permute(0, 3, 1, 2) / 255
    output = build_network({"type": "Bicubic", "kernel": kernel}).upscale(lq, size)
    assert output.shape == (2, 3, *size)
    for image, result in zip(images, output, strict=True):
        expected = resize_bicubic(image, size, kernel)
        assert np.array_equal((result.permute(1, 2, 0) * 255).round().byte().numpy(), expected)


def test_bicubic_has_no_weights_and_keeps_the_dtype():
    net = Bicubic()
    assert net.state_dict() == {}
    assert net.upscale(torch.rand(1, 3, 4, 5, dtype=torch.float64), (8, 9)).dtype is torch.float64


def test_an_unknown_kernel_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="kernel: expected one of pil, matlab, got 'lanczos'"):
        Bicubic(kernel="lanczos")


def test_a_size_that_is_not_positive_is_refused():
    with pytest.raises(ValueError, match="size: expected two positive integers"):
        Bicubic().upscale(torch.rand(1, 3, 4, 5), (8, 0))
