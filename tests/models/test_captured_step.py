"""Training steps as CUDA graphs against eager steps; these tests need a GPU."""

import pytest
import torch

from clit_plugin.archs.clit_arch import CLIT
from clit_plugin.models.captured_step import CapturedStep
from clit_plugin.ops.coordinates import make_cell, make_coord

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")

NETWORK = {"encoder": {"type": "EDSRBaseline", "num_feat": 16, "num_block": 2}, "dim": 16, "num_heads": 4}
SIZE = 12


def network() -> CLIT:
    torch.manual_seed(0)
    return CLIT(**NETWORK, local_grid=3, decoder_hidden=[16, 16], num_branches=2).cuda()


def batch(seed: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    size = (30, 30)
    picked = torch.stack([torch.randperm(900, generator=generator)[:100] for _ in range(2)])
    lq, gt = torch.rand(2, 3, SIZE, SIZE, generator=generator), torch.rand(2, 100, 3, generator=generator)
    return [x.cuda() for x in (lq, make_coord(size)[picked], make_cell(size).expand(2, -1), gt)]


def forward_of(net: CLIT):
    def forward(inputs, stage_sizes):
        lq, coord, cell, gt = inputs
        output = net(lq, coord, cell, stage_sizes)
        return output, torch.nn.functional.l1_loss(output, gt)

    return forward


def train(net: CLIT, step, stages) -> list[float]:
    optimiser = torch.optim.Adam(net.parameters(), 1e-3)
    losses = []
    for number, stage_sizes in enumerate(stages):
        _, loss = step(batch(number), stage_sizes)
        losses.append(float(loss))
        optimiser.step()
    return losses


def eager(net: CLIT):
    forward = forward_of(net)

    def step(inputs, stage_sizes):
        net.zero_grad(set_to_none=True)
        output, loss = forward(inputs, stage_sizes)
        loss.backward()
        return output, loss

    return step


def test_captured_steps_give_the_weights_of_ordinary_steps():
    stages = [[], [(20, 20)], [], [(25, 25)], [], [(20, 20)], [], [(25, 25)], [(20, 20)], []]
    usual, captured = network(), network()
    step = CapturedStep(captured, forward_of(captured))
    losses = train(usual, eager(usual), stages)
    assert train(captured, step, stages) == pytest.approx(losses, rel=1e-4)
    assert len(step.captured) == 3
    for name, value in usual.state_dict().items():
        torch.testing.assert_close(captured.state_dict()[name], value, rtol=1e-3, atol=1e-4, msg=name)


def test_a_branch_unused_in_a_captured_step_has_no_gradient():
    net = network()
    step = CapturedStep(net, forward_of(net))
    for stages in ([(20, 20)], [(20, 20)], [], [], []):
        step(batch(0), stages)
        idle = all(p.grad is None for p in net.branches[1].parameters())
        assert idle == (not stages)
