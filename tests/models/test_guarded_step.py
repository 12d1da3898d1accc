"""Skipping, clipping and loss scaling, against PyTorch's own; on the CPU and, if available, a GPU."""

import copy

import pytest
import torch

from clit_plugin.models.guarded_step import Batch, GuardedStep
from clit_plugin.utils.errors import UserError

DEVICES = [
    "cpu",
    "cpu, fused",  # the decision is the optimiser's own, as on a GPU
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")),
]
FINE, NAN, INF = 1.0, float("nan"), float("inf")


@pytest.fixture(params=DEVICES)
def device(request):
    return torch.device(request.param.split(",")[0])


@pytest.fixture
def weight_and_adam(request, device):
    """A function that makes a weight and its optimiser."""
    fused = True if request.node.callspec.params["device"] != "cpu" else None

    def make():
        weight = torch.nn.Parameter(torch.linspace(-1, 1, 5, device=device))
        return weight, torch.optim.Adam([weight], 0.1, fused=fused)

    return make


def batch(device, files=("a.png",)):
    return Batch(list(files), torch.tensor(3.4, device=device))


def take(guarded, weight, gradient, step, loss=1.0):
    """Take a step with the given gradient and loss."""
    weight.grad = torch.full_like(weight, gradient) * torch.arange(1, 6, device=weight.device)
    guarded(torch.tensor(loss, device=weight.device), step, batch(weight.device))


@pytest.mark.parametrize(("gradient", "loss"), [(NAN, 1.0), (INF, 1.0), (FINE, NAN), (FINE, INF)])
def test_a_non_finite_step_changes_neither_weights_nor_optimiser(device, weight_and_adam, gradient, loss):
    weight, adam = weight_and_adam()
    guarded = GuardedStep(adam, device=device)
    take(guarded, weight, FINE, 1)
    before, state = weight.detach().clone(), copy.deepcopy(adam.state_dict()["state"])
    take(guarded, weight, gradient, 2, loss)
    assert torch.equal(weight, before)
    for name, value in adam.state_dict()["state"][0].items():
        assert torch.equal(value, state[0][name]), name
    take(guarded, weight, FINE, 3)
    assert not torch.equal(weight, before)
    assert guarded.read() == {"skipped": 1.0}
    assert guarded.read() == {}


def test_finite_steps_equal_those_of_the_unguarded_optimiser(device, weight_and_adam):
    (weight, adam), (alone, other) = weight_and_adam(), weight_and_adam()
    guarded = GuardedStep(adam, device=device)
    for step in range(1, 4):
        take(guarded, weight, step * 0.3, step)
        alone.grad = torch.full_like(alone, step * 0.3) * torch.arange(1, 6, device=device)
        other.step()
    assert torch.equal(weight, alone)


@pytest.mark.parametrize("limit", [0.5, 1000.0])
def test_the_gradient_norm_is_clipped_as_by_torch_and_logged_before_clipping(device, weight_and_adam, limit):
    weight, _ = weight_and_adam()
    idle = torch.nn.Parameter(torch.zeros(2, device=device))
    plain = torch.optim.SGD([weight, idle], 1.0)
    guarded = GuardedStep(plain, device=device, grad_clip=limit)
    start = weight.detach().clone()
    take(guarded, weight, 2.0, 1)
    expected = torch.full_like(start, 2.0) * torch.arange(1, 6, device=device)
    norm = expected.norm()
    expected *= min(1.0, limit / (norm.item() + 1e-6))
    torch.testing.assert_close(start - weight.detach(), expected)
    assert guarded.read()["grad_norm"] == pytest.approx(norm.item())


def test_the_run_stops_when_more_consecutive_steps_are_skipped_than_allowed(device, weight_and_adam):
    weight, adam = weight_and_adam()
    guarded = GuardedStep(adam, device=device, max_skipped=2)
    for step, gradient in enumerate([NAN, NAN, FINE, NAN, NAN], start=1):
        take(guarded, weight, gradient, step)
    weight.grad = torch.full_like(weight, NAN)
    files = [f"{name}.png" for name in "abcdef"]
    with pytest.raises(
        UserError, match=r"step 6: 3 consecutive steps .*, the last at x3.4 of a.png, b.png, c.png, d.png and 2 more"
    ):
        guarded(torch.tensor(1.0, device=device), 6, batch(device, files))
        for step in range(7, 100):  # on a GPU it is noticed a little later
            torch.cuda.synchronize() if device.type == "cuda" else None
            weight.grad = torch.full_like(weight, FINE)
            guarded(torch.tensor(1.0, device=device), step, batch(device))


def test_with_loss_scaling_a_skipped_step_counts_only_at_the_lowest_scale(device, weight_and_adam):
    weight, adam = weight_and_adam()
    scaler = torch.amp.GradScaler(device.type, init_scale=4.0)
    guarded = GuardedStep(adam, device=device, max_skipped=0, scaler=scaler)
    for step, scale in enumerate([2.0, 1.0], start=1):
        scaler.scale(torch.ones((), device=device))
        take(guarded, weight, INF, step)
        assert guarded.read() == {"skipped": 1.0, "loss_scale": scale}
    with pytest.raises(UserError, match="step 3: a step with a loss or gradients that are not finite"):
        take(guarded, weight, INF, 3)
        torch.cuda.synchronize() if device.type == "cuda" else None
        take(guarded, weight, FINE, 4)


def test_gradients_are_unscaled_before_they_are_clipped(device, weight_and_adam):
    (weight, adam), (alone, other) = weight_and_adam(), weight_and_adam()
    scaler = torch.amp.GradScaler(device.type, init_scale=1024.0)
    guarded = GuardedStep(adam, device=device, grad_clip=0.1, scaler=scaler)
    scaler.scale((weight**2).sum()).backward()
    guarded((weight**2).sum().detach(), 1, batch(device))
    (alone**2).sum().backward()
    torch.nn.utils.clip_grad_norm_([alone], 0.1)
    other.step()
    torch.testing.assert_close(weight, alone)
    again = GuardedStep(adam, device=device, scaler=torch.amp.GradScaler(device.type))
    again.load_state_dict(guarded.state_dict())
    assert again.scaler.get_scale() == 1024.0
