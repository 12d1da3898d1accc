import numpy as np
import pytest
import torch

from clit_plugin.ops.pixels import to_floats, to_samples, to_tensor


@pytest.mark.parametrize(("dtype", "top"), [(np.uint8, 255), (np.uint16, 65535)])
def test_every_sample_becomes_the_nearest_float_of_its_quotient_and_round_trips(dtype, top):
    samples = np.arange(top + 1, dtype=dtype)
    floats = to_floats(samples)
    assert floats.dtype is torch.float32
    assert np.array_equal(floats.numpy(), (np.arange(top + 1) / top).astype(np.float32))
    back = to_samples(floats.view(1, 1, -1), bits=8 * samples.itemsize)
    assert back.dtype == dtype
    assert np.array_equal(back[0], samples)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_tensors_have_channels_first_and_images_last(channels):
    image = np.random.default_rng(0).integers(0, 256, (5, 7, channels), dtype=np.uint8)
    tensor = to_tensor(image[:, ::-1])  # of any strides
    assert tensor.shape == (channels, 5, 7) and tensor.is_contiguous()
    assert tensor[channels - 1, 4, 0].item() == pytest.approx(image[4, 6, channels - 1] / 255)
    assert np.array_equal(to_samples(tensor), image[:, ::-1] if channels > 1 else image[:, ::-1, 0])


def test_values_are_clamped_to_zero_to_one_and_rounded_to_samples():
    image = torch.tensor([-0.1, 0.0, 0.49 / 255, 0.51 / 255, 254.6 / 255, 1.7]).view(1, 1, 6).expand(3, -1, -1)
    assert to_samples(image)[0, :, 0].tolist() == [0, 0, 0, 1, 255, 255]
