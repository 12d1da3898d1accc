"""Networks from weights files, with options in them or beside them."""

import pytest
import torch
import yaml
from inference_helpers import CLIT, write_weights

from clit_plugin.inference.load_network import choose_device, load_network
from clit_plugin.utils.errors import UserError


def test_a_file_with_its_options_gives_the_network(clit):
    net, path = clit
    loaded = load_network(str(path))
    lq = torch.rand(1, 3, 5, 7)
    assert torch.equal(loaded.upscale(lq, (9, 11)), net.upscale(lq, (9, 11)))
    assert not loaded.training and not any(p.requires_grad for p in loaded.parameters())


def test_ema_weights_are_preferred_unless_param_key_selects_others(clit, tmp_path):
    net, _ = clit
    average = {name: torch.full_like(value, 0.25) for name, value in net.state_dict().items()}
    write_weights(tmp_path / "ema.pth", params_ema=average)
    assert all((p == 0.25).all() for p in load_network(str(tmp_path / "ema.pth")).parameters())
    loaded = load_network(str(tmp_path / "ema.pth"), param_key="params")
    assert all(torch.equal(a, b) for a, b in zip(loaded.parameters(), net.parameters(), strict=True))
    with pytest.raises(UserError, match=r"clit\.pth: holds no 'params_ema'"):
        load_network(str(clit[1]), param_key="params_ema")


def test_a_file_without_options_needs_an_option_file(clit, tmp_path):
    net, _ = clit
    torch.save({"params": net.state_dict()}, tmp_path / "bare.pth")
    with pytest.raises(UserError, match=r"bare\.pth: holds no network_g; .*-opt YAML"):
        load_network(str(tmp_path / "bare.pth"))
    (tmp_path / "x.yml").write_text(yaml.safe_dump({"network_g": CLIT}))
    loaded = load_network(str(tmp_path / "bare.pth"), str(tmp_path / "x.yml"))
    assert all(torch.equal(a, b) for a, b in zip(loaded.parameters(), net.parameters(), strict=True))


@pytest.fixture
def bare(clit, tmp_path):
    """Weights of CLIT without its options."""
    torch.save({"params": clit[0].state_dict()}, tmp_path / "bare.pth")
    return str(tmp_path / "bare.pth")


def test_options_that_do_not_fit_the_weights_are_one_error_that_names_the_file(bare, tmp_path):
    (tmp_path / "x.yml").write_text(yaml.safe_dump({"network_g": {**CLIT, "dim": 16}}))
    with pytest.raises(UserError, match=r"bare\.pth: does not fit network_g: \d+ of another shape"):
        load_network(bare, str(tmp_path / "x.yml"))


def test_a_wrong_key_in_the_option_file_is_named(bare, tmp_path):
    (tmp_path / "x.yml").write_text(yaml.safe_dump({"network_g": {**CLIT, "num_head": 2}}))
    with pytest.raises(UserError, match=r"x\.yml: network_g\.num_head: unknown key"):
        load_network(bare, str(tmp_path / "x.yml"))


def test_the_stored_network_is_kept_and_differences_from_the_option_file_are_reported(clit, tmp_path, capsys):
    other = {**CLIT, "encoder": {**CLIT["encoder"], "num_block": 2}, "num_branches": 3, "local_ensemble": False}
    (tmp_path / "x.yml").write_text(yaml.safe_dump({"network_g": other}))
    loaded = load_network(str(clit[1]), str(tmp_path / "x.yml"))
    assert all(torch.equal(a, b) for a, b in zip(loaded.parameters(), clit[0].parameters(), strict=True))
    errors = capsys.readouterr().err
    assert "its network_g is ignored" in errors and errors.count("\n") == 1
    # local_ensemble is said by neither the stored options nor differs from its default.
    assert "(there encoder.num_block is 1, num_branches is 2)" in errors


def test_an_option_file_with_the_same_network_prints_nothing(clit, tmp_path, capsys):
    (tmp_path / "x.yml").write_text(yaml.safe_dump({"network_g": {**CLIT, "discount": 0.75}}))
    load_network(str(clit[1]), str(tmp_path / "x.yml"))
    assert capsys.readouterr().err == ""


def test_weights_of_an_unregistered_system_ask_for_its_option_file(clit, tmp_path):
    weights = clit[0].state_dict()
    torch.save({"params": weights, "network_g": {**CLIT, "type": "NotImported"}}, tmp_path / "own.pth")
    with pytest.raises(UserError, match=r"own\.pth: network_g\.type: .*give -opt YAML, which imports its module"):
        load_network(str(tmp_path / "own.pth"))


def test_bicubic_interpolation_has_no_weights_to_load(bare, tmp_path):
    (tmp_path / "x.yml").write_text("network_g: {type: Bicubic}")
    with pytest.raises(UserError, match=r"x\.yml: network_g\.type: Bicubic does not take weights"):
        load_network(bare, str(tmp_path / "x.yml"))


def test_an_original_checkpoint_is_refused_with_a_hint_at_clit_convert(tmp_path):
    torch.save({"model": {}}, tmp_path / "official.pth")
    with pytest.raises(UserError, match=r"official\.pth: .*clit convert"):
        load_network(str(tmp_path / "official.pth"))


def test_an_unavailable_device_is_named():
    assert choose_device("cpu") == torch.device("cpu")
    for name in ("cuda:99", "gpu"):
        with pytest.raises(UserError, match=f"--device {name}: not available"):
            choose_device(name)
