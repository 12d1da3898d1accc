"""Gradients of CLIT, idle and new branches, and how training starts."""

import pytest
import torch
from small_clit import SMALL, lively, queries, small

from clit_plugin.archs.clit_arch import CLIT
from clit_plugin.ops.coordinates import make_coord


def train_step(net: CLIT, stages: list[tuple[int, int]]) -> None:
    # The queries take in the border: elsewhere a bias of the keys changes all logits alike and has no gradient.
    coord, cell = queries((9, 7)).float().expand(2, -1, -1), torch.tensor([[2 / 9, 2 / 7]]).expand(2, -1)
    net(torch.rand(2, 3, 4, 5), coord, cell, stages).square().sum().backward()


@pytest.mark.parametrize("encoding", ["released", "eq6", "none"])
@pytest.mark.parametrize("branches", [1, 2, 3])
def test_every_parameter_of_the_branches_in_use_gets_a_gradient(branches, encoding):
    net = small(num_branches=branches, positional_encoding=encoding)
    train_step(net, [(5, 6), (7, 7)][: branches - 1])
    assert [name for name, parameter in net.named_parameters() if parameter.grad is None] == []
    zero = {name for name, parameter in net.named_parameters() if parameter.grad.abs().max() < 1e-9}
    assert zero <= {"pos_bias.bias"}  # it changes all logits of a head alike


def test_an_unused_branch_gets_no_gradient():
    net = small(num_branches=3)
    train_step(net, [(5, 6)])
    idle = {name for name, parameter in net.named_parameters() if parameter.grad is None}
    assert idle == {name for name, _ in net.named_parameters() if name.startswith("branches.2.")}


def test_gradients_equal_finite_differences():
    net = lively(num_branches=2, positional_encoding="eq6", local_ensemble=True)
    lq = torch.rand(1, 3, 2, 3, dtype=torch.float64, requires_grad=True)
    coord, cell = torch.rand(1, 2, 2, dtype=torch.float64) * 2 - 1, torch.full((1, 2), 0.3, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: net(x, coord, cell, [(4, 5)]), lq)


def test_a_new_branch_does_not_change_the_predictions_of_the_others():
    two, three = small(num_branches=2), small(num_branches=3)
    assert not three.load_state_dict(two.state_dict(), strict=False).unexpected_keys
    lq = torch.rand(1, 3, 2, 3)
    torch.testing.assert_close(three.upscale(lq, (9, 7), [(5, 6)]), two.upscale(lq, (9, 7), [(5, 6)]))


def test_zero_start_begins_at_the_bilinear_image():
    torch.manual_seed(0)
    net = CLIT(**SMALL, zero_start=True, num_branches=2)
    lq = torch.rand(1, 3, 5, 7)
    size = (14, 19)
    expected = torch.nn.functional.grid_sample(
        lq,
        make_coord(size).view(1, *size, 2).flip(-1),
        mode="bilinear",
        padding_mode="border",
        align_corners=False,
    )
    torch.testing.assert_close(net.upscale(lq, size), expected, rtol=0, atol=1e-6)
