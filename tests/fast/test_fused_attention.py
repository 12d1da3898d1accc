"""The fused kernels: in Triton's interpreter, compiled for GPUs, and when they are chosen."""

import logging
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from compiled_kernels import TARGETS, compiled

from clit_plugin.fast import fused_choice
from clit_plugin.fast.fused_tiles import Shapes, choose_tiles

FOLDER = Path(__file__).parent
CPU = torch.device("cpu")
COMPILED = {
    "the paper's": Shapes(8, 32, 256, (7, 7)),
    "small": Shapes(4, 8, 64, (7, 7)),
    "odd": Shapes(3, 12, 33, (3, 5)),
    "one head, large grid": Shapes(1, 256, 256, (25, 25)),
}


def test_the_kernels_agree_with_torch_in_the_interpreter():
    pytest.importorskip("triton", reason="the fused kernels need Triton")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-x",
        "-p",
        "no:cacheprovider",
        str(FOLDER / "interpreted_kernels.py"),
    ]
    environment = {**os.environ, "TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert " passed" in done.stdout and "skipped" not in done.stdout


@pytest.mark.parametrize("shapes", COMPILED.values(), ids=COMPILED)
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("dtype", ["bf16", "fp32"])
def test_the_kernels_compile_without_spills(shapes, target, dtype, tmp_path):
    pytest.importorskip("triton", reason="the fused kernels need Triton")
    from clit_plugin.fast import fused_kernels

    capability, large, most = TARGETS[target]
    tiles = choose_tiles(shapes, torch.bfloat16 if dtype == "bf16" else torch.float32, large=large)
    for name, tile in tiles._asdict().items():
        if tile is None:
            continue
        kernel = getattr(fused_kernels, name + "_kernel")
        registers, spilled, shared = compiled(kernel, shapes, tile, dtype, capability, tmp_path)
        print(f"{target} {dtype} {name}: {registers} registers, {shared} B of shared memory")
        assert spilled == 0, name
        assert shared <= most, name


def test_the_package_imports_without_triton():
    code = "import sys; sys.modules['triton'] = None; import clit_plugin, clit_plugin.fast.fused_choice"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_cpus_use_torchs_operations():
    assert fused_choice.fused_arithmetic(torch.zeros(4, 32), torch.zeros(16, 32 * 9), 4, (3, 3)) is None


def test_kernels_are_for_float32_weights_and_at_most_512_channels():
    shapes = Shapes(4, 8, 64, (7, 7))
    assert fused_choice.supported(shapes, torch.bfloat16, torch.float32)
    assert not fused_choice.supported(shapes, torch.float64, torch.float64)
    assert not fused_choice.supported(shapes, torch.bfloat16, torch.bfloat16)
    assert not fused_choice.supported(Shapes(4, 256, 64, (7, 7)), torch.float32, torch.float32)


class _Wrong:
    """Torch's operations, with one result that is wrong."""

    def __init__(self, shapes, spoil):
        from clit_plugin.fast.torch_arithmetic import TorchArithmetic

        weight = torch.zeros(shapes.features, shapes.pixels * shapes.channels)
        self.right = TorchArithmetic(grid=shapes.grid, num_heads=shapes.heads, weight=weight)
        self.spoil = spoil

    def forward(self, *arguments):
        if self.spoil == "raise":
            raise RuntimeError("PTX is refused\nand more")
        result, kept = self.right.forward(*arguments)
        return result * (1.01 if self.spoil == "result" else 1.0), kept

    def backward(self, *arguments):
        logits_grad = self.right.backward(*arguments)
        arguments[-2].k.mul_(float("nan") if self.spoil == "nan" else 1.0)
        return logits_grad


@pytest.mark.parametrize(
    ("spoil", "usable", "line"),
    [
        ("", True, "is on, within"),
        ("result", False, "its result is 1.0e-02 from torch's, 2e-05 at most"),
        ("nan", False, "its gradient of k is nan from torch's"),
        ("raise", False, "is off: RuntimeError: PTX is refused"),
        ("result by atomics", False, "its result is 1.0e-02 from torch's"),
    ],
)
def test_the_first_use_logs_in_one_line_whether_kernels_are_used_and_why(monkeypatch, caplog, spoil, usable, line):
    shapes = Shapes(2, 4, 8, (3, 3))
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (9, 0))

    def make(*arguments):
        by_atomics = arguments[-1] == math.inf
        return _Wrong(shapes, spoil.removesuffix(" by atomics") if by_atomics or "atomics" not in spoil else "")

    monkeypatch.setattr(fused_choice, "make_fused", make)
    monkeypatch.setattr(logging.getLogger("basicsr"), "propagate", True)
    before = torch.get_rng_state()
    with caplog.at_level("INFO", logger="basicsr"):
        assert fused_choice.first_use(shapes, torch.float32, tf32=False, device=CPU) is usable
    (message,) = {record.getMessage() for record in caplog.records}
    assert line in message
    assert torch.equal(torch.get_rng_state(), before)
