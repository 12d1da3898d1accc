"""Weights as .safetensors: what comes back, and what a stranger's header can hold."""

import json
import struct

import pytest
import torch
from inference_helpers import CLIT
from safetensors.torch import save_file

from clit_plugin.archs.safetensors_file import EMBEDDED, decode_embedded, encode_embedded, read_safetensors
from clit_plugin.archs.weights import read_checkpoint, read_weights
from clit_plugin.inference.load_network import load_network
from clit_plugin.utils.errors import UserError

TENSORS = {"a.weight": torch.arange(6.0).view(2, 3) / 7, "a.steps": torch.tensor(5)}
DEEP = "[" * 5000


def write(path, header, tensors=TENSORS):
    save_file(tensors, path, header)
    return path


def test_tensors_and_header_come_back_as_a_checkpoint(tmp_path):
    header = {
        "network_g": json.dumps(CLIT),
        "iter": "70",
        "scale_range": "[1, 16]",
        "degradation": '{"type": "realistic"}',
        "figures": '[{"set": "Set5"}]',
        "modelspec.title": "mine",
        "modelspec.license": "CC0-1.0",
        "modelspec.author": "Ada",
        "something.else": "is ignored",
    }
    checkpoint = read_checkpoint(write(tmp_path / "a.safetensors", header))
    weights = checkpoint.pop("params")
    assert weights.keys() == TENSORS.keys()
    assert all(
        torch.equal(weights[name], value) and weights[name].dtype == value.dtype for name, value in TENSORS.items()
    )
    about = {"name": "mine", "licence": "CC0-1.0", "author": "Ada", "scale_range": [1.0, 16.0]}
    about |= {"degradation": {"type": "realistic"}, "figures": [{"set": "Set5"}]}
    assert checkpoint == {"network_g": CLIT, "iter": 70, "about": about}


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_read_as_float32(tmp_path, dtype):
    stored = {"a": torch.randn(4, 5).to(dtype)}
    read = read_safetensors(write(tmp_path / "a.safetensors", None, stored))["params"]["a"]
    assert read.dtype == torch.float32 and torch.equal(read, stored["a"].float())


def test_loaded_weights_do_not_change_when_the_file_is_overwritten(tmp_path):
    path = write(tmp_path / "a.safetensors", None)
    read = read_weights(path, "params")
    path.write_bytes(b"\0" * path.stat().st_size)
    assert torch.equal(read["a.weight"], TENSORS["a.weight"])


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float16, torch.bfloat16, torch.float32])
def test_the_network_is_read_from_its_tensor_without_a_header_in_any_dtype(tmp_path, dtype):
    encoded = encode_embedded(CLIT, 3).to(dtype)
    assert decode_embedded(encoded) == (CLIT, 3)
    checkpoint = read_checkpoint(write(tmp_path / "a.safetensors", None, {**TENSORS, EMBEDDED: encoded}))
    assert checkpoint["network_g"] == CLIT and checkpoint["params"].keys() == TENSORS.keys()


@pytest.mark.parametrize(
    ("encoded", "message"),
    [
        (torch.full((9,), -1.0), "bytes of JSON"),
        (torch.tensor([float("nan")]), "bytes of JSON"),
        (torch.zeros(2, 2), "bytes of JSON"),
        (torch.zeros(3, dtype=torch.uint8), "expected JSON"),
        (torch.tensor(list(b"[]"), dtype=torch.uint8), "expected network_g"),
        (torch.tensor(list(b'{"network_g": {}, "factor": 0}'), dtype=torch.uint8), "1 to 64"),
        (torch.tensor(list(DEEP.encode()), dtype=torch.uint8), "expected JSON"),
    ],
)
def test_an_invalid_embedded_description_is_refused(tmp_path, encoded, message):
    with pytest.raises(UserError, match=rf"a\.safetensors: the tensor clit_plugin\.json: .*{message}") as raised:
        read_checkpoint(write(tmp_path / "a.safetensors", None, {EMBEDDED: encoded}))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ({"network_g": "{"}, "network_g in its header: expected JSON"),
        ({"network_g": "[1]"}, r"network_g in its header: expected a mapping, got \[1\]"),
        ({"network_g": DEEP}, "network_g in its header: expected JSON"),
        ({"network_g": json.dumps({"type": "x" * 100_000})}, "100012 characters, more than the limit"),
        ({"network_g": '{"discount": NaN}'}, "NaN is not JSON"),
        ({"network_g": '{"discount": 1e999}'}, "1e999 is too large"),
        (
            {"network_g": json.dumps({**CLIT, "dim": 10**9})},
            "dim is 1e.09, too large for the tensors",
        ),
        ({"network_g": json.dumps({"encoder": {"num_block": 10**9}})}, r"encoder\.num_block is 1e.09"),
        ({"network_g": '{"dim": 1' + "0" * 5000 + "}"}, "expected JSON"),
        ({"scale_range": "4"}, "scale_range in its header: expected two numbers"),
        ({"scale_range": "[4, 1]"}, "1 <= least <= most"),
        ({"scale_range": '["1", "4"]'}, "expected two numbers"),
        ({"degradation": "[]"}, "degradation in its header: expected a name or a mapping"),
        ({"iter": "many"}, "iter in its header: expected JSON"),
    ],
)
def test_an_invalid_header_is_refused_in_one_line(tmp_path, header, message):
    with pytest.raises(UserError, match=rf"a\.safetensors: .*{message}") as raised:
        read_checkpoint(write(tmp_path / "a.safetensors", header))
    assert "\n" not in str(raised.value) and len(str(raised.value)) < 400


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not a model",
        struct.pack("<Q", 2**60) + b"{}",
        struct.pack("<Q", 5) + b"{bad}",
        struct.pack("<Q", 2**14) + b"[" * 2**14,
        struct.pack("<Q", 60) + b'{"a":{"dtype":"F32","shape":[9],"data_offsets":[0,36]}}     ',
        struct.pack("<Q", 72) + b'{"a":{"dtype":"F99","shape":[1],"data_offsets":[0,4]}}'.ljust(72) + b"\0" * 4,
    ],
    ids=["empty", "text", "endless header", "no JSON", "nested header", "no data", "unknown type"],
)
def test_a_damaged_file_is_refused_in_one_line(tmp_path, content):
    (tmp_path / "a.safetensors").write_bytes(content)
    with pytest.raises(UserError, match=r"a\.safetensors: not a readable \.safetensors file") as raised:
        read_checkpoint(tmp_path / "a.safetensors")
    assert "\n" not in str(raised.value)


def test_a_truncated_file_is_refused_in_one_line(tmp_path):
    path = write(tmp_path / "a.safetensors", {"network_g": json.dumps(CLIT)})
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(UserError, match="or damaged"):
        read_checkpoint(path)


def test_weights_of_other_programs_need_an_option_file(tmp_path):
    with pytest.raises(UserError, match=r"a\.safetensors: holds no network_g; .*-opt YAML"):
        load_network(str(write(tmp_path / "a.safetensors", {"format": "pt"})))


def test_weights_that_are_not_finite_are_refused(tmp_path):
    path = write(tmp_path / "a.safetensors", None, {"a": torch.tensor([1.0, float("inf")])})
    with pytest.raises(UserError, match="not finite"):
        read_weights(path, "params")
