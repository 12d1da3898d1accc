"""A file of ``clit export`` in spandrel itself."""

import json
import subprocess
import sys

import pytest
import torch
from inference_helpers import CLIT, LIIF, write_weights
from safetensors.torch import load_file, save_file

from clit_plugin.archs.safetensors_file import EMBEDDED, encode_embedded
from clit_plugin.commands.cli import main
from clit_plugin.utils.errors import UserError

spandrel = pytest.importorskip("spandrel", reason="needs clit_plugin[spandrel]")

from clit_plugin.inference.spandrel_adapter import ID, register  # noqa: E402


@pytest.fixture
def registry():
    """What spandrel knows, to be added to in one test alone."""
    return spandrel.MAIN_REGISTRY.copy()


@pytest.fixture
def exported(tmp_path):
    """(network, its .safetensors at factor 3)"""
    net = write_weights(tmp_path / "clit.pth")
    path = tmp_path / "clit.safetensors"
    assert main(["export", str(tmp_path / "clit.pth"), "-o", str(path), "--factor", "3"]) == 0
    return net, path


def test_a_file_loads_by_spandrel_and_gives_the_networks_picture_at_its_factor(registry, exported):
    net, path = exported
    register(registry=registry)
    model = spandrel.ModelLoader(registry=registry).load_from_file(path)
    assert model.scale == 3 and model.purpose == "SR" and model.architecture.id == ID and "CLIT" in model.tags
    assert model.input_channels == model.output_channels == 3 and not model.supports_half
    for size in ((9, 14), (1, 5)):
        lq = torch.rand(1, 3, *size)
        expected = net.upscale(lq, (3 * size[0], 3 * size[1])).clamp(0, 1)
        torch.testing.assert_close(model(lq), expected, rtol=0, atol=1e-5)


def test_the_factor_of_register_overrides_that_of_the_file(registry, exported):
    register(2, registry)
    model = spandrel.ModelLoader(registry=registry).load_from_file(exported[1])
    assert model.scale == 2 and model(torch.rand(1, 3, 4, 6)).shape == (1, 3, 8, 12)


def test_half_precision_files_and_other_systems_are_loaded(registry, tmp_path):
    register(registry=registry)
    net = write_weights(tmp_path / "liif.pth", LIIF)
    path = tmp_path / "liif.safetensors"
    assert main(["export", str(tmp_path / "liif.pth"), "-o", str(path), "--half"]) == 0
    lq = torch.rand(1, 3, 6, 7)
    model = spandrel.ModelLoader(registry=registry).load_from_file(path)
    assert model.dtype == torch.float32
    torch.testing.assert_close(model(lq), net.upscale(lq, (24, 28)).clamp(0, 1), rtol=0, atol=2e-3)
    all_half = {name: value.half() for name, value in load_file(path).items()}
    again = spandrel.ModelLoader(registry=registry).load_from_state_dict(all_half)
    assert torch.equal(again(lq), model(lq))


def test_our_architecture_is_detected_first_and_others_are_still_detected(registry):
    known = registry.architectures("detection")
    register(registry=registry)
    first, *others = registry.architectures("detection")
    assert first.architecture.id == ID and others == known
    assert not first.detect({"conv_feat.weight": torch.zeros(1)})


def test_registering_twice_is_harmless_unless_the_factor_would_be_ignored(registry):
    register(registry=registry)
    register(registry=registry)
    with pytest.raises(spandrel.DuplicateArchitectureError):
        register(2, registry)
    with pytest.raises(ValueError, match="factor: expected 1 to 64, got 0"):
        register(0, registry)


@pytest.mark.parametrize(
    ("network", "message"),
    [
        ({**CLIT, "dim": 10**9}, "dim is 1e.09, too large for the tensors of the file"),
        ({**CLIT, "type": "os.system"}, r"network_g\.type: "),
        ({**CLIT, "num_head": 2}, r"network_g\.num_head: unknown key"),
        ({**CLIT, "dim": 16}, "the model: does not fit network_g"),
        ({"type": "Bicubic"}, "Bicubic does not take weights"),
    ],
)
def test_a_file_whose_description_does_not_fit_its_tensors_is_refused(registry, exported, tmp_path, network, message):
    register(registry=registry)
    tensors = {**load_file(exported[1]), EMBEDDED: encode_embedded(network, 4)}
    save_file(tensors, tmp_path / "bad.safetensors")
    with pytest.raises(UserError, match=message):
        spandrel.ModelLoader(registry=registry).load_from_file(tmp_path / "bad.safetensors")


def test_two_lines_register_our_files_in_any_program_that_uses_spandrel(exported):
    code = (
        "from clit_plugin.inference.spandrel_adapter import register; register()\n"
        "import spandrel, sys, json\n"
        "model = spandrel.ModelLoader().load_from_file(sys.argv[1])\n"
        "print(json.dumps([model.scale, model.architecture.name]))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(exported[1])], check=True, capture_output=True, text=True)
    assert json.loads(done.stdout) == [3, "clit_plugin"]
