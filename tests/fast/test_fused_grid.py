"""The kernels of whole images: in Triton's interpreter, compiled for GPUs, and when they are chosen."""

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from compiled_kernels import TARGETS, compiled

from clit_plugin.fast import fused_grid_choice
from clit_plugin.fast.fused_choice import counted_kernels
from clit_plugin.fast.fused_costs import CostedKernels
from clit_plugin.fast.fused_grid import FusedGrid, GridQueries, attention_tile, hidden_tile
from clit_plugin.fast.fused_tiles import Shapes
from clit_plugin.fast.grid_decoder import Head
from clit_plugin.fast.kernel_costs import KernelCosts, count_costs, size_of

FOLDER = Path(__file__).parent
CPU = torch.device("cpu")
PAPER, ODD, LARGE = Shapes(8, 32, 256, (7, 7)), Shapes(3, 12, 33, (3, 5)), Shapes(4, 64, 256, (7, 7))


def test_the_kernels_agree_with_torch_in_the_interpreter():
    pytest.importorskip("triton", reason="the fused kernels need Triton")
    file = FOLDER / "interpreted_grid_kernels.py"
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", str(file)]
    environment = {**os.environ, "TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert " passed" in done.stdout and "skipped" not in done.stdout


@pytest.mark.parametrize(
    ("shapes", "target", "dtype"),
    [
        *((PAPER, target, dtype) for target in TARGETS for dtype in ("bf16", "fp32")),
        (ODD, "sm_80", "fp32"),
        (LARGE, "sm_90", "bf16"),
    ],
)
def test_the_kernels_compile_without_spills(shapes, target, dtype, tmp_path):
    pytest.importorskip("triton", reason="the fused kernels need Triton")
    from clit_plugin.fast.fused_kernels import grid

    capability, _, most = TARGETS[target]
    like = torch.bfloat16 if dtype == "bf16" else torch.float32
    assert fused_grid_choice.fits(shapes, like)
    kernels = [(grid.grid_attention_kernel, attention_tile(shapes, like))]
    kernels += [(grid.grid_hidden_kernel, hidden_tile(shapes, like, each)) for each in (16, 32)]
    types = dict.fromkeys(("tall", "wide", "across", "size"), "i32") | {"queries": "i32", "attention": "*" + dtype}
    types |= dict.fromkeys(("rows", "columns"), "*i64")
    for kernel, tile in kernels:
        registers, spilled, shared = compiled(kernel, shapes, tile, dtype, capability, tmp_path, **types)
        print(f"{target} {dtype} {kernel.__name__}: {registers} registers, {shared} B of shared memory")
        assert spilled == 0, kernel.__name__
        assert shared <= most, kernel.__name__


def test_local_grids_with_large_heads_use_torchs_operations():
    assert fused_grid_choice.fits(LARGE, torch.bfloat16)
    assert not fused_grid_choice.fits(LARGE, torch.float32)
    assert not fused_grid_choice.fits(Shapes(1, 32, 256, (25, 25)), torch.bfloat16)


def test_the_costs_of_a_kernel_follow_its_formula():
    """6 centres of 2 x 3 queries, grid 3 x 1, 2 heads of 8, 16 features, in float32: by hand."""
    shapes, n, each, pixels, c, f = Shapes(2, 8, 16, (3, 1)), 6, 6, 3, 16, 16
    index = [torch.empty(size, dtype=torch.int64) for size in ((6,), (2, 2), (3, 3))]
    hats, bias = (torch.empty(4, 3), torch.empty(9, 3)), (torch.empty(4, 3, 2), torch.empty(9, 1, 2))
    queries = GridQueries(index[0], 7, index[1], index[2], hats, bias)
    q, k, v = torch.empty(50, c), torch.empty(2, 50, 8), torch.empty(2, 50, 8)
    weight, b = torch.empty(2, pixels, 8, f), torch.empty(f)
    costs = KernelCosts()
    fused = FusedGrid(shapes, torch.float32, tf32=False, kernels=CostedKernels(costs))
    hidden = fused.hidden(v, queries, fused.attention(q, k, queries), weight, b)
    assert hidden.shape == (n, each, f)
    attention, row = 4 * n * each * 2 * pixels, 4 * c  # a pixel's row of a table
    expected = n * (9 + pixels) * row + attention + sum(map(size_of, (*index, *hats, *bias)))
    assert costs.kernels["grid_attention_kernel"].bytes == expected
    expected = n * pixels * row + attention + sum(map(size_of, (index[0], weight, b, hidden)))
    assert costs.kernels["grid_hidden_kernel"].bytes == expected
    assert costs.kernels["grid_hidden_kernel"].flops == 2 * n * 2 * pixels * f * (8 + each)


def test_accelerators_compute_large_images_with_the_kernels():
    head = Head(torch.empty(16, 9 * 12), torch.empty(16), torch.nn.Sequential(), 3)
    table, many = torch.empty(1, 12, 4, 5, device="meta"), 2**20

    def chosen(table=table, queries=many):
        return fused_grid_choice.fused_grid(table, head, (3, 3), queries)

    with count_costs() as costs, counted_kernels(CostedKernels(costs)):
        fused = chosen()
        assert fused is not None and fused.shapes == Shapes(3, 4, 16, (3, 3))
        assert chosen(queries=many - 1) is None
        assert chosen(table.double()) is None
        assert chosen(torch.empty(1, 12, 4, 5)) is None
    assert chosen() is None


@pytest.mark.parametrize(
    ("outcome", "usable", "line"),
    [
        ((1e-6, (0.001, 0.003)), True, "is on, within 1.0e-06 of torch's operations, 1.0 ms instead of 3.0 ms"),
        ((1e-6, (0.003, 0.001)), False, "is off: it takes 3.0 ms, torch's operations 1.0 ms"),
        ((1e-3, (0.001, 0.003)), False, "is off: its result is 1.0e-03 from torch's, 2e-05 at most"),
        ((float("nan"), (0.001, 0.003)), False, "is off: its result is nan from torch's"),
        (RuntimeError("PTX is refused\nand more"), False, "is off: RuntimeError: PTX is refused"),
    ],
)
def test_the_first_use_logs_in_one_line_whether_kernels_are_used_and_why(monkeypatch, caplog, outcome, usable, line):
    def outcome_of(*_):
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (9, 0))
    monkeypatch.setattr(fused_grid_choice, "compare", outcome_of)
    monkeypatch.setattr(fused_grid_choice, "FusedGrid", lambda *_, **__: None)
    monkeypatch.setattr(logging.getLogger("basicsr"), "propagate", True)
    shapes = Shapes(2, 4, 8, (3, 3))
    with caplog.at_level("INFO", logger="basicsr"):
        assert fused_grid_choice.first_use(shapes, torch.float32, tf32=False, device=CPU) is usable
    (message,) = {record.getMessage() for record in caplog.records}
    assert line in message


def test_the_comparison_finds_a_wrong_result_and_keeps_global_random_state():
    class Wrong:
        shapes, dtype = Shapes(2, 4, 8, (3, 3)), torch.float32

        def has_hidden(self, each):
            return True

        def attention(self, q, k, queries):
            return None

        def hidden(self, v, queries, *_):
            return torch.zeros(len(queries.centre), queries.each, 8)

    before = torch.get_rng_state()
    difference, times = fused_grid_choice.compare(Wrong(), CPU, lambda: None, size=(3, 4))
    assert difference > 0.1
    assert min(times) > 0
    assert torch.equal(torch.get_rng_state(), before)
