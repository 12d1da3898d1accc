"""train.amp and train.channels_last, by the weights that a training leaves."""

import pytest
import torch
from train_helpers import stage_options, to_lmdb, train, weights, write_images, write_yaml

STEPS = 3


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return to_lmdb(write_images(tmp_path_factory.mktemp("images") / "hr", 2, (48, 56)))


@pytest.fixture
def trained(images, tmp_path, monkeypatch):
    """Weights after a few steps."""
    monkeypatch.chdir(tmp_path)

    def descend(name, lr=0.05, **options):
        opt = stage_options(images, 1, name=name, total_iter=STEPS)
        # With so large an eps, Adam descends along the mean gradient: small differences stay small.
        opt["train"] |= {"optim_g": {"type": "Adam", "lr": lr, "eps": 1.0}, **options}
        assert train("-opt", write_yaml(tmp_path / f"{name}.yml", opt)) == 0
        found = weights(tmp_path, name)
        return {key.removeprefix("params."): value for key, value in found.items() if key.startswith("params.")}

    return descend


def updates(end, start):
    return torch.cat([(end[name] - start[name]).flatten() for name in start])


def test_autocast_steps_are_nearly_those_of_float32_and_weights_stay_in_float32(trained):
    start = trained("start", lr=0.0)
    plain, autocast = trained("plain"), trained("autocast", amp=True)
    assert all(weight.dtype == torch.float32 for weight in autocast.values())
    plain, autocast = updates(plain, start), updates(autocast, start)
    assert not torch.equal(plain, autocast)
    assert torch.cosine_similarity(plain, autocast, dim=0) > 0.99


def test_channels_last_changes_the_order_of_the_encoders_weights_and_no_value(trained):
    plain, reordered = trained("plain"), trained("reordered", channels_last=True)
    weight = reordered["encoder.body.0.conv1.weight"]
    assert weight.is_contiguous(memory_format=torch.channels_last) and not weight.is_contiguous()
    for name, value in plain.items():
        torch.testing.assert_close(reordered[name], value, rtol=1e-5, atol=1e-6)
