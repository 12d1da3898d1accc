"""Kernels, bytes and FLOPs against what is computed by hand."""

import pytest
import torch
from torch import Tensor

from clit_plugin.archs.clit_arch import CLIT
from clit_plugin.fast import sample
from clit_plugin.fast.fused_attention import FusedAttention
from clit_plugin.fast.fused_check import compute, make_batch
from clit_plugin.fast.fused_choice import counted_kernels
from clit_plugin.fast.fused_costs import CostedKernels
from clit_plugin.fast.fused_tiles import Shapes
from clit_plugin.fast.kernel_costs import count_costs, size_of
from clit_plugin.fast.meta_functions import HostWaitError


def empty(*size: int, dtype=torch.float32, **more) -> Tensor:
    return torch.empty(*size, dtype=dtype, device="meta", **more)


def counted(work, autocast=None):
    with count_costs(autocast) as costs:
        work()
    return {name: (line.calls, line.bytes, line.flops) for name, line in costs.kernels.items()}


def test_a_matrix_product_reads_its_operands_and_writes_its_result():
    a, b = empty(3, 5), empty(5, 7)
    assert counted(lambda: a @ b) == {"mm": (1, 4 * (15 + 35 + 21), 2 * 3 * 5 * 7)}


def test_an_in_place_baddbmm_is_counted():
    total, a, b = empty(2, 3, 7), empty(2, 3, 5), empty(2, 5, 7)
    assert counted(lambda: total.baddbmm_(a, b)) == {"baddbmm_": (1, 4 * 2 * (15 + 35 + 2 * 21), 2 * 2 * 3 * 5 * 7)}


def test_a_copy_reads_and_writes_and_a_view_costs_nothing():
    a, target = empty(4, 6), empty(6, 4)
    assert counted(lambda: target.copy_(a.T)) == {"copy_": (1, 4 * 48, 0)}
    assert counted(lambda: a.T.unsqueeze(0).expand(9, -1, -1)[2:]) == {}


def test_an_expanded_tensor_is_read_once():
    assert counted(lambda: empty(1, 6).expand(50, -1) + 1)["add"][1] == 4 * (6 + 300)


def test_overwritten_outputs_are_not_read():
    assert counted(lambda: empty(10).zero_()) == {"zero_": (1, 40, 0)}
    assert counted(lambda: empty(10).add_(empty(10)))["add_"] == (1, 4 * 30, 0)


def test_index_select_reads_only_the_selected_rows():
    table, index = empty(1000, 8), empty(5, dtype=torch.int64)
    assert counted(lambda: table.index_select(0, index))["index_select"][1] == 2 * 5 * 8 * 4 + 5 * 8


def test_index_add_reads_and_writes_only_the_indexed_rows():
    table, index = empty(1000, 8), empty(5, dtype=torch.int64)
    assert counted(lambda: table.index_add_(0, index, empty(5, 8)))["index_add_"][1] == 3 * 5 * 8 * 4 + 5 * 8


def test_the_backward_pass_is_counted():
    a, b = empty(3, 5, requires_grad=True), empty(5, 7, requires_grad=True)
    calls, _, flops = counted(lambda: (a @ b).backward(empty(3, 7)))["mm"]
    assert (calls, flops) == (3, 3 * 2 * 3 * 5 * 7)


def test_under_autocast_products_read_half_precision_and_weights_are_cast_once():
    weight = torch.nn.Parameter(empty(5, 4))
    x = empty(3, 4, dtype=torch.bfloat16)

    def twice():
        for _ in range(2):
            assert torch.nn.functional.linear(x, weight).dtype == torch.bfloat16

    costs = counted(twice, torch.bfloat16)
    assert costs["mm"] == (2, 2 * 2 * (12 + 20 + 15), 2 * 2 * 3 * 4 * 5)
    assert costs["_to_copy"] == (1, 20 * 6, 0)


@pytest.mark.parametrize(
    "work",
    [
        lambda x: x.sum().item(),
        lambda x: x.tolist(),
        lambda x: bool(x.sum() > 0),
        lambda x: x.nonzero(),
        lambda x: x[x > 0],
        lambda x: x.cpu(),
        lambda x: torch.empty(4).copy_(x),
    ],
)
def test_operations_that_wait_for_the_device_are_errors(work):
    with pytest.raises(HostWaitError), count_costs():
        work(empty(4))


def test_copies_to_the_device_are_counted():
    with count_costs() as costs:
        torch.ones(3).to("meta")
        empty(3) + 1
    assert costs.copies == 1


def test_the_costs_of_a_fused_kernel_follow_its_formula():
    """35 queries, grid 3 x 1, 2 heads of 8, 16 features, in float32: by hand."""
    shapes, n, pixels, c, f = Shapes(2, 8, 16, (3, 1)), 35, 3, 16, 16
    batch = make_batch(shapes, torch.float32, torch.device("cpu"), n)
    chunk = batch.chunk
    with count_costs() as costs:
        fused = FusedAttention(shapes, torch.float32, tf32=False, large=True, kernels=CostedKernels(costs))
        fused.tiles = fused.tiles._replace(hidden={**fused.tiles.hidden, "block": 16})
        compute(fused, batch)
    attention, weight = 4 * n * pixels * 2, 4 * f * pixels * c
    bias = size_of(chunk.rows) + size_of(chunk.columns)
    centre, rows, sums = size_of(chunk.centre), 4 * n * c, 8 * n * c  # a row of a table a query; one that is added to
    expected = {
        "logits_kernel": (9 + pixels) * rows + centre + size_of(chunk.hat) + bias + attention,
        "hidden_kernel": pixels * rows + centre + attention + weight + 4 * n * f,
        "values_backward_kernel": pixels * (rows + sums) + centre + 2 * attention + weight + 4 * n * f,
        "logits_backward_kernel": (9 + pixels) * rows + centre + size_of(chunk.hat) + attention + 2 * rows,
        "weight_grad_kernel": pixels * rows + centre + attention + 4 * n * f + 2 * weight,
    }
    assert {name: costs.kernels[name].bytes for name in expected} == expected
    assert costs.kernels["hidden_kernel"].requested == expected["hidden_kernel"] + 2 * weight  # in three blocks of 16
    assert costs.kernels["hidden_kernel"].flops == n * pixels * c * (2 * f + 1)


def test_the_costs_of_values_summed_by_pixel_count_queries_once_per_row_of_the_grid():
    """The same, in a table of 8 rows of 9 pixels with their halo."""
    shapes, n, pixels, c, f = Shapes(2, 8, 16, (3, 1)), 35, 3, 16, 16
    batch = make_batch(shapes, torch.float32, torch.device("cpu"), n)
    with count_costs() as costs:
        kernels = CostedKernels(costs)
        compute(FusedAttention(shapes, torch.float32, tf32=False, large=True, crowded=0.0, kernels=kernels), batch)
    attention, weight, table = 4 * n * pixels * 2, 4 * f * pixels * c, 4 * 72 * c
    sent = 3 * 2 * (4 * n * f + 16 * n)  # by heads and rows: the gradient, a query's number and its centre
    expected = pixels * 4 * n * c + sent + 8 * 73 + 2 * attention + weight + 2 * table
    assert costs.kernels["values_by_pixel_kernel"].bytes == expected
    assert "values_backward_kernel" not in costs.kernels


@pytest.mark.parametrize("stages", [[], [(20, 21)]])
def test_a_training_step_with_fused_kernels_does_not_wait(monkeypatch, stages):
    monkeypatch.setattr(sample, "REFERENCE_BYTES", 0)
    encoder = {"type": "EDSRBaseline", "num_feat": 8, "num_block": 1}
    net = CLIT(encoder=encoder, dim=12, num_heads=3, local_grid=3, decoder_hidden=[16], num_branches=2).to("meta")
    with count_costs(torch.bfloat16) as costs, counted_kernels(CostedKernels(costs)):
        output = net(empty(2, 3, 6, 7), empty(2, 23, 2), empty(2, 2), stages)
        output.float().square().mean().backward()
    for kernel in ("logits_kernel", "hidden_kernel", "weight_grad_kernel"):
        assert costs.kernels[kernel].calls == 1 + len(stages)
    values = [costs.kernels[name].calls for name in costs.kernels if name.startswith("values_")]
    assert sum(values) == 1 + len(stages)
    assert costs.copies == 0
    assert all(p.grad is not None for p in net.branches[0].parameters())


@pytest.mark.parametrize(("batch", "fused", "sampled"), [(4, True, False), (16, True, True), (16, False, False)])
def test_a_small_network_uses_fused_kernels_where_they_move_fewer_bytes(batch, fused, sampled):
    """Of 48 x 48 queries with 49 pixels of 64 frequencies 116 MB at batch 4, 462 MB at batch 16."""
    encoder = {"type": "EDSRBaseline", "num_feat": 8, "num_block": 1}
    net = CLIT(encoder=encoder, dim=32, num_heads=4, decoder_hidden=[64]).to("meta")
    with count_costs() as costs, counted_kernels(CostedKernels(costs) if fused else None):
        net(empty(batch, 3, 48, 48), empty(batch, 2304, 2), empty(batch, 2), [])
    assert ("hidden_kernel" in costs.kernels) == sampled
