"""The effect of train.amp, accumulate, grad_clip and channels_last on the trained weights."""

from contextlib import contextmanager

import pytest
import torch
from train_helpers import stage_options, to_lmdb, train, weights, write_images, write_yaml

from clit_plugin.models.loss_gradients import LossGradients

STEPS = 3


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return to_lmdb(write_images(tmp_path_factory.mktemp("images") / "hr", 2, (48, 56)))


@pytest.fixture
def trained(images, tmp_path, monkeypatch):
    """Weights after a few steps."""
    monkeypatch.chdir(tmp_path)

    def descend(name, lr=0.05, batch=2, **options):
        opt = stage_options(images, 1, name=name, total_iter=STEPS, batch=batch)
        # With so large an eps, Adam descends along the mean gradient: small differences stay small.
        opt["train"] |= {"optim_g": {"type": "Adam", "lr": lr, "eps": 1.0}, **options}
        assert train("-opt", write_yaml(tmp_path / f"{name}.yml", opt)) == 0
        found = weights(tmp_path, name)
        return {key.removeprefix("params."): value for key, value in found.items() if key.startswith("params.")}

    return descend


def updates(end, start):
    return torch.cat([(end[name] - start[name]).flatten() for name in start])


@pytest.mark.parametrize("amp", [True, "bfloat16", "float16"])
def test_autocast_steps_are_nearly_those_of_float32_and_weights_stay_in_float32(trained, amp):
    start = trained("start", lr=0.0)
    plain, autocast = trained("plain"), trained("autocast", amp=amp)
    assert all(weight.dtype == torch.float32 for weight in autocast.values())
    plain, autocast = updates(plain, start), updates(autocast, start)
    assert not torch.equal(plain, autocast)
    assert torch.cosine_similarity(plain, autocast, dim=0) > 0.99


def test_channels_last_changes_the_memory_format_of_the_encoders_weights_and_no_value(trained):
    plain, reordered = trained("plain"), trained("reordered", channels_last=True)
    weight = reordered["encoder.body.0.conv1.weight"]
    assert weight.is_contiguous(memory_format=torch.channels_last) and not weight.is_contiguous()
    for name, value in plain.items():
        torch.testing.assert_close(reordered[name], value, rtol=1e-5, atol=1e-6)


def test_autocast_true_is_bfloat16(trained):
    first, second = trained("first", amp=True), trained("second", amp="bfloat16")
    assert all(torch.equal(value, second[name]) for name, value in first.items())


@pytest.mark.parametrize("pixel_opt", [{"type": "L1Loss"}, {"type": "MSELoss", "reduction": "sum"}])
def test_accumulated_parts_of_a_batch_train_like_the_whole_batch(trained, pixel_opt):
    start = trained("start", lr=0.0, batch=4)
    whole = trained("whole", batch=4, pixel_opt=pixel_opt)
    parts = trained("parts", batch=4, pixel_opt=pixel_opt, accumulate=4)
    whole, parts = updates(whole, start), updates(parts, start)
    assert whole.abs().max() > 1e-4
    torch.testing.assert_close(parts, whole, rtol=1e-3, atol=1e-3 * whole.abs().max().item())


def test_gradient_clipping_shortens_the_step(trained):
    start = trained("start", lr=0.0)
    plain, clipped = trained("plain"), trained("clipped", grad_clip=1e-3)
    assert updates(clipped, start).norm() < 0.5 * updates(plain, start).norm()


def test_processes_exchange_gradients_only_after_the_last_part():
    class Net(torch.nn.Linear):
        """Mimic ``DistributedDataParallel.no_sync``."""

        held, seen = False, ()

        @contextmanager
        def no_sync(self):
            self.held = True
            yield
            self.held = False

        def forward(self, lq, coord, cell, stage_sizes):
            self.seen = (*self.seen, self.held)
            return super().forward(lq)

    net = Net(2, 2)
    gradients = LossGradients(net, torch.nn.L1Loss(), device=torch.device("cpu"), accumulate=3)
    gradients([torch.ones(6, 2)] * 4, [])
    assert net.seen == (True, True, False)
