"""The fast paths against the reference path of the same net: images, colours at queries, gradients."""

import pytest
import torch

from clit_plugin.archs.clit_arch import CLIT
from clit_plugin.fast import branch as fast_branch

SMALL = {"encoder": {"type": "EDSRBaseline", "num_feat": 8, "num_block": 1}, "dim": 12, "num_heads": 3}
VARIANTS = {
    "paper": {},
    "eq6": {"positional_encoding": "eq6"},
    "no encoding": {"positional_encoding": "none"},
    "no attention": {"local_attention": False},
    "no cell": {"cell_decoding": False},
    "ensemble": {"local_ensemble": True},
    "ensemble without attention": {"local_ensemble": True, "local_attention": False},
    "grid 1": {"local_grid": 1},
    "grid 3 x 5": {"local_grid": [3, 5]},
    "grid 11": {"local_grid": 11},
    "one head": {"num_heads": 1},
    "rdn": {"encoder": {"type": "RDN", "num_feat": 8, "num_block": 2, "num_layer": 2, "growth": 8}},
}


def pair(dtype=torch.float64, **options) -> tuple[CLIT, CLIT]:
    options = {**SMALL, "decoder_hidden": [16, 16], **options}
    fast, reference = CLIT(**options).to(dtype), CLIT(**options, reference=True).to(dtype)
    with torch.no_grad():
        for name, parameter in fast.named_parameters():
            if name.startswith(("branches", "pos_bias")):
                parameter.mul_(2.0)  # attention far from uniform
    reference.load_state_dict(fast.state_dict())
    return fast, reference


def assert_same(actual, expected, tolerance, floor=0.0):
    """Relative to the largest value, or to ``floor`` where that is larger."""
    largest = max(float(expected.abs().max()), floor)
    assert largest > 0
    torch.testing.assert_close(actual, expected, rtol=0, atol=tolerance * largest)


@pytest.mark.parametrize("options", VARIANTS.values(), ids=VARIANTS)
@pytest.mark.parametrize(
    ("lq_size", "size"),
    [((5, 7), (14, 19)), ((4, 3), (16, 12)), ((6, 5), (7, 6)), ((5, 9), (4, 7)), ((3, 2), (101, 5)), ((2, 3), (5, 9))],
)
def test_images_agree_with_the_reference_path_in_float64(options, lq_size, size):
    fast, reference = pair(**options, num_branches=2)
    lq = torch.rand(2, 3, *lq_size, dtype=torch.float64)
    assert_same(fast.upscale(lq, size), reference.upscale(lq, size), 1e-10)


@pytest.mark.parametrize("size", [(17, 23), (20, 28), (150, 31)])
def test_images_agree_with_the_reference_path_in_float32(size):
    fast, reference = pair(torch.float32, num_branches=3)
    lq = torch.rand(1, 3, 5, 7)
    assert_same(fast.upscale(lq, size), reference.upscale(lq, size), 1e-5)


def one_step(net, lq, coord, cell, stages):
    output = net(lq, coord, cell, stages)
    (output - 0.3).pow(2).mean().backward()
    return output.detach(), {name: p.grad for name, p in net.named_parameters() if p.grad is not None}


def assert_steps_agree(fast, reference, stages, tolerance, lq_size=(5, 7), queries=40, batch=2):
    dtype = next(fast.parameters()).dtype
    lq = torch.rand(batch, 3, *lq_size, dtype=dtype)
    coord = torch.rand(batch, queries, 2, dtype=dtype) * 2 - 1
    cell = torch.tensor([[0.05, 0.03], [0.1, 0.07]], dtype=dtype)[:batch]
    actual, gradients = one_step(fast, lq, coord, cell, stages)
    expected, reference_gradients = one_step(reference, lq, coord, cell, stages)
    assert_same(actual, expected, tolerance)
    assert gradients.keys() == reference_gradients.keys()
    # Some are zero but for rounding, as that of k's bias inside the image: softmax does not see a constant.
    floor = 1e-3 * max(float(gradient.abs().max()) for gradient in reference_gradients.values())
    for name, gradient in reference_gradients.items():
        if name != "pos_bias.bias":
            assert_same(gradients[name], gradient, tolerance, floor)


@pytest.mark.parametrize("stages", [[], [(11, 13)], [(5, 7)], [(9, 30)]])
@pytest.mark.parametrize("options", VARIANTS.values(), ids=VARIANTS)
def test_colours_and_gradients_agree_with_the_reference_path_in_float64(options, stages):
    assert_steps_agree(*pair(**options, num_branches=2), stages, 1e-10)


def test_colours_and_gradients_agree_with_the_reference_path_in_float32():
    assert_steps_agree(*pair(torch.float32, num_branches=3), [(13, 16), (29, 31)], 1e-5)


@pytest.mark.parametrize("pixels", [1, 150, 400])
def test_the_result_does_not_depend_on_the_size_of_tiles(pixels, monkeypatch):
    monkeypatch.setattr(fast_branch, "tile_pixels", lambda feature: pixels)
    fast, reference = pair(num_branches=2)
    assert_steps_agree(fast, reference, [(17, 21)], 1e-10)
    lq = torch.rand(1, 3, 5, 7, dtype=torch.float64)
    image = fast.upscale(lq, (31, 45), [(17, 21)])
    assert_same(image, reference.upscale(lq, (31, 45), [(17, 21)]), 1e-10)


@pytest.mark.parametrize("batch", [1, 2])
def test_a_step_with_fewer_queries_than_tiles_has_the_reference_gradients(batch, monkeypatch):
    monkeypatch.setattr(fast_branch, "tile_pixels", lambda feature: 100)
    assert_steps_agree(*pair(num_branches=2), [(17, 21)], 1e-10, queries=1, batch=batch)


@pytest.mark.parametrize("max_queries", [1, 13, 200, 5000])
def test_no_more_queries_are_decoded_at_a_time_than_allowed(max_queries):
    fast, _ = pair()
    parts = []
    fast.upscale(torch.rand(1, 3, 5, 7, dtype=torch.float64), (53, 30), max_queries=max_queries, progress=parts.append)
    assert max(parts) <= max_queries
    assert sum(parts) == 53 * 30


@pytest.mark.parametrize("num_branches", [1, 2])
def test_autocast_to_bfloat16_stays_near_float32(num_branches):
    fast, reference = pair(torch.float32, num_branches=num_branches, dim=48)
    lq, coord = torch.rand(2, 3, 5, 7), torch.rand(2, 40, 2) * 2 - 1
    cell, stages = torch.full((2, 2), 0.05), [(13, 16)][: num_branches - 1]
    expected, gradients = one_step(reference, lq, coord, cell, stages)
    image = reference.upscale(lq, (29, 37), stages)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = fast(lq, coord, cell, stages)
        actual_image = fast.upscale(lq, (29, 37), stages)
    (output.float() - 0.3).pow(2).mean().backward()
    assert_same(output.float(), expected, 0.02)
    assert_same(actual_image.float(), image, 0.02)
    for name, parameter in fast.named_parameters():
        if name in gradients and name != "pos_bias.bias":
            part = torch.nn.functional.cosine_similarity(parameter.grad.flatten(), gradients[name].flatten(), dim=0)
            assert part > 0.95, name
