"""Which weights a stage takes over, and which files are taken for weights."""

import os
import pickle

import pytest
import torch
from torch import nn

from clit_plugin.archs import CLIT
from clit_plugin.archs.weights import load_weights, read_checkpoint, read_weights
from clit_plugin.utils.errors import UserError


def tiny(branches: int, dim: int = 4) -> CLIT:
    encoder = {"type": "EDSRBaseline", "num_feat": 4, "num_block": 1}
    return CLIT(
        encoder=encoder, num_branches=branches, dim=dim, num_heads=2, local_grid=1, decoder_hidden=[4]
    ).requires_grad_(False)


def weights_of(net: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in net.state_dict().items()}


@pytest.fixture
def save(tmp_path):
    """Save what a checkpoint is to hold; its path."""

    def to_file(content, name: str = "weights.pth"):
        torch.save(content, tmp_path / name)
        return tmp_path / name

    return to_file


def refusal(function, *arguments, **keywords) -> str:
    """The one line of the UserError, without the path before it."""
    with pytest.raises(UserError) as caught:
        function(*arguments, **keywords)
    assert "\n" not in str(caught.value)
    return str(caught.value).partition(": ")[2]


# ---------------------------------------------------------------------- read_weights


def test_the_weights_of_the_requested_key_are_returned(save):
    path = save({"params": {"a": torch.ones(1)}, "params_ema": {"a": torch.zeros(1)}})
    assert read_weights(path, "params")["a"] == 1
    assert read_weights(path, "params_ema")["a"] == 0


def test_plain_weights_are_the_fallback_for_averaged_ones(save):
    path = save({"params": {"a": torch.ones(1)}})
    assert read_weights(path, "params_ema")["a"] == 1


def test_averaged_weights_are_no_fallback_for_plain_ones(save):
    path = save({"params_ema": {"a": torch.ones(1)}, "iter": 5})
    assert refusal(read_weights, path, "params") == "holds no 'params', only params_ema, iter"


def test_without_a_key_the_file_is_the_state_dict(save):
    assert list(read_weights(save({"a": torch.ones(1)}), None)) == ["a"]


def test_the_prefix_of_a_wrapped_network_is_dropped(save):
    path = save({"params": {"module.a.module.b": torch.ones(1), "c": torch.ones(1)}})
    assert list(read_weights(path, "params")) == ["a.module.b", "c"]


def test_an_empty_checkpoint_is_refused(save):
    assert refusal(read_weights, save({}), "params") == "holds no 'params', only nothing"


@pytest.mark.parametrize("weights", [{"a": 3}, {"a": None}, {1: torch.ones(1)}, {"a": [torch.ones(1)]}])
def test_entries_that_are_not_tensors_are_refused(save, weights):
    assert refusal(read_weights, save({"params": weights}), "params").startswith(
        "expected only named tensors under 'params'"
    )


def test_a_whole_checkpoint_is_not_accepted_as_a_state_dict(save):
    assert "expected only named tensors" in refusal(read_weights, save({"params": {"a": torch.ones(1)}}), None)


@pytest.mark.parametrize("content", [{"params": 3}, {"params": None}, {"params": torch.ones(1)}])
def test_weights_that_are_no_mapping_are_refused(save, content):
    assert refusal(read_weights, save(content), "params") == "holds no 'params', only params"


# ---------------------------------------------------------------------- read_checkpoint


def test_a_checkpoint_is_read_whole(save):
    content = read_checkpoint(save({"params": {"a": torch.ones(1)}, "iter": 7, "network_g": {"type": "CLIT"}}))
    assert (content["iter"], content["network_g"]) == (7, {"type": "CLIT"})


def test_a_path_may_start_with_a_tilde(save, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    save({"iter": 7})
    assert read_checkpoint("~/weights.pth")["iter"] == 7


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"absent\.pth: no such weights file$"):
        read_checkpoint(tmp_path / "absent.pth")


def test_a_folder_is_refused(tmp_path):
    assert refusal(read_checkpoint, tmp_path) == "no such weights file"


@pytest.mark.parametrize("content", [b"", b"text\n", b"\x80\x02.", b"PK\x03\x04 no zip", b"\x89PNG\r\n"])
def test_a_file_that_is_not_a_checkpoint_is_refused(tmp_path, content):
    (tmp_path / "file.pth").write_bytes(content)
    assert refusal(read_checkpoint, tmp_path / "file.pth").startswith("not a checkpoint that can be read safely")


def test_a_truncated_checkpoint_is_refused(save):
    path = save({"params": {"a": torch.ones(1000)}})
    path.write_bytes(path.read_bytes()[:-500])
    assert refusal(read_checkpoint, path).startswith("not a checkpoint")


@pytest.mark.parametrize("content", [[1], torch.ones(1), "text"])
def test_a_checkpoint_that_is_no_mapping_is_refused(save, content):
    assert refusal(read_checkpoint, save(content)).startswith("expected a mapping as BasicSR writes it, got")


class Payload:
    """What a hostile file holds: unpickled in the usual way, it makes a folder."""

    def __init__(self, folder):
        self.folder = str(folder)

    def __reduce__(self):
        return os.mkdir, (self.folder,)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "pickle"])
def test_a_checkpoint_that_would_run_code_is_refused_and_nothing_runs(tmp_path, zipped):
    path, content = tmp_path / "hostile.pth", {"params": {"a": torch.ones(1)}, "extra": Payload(tmp_path / "executed")}
    if zipped:
        torch.save(content, path)
    else:
        path.write_bytes(pickle.dumps(content))
    message = refusal(read_checkpoint, path)
    assert not (tmp_path / "executed").exists()
    assert message.startswith("not a checkpoint that can be read safely")
    assert "weights_only" not in message  # torch advises to switch the safety off
    torch.load(path, weights_only=False) if zipped else pickle.loads(path.read_bytes())  # the payload is a real one
    assert (tmp_path / "executed").is_dir()


# ---------------------------------------------------------------------- load_weights


def test_all_weights_are_loaded(save):
    before, net = tiny(2), tiny(2)
    assert load_weights(net, weights_of(before), "w.pth", allow_new_branches=False) == []
    for name, value in before.state_dict().items():
        assert torch.equal(net.state_dict()[name], value), name


@pytest.mark.parametrize(("old", "new"), [(1, 2), (2, 3)])
def test_load_weights_returns_the_new_branch(old, new):
    assert load_weights(tiny(new), weights_of(tiny(old)), "w.pth", allow_new_branches=True) == [f"branches.{old}."]


def test_more_than_one_new_branch_is_refused():
    message = refusal(load_weights, tiny(3), weights_of(tiny(1)), "w.pth", allow_new_branches=True)
    assert message == "has 1 branch(es), network_g 3; a stage adds one branch, so train the stage before first"


def test_a_new_branch_keeps_its_initial_values_and_the_rest_is_loaded():
    before, net = tiny(1), tiny(2)
    initial, old = weights_of(net), weights_of(before)
    load_weights(net, old, "w.pth", allow_new_branches=True)
    for name, value in net.state_dict().items():
        expected = initial if name.startswith("branches.1.") else old
        assert torch.equal(value, expected[name]), name


def test_a_new_branch_is_refused_where_none_is_allowed():
    message = refusal(load_weights, tiny(2), weights_of(tiny(1)), "w.pth", allow_new_branches=False)
    missing = sorted(name for name in tiny(2).state_dict() if name.startswith("branches.1."))
    assert message == f"does not fit network_g: {len(missing)} missing ({', '.join(missing[:3])}, ...)"


@pytest.mark.parametrize("name", ["branches.0.to_q.weight", "conv_feat.bias", "encoder.conv_first.weight"])
@pytest.mark.parametrize("allowed", [True, False])
def test_a_missing_key_of_an_old_part_is_refused_and_named(name, allowed):
    weights = weights_of(tiny(2))
    del weights[name]
    message = refusal(load_weights, tiny(2), weights, "w.pth", allow_new_branches=allowed)
    assert message == f"does not fit network_g: 1 missing ({name})"


def test_a_missing_key_of_an_old_branch_is_refused_beside_a_new_branch():
    weights = weights_of(tiny(2))
    del weights["branches.1.to_v.bias"]
    message = refusal(load_weights, tiny(3), weights, "w.pth", allow_new_branches=True)
    assert message == "does not fit network_g: 1 missing (branches.1.to_v.bias)"


def test_a_branch_missing_between_others_is_not_a_new_branch():
    weights = {name: value for name, value in weights_of(tiny(3)).items() if not name.startswith("branches.1.")}
    assert "missing (branches.1." in refusal(load_weights, tiny(3), weights, "w.pth", allow_new_branches=True)


def test_unexpected_keys_are_refused_and_named():
    weights = weights_of(tiny(1)) | {"extra.a": torch.ones(1), "extra.b": torch.ones(1)}
    message = refusal(load_weights, tiny(1), weights, "w.pth", allow_new_branches=True)
    assert message == "does not fit network_g: 2 not in the network (extra.a, extra.b)"


def test_weights_of_more_branches_are_refused():
    message = refusal(load_weights, tiny(1), weights_of(tiny(2)), "w.pth", allow_new_branches=True)
    assert "not in the network (branches.1." in message


def test_a_wrong_shape_is_refused_with_both_shapes():
    weights = weights_of(tiny(1)) | {"conv_feat.bias": torch.ones(7)}
    message = refusal(load_weights, tiny(1), weights, "w.pth", allow_new_branches=True)
    assert message == "does not fit network_g: 1 of another shape (conv_feat.bias (7,) for (4,))"


def test_everything_that_is_wrong_is_reported_at_once():
    weights = weights_of(tiny(1)) | {"extra": torch.ones(1), "conv_feat.bias": torch.ones(7)}
    del weights["pos_bias.weight"]
    message = refusal(load_weights, tiny(1), weights, "w.pth", allow_new_branches=True)
    assert message == (
        "does not fit network_g: 1 missing (pos_bias.weight); 1 not in the network (extra); "
        "1 of another shape (conv_feat.bias (7,) for (4,))"
    )


def test_refused_weights_change_nothing_in_the_network():
    net = tiny(1)
    initial, weights = weights_of(net), weights_of(tiny(1)) | {"extra": torch.ones(1)}
    refusal(load_weights, net, weights, "w.pth", allow_new_branches=True)
    for name, value in net.state_dict().items():
        assert torch.equal(value, initial[name]), name


def test_a_network_without_branches_is_loaded_strictly():
    net, other = nn.Linear(2, 3), nn.Linear(2, 3)
    assert load_weights(net, weights_of(other), "w.pth", allow_new_branches=True) == []
    assert torch.equal(net.weight, other.weight)
    assert "missing (bias)" in refusal(load_weights, net, {"weight": net.weight}, "w.pth", allow_new_branches=True)


def test_a_stage_reproduces_the_previous_one_where_the_new_branch_is_unused():
    before, net = tiny(1).eval(), tiny(2).eval()
    load_weights(net, weights_of(before), "w.pth", allow_new_branches=True)
    lq, coord, cell = torch.rand(1, 3, 5, 6), torch.rand(1, 9, 2) * 2 - 1, torch.full((1, 2), 0.1)
    assert torch.equal(net(lq, coord, cell, []), before(lq, coord, cell, []))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused_by_name(save, value):
    weights = weights_of(tiny(1))
    first, second = list(weights)[:2]
    weights[second].view(-1)[0] = value
    path = save({"params": weights, "params_ema": weights_of(tiny(1))})
    refused = refusal(read_weights, path, "params")
    assert refused.endswith(
        f"weights that are not finite, in 1 of {len(weights)} tensors ({second}); the training has diverged"
    )
    assert first in read_weights(path, "params_ema")
