"""Whole images in the large parts that an accelerator computes, on the CPU, against the reference path."""

import pytest
import torch

from clit_plugin.archs.clit_arch import CLIT
from clit_plugin.commands.benchmark_roofline import CASES, costs_of
from clit_plugin.fast import device_memory, grid_decoder
from clit_plugin.fast.strips import Limits, runs_of, strips
from clit_plugin.inference.live_bytes import LiveBytes
from clit_plugin.inference.memory import _HEAD_BYTES

SMALL = {"encoder": {"type": "EDSRBaseline", "num_feat": 8, "num_block": 1}, "dim": 12, "decoder_hidden": [16, 16]}


@pytest.fixture
def large_parts(monkeypatch):
    """Parts as on an accelerator with so many bytes for each."""

    def choose(memory: int) -> None:
        monkeypatch.setattr(grid_decoder, "lies_in_cache", lambda device: False)
        monkeypatch.setattr(grid_decoder, "part_memory", lambda device: memory)

    return choose


@pytest.mark.parametrize("memory", [1, 30_000, 200_000, 2**30], ids=["a query", "strips", "blocks", "all at once"])
@pytest.mark.parametrize(
    ("lq_size", "size"), [((5, 7), (14, 19)), ((6, 5), (7, 6)), ((4, 3), (16, 12)), ((3, 2), (101, 5))]
)
@pytest.mark.parametrize("options", [{"num_heads": 3}, {"num_heads": 2, "local_grid": [3, 5]}], ids=["7 x 7", "3 x 5"])
def test_images_agree_with_the_reference_path_in_float64(large_parts, memory, lq_size, size, options):
    fast, reference = CLIT(**SMALL, **options).double(), CLIT(**SMALL, **options, reference=True).double()
    reference.load_state_dict(fast.state_dict())
    lq = torch.rand(1, 3, *lq_size, dtype=torch.float64)
    large_parts(memory)
    expected = reference.upscale(lq, size)
    torch.testing.assert_close(fast.upscale(lq, size), expected, rtol=0, atol=1e-10 * float(expected.abs().max()))


@pytest.mark.parametrize("num_branches", [1, 2])
def test_autocast_to_bfloat16_stays_near_float32(large_parts, num_branches):
    net = CLIT(**SMALL, num_heads=3, num_branches=num_branches)
    lq, stages = torch.rand(1, 3, 5, 7), [(9, 11)] * (num_branches - 1)
    expected = net.upscale(lq, (14, 19), stages)
    large_parts(200_000)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        actual = net.upscale(lq, (14, 19), stages)
    assert (actual - expected).abs().max() < 0.02


def test_a_network_in_bfloat16_stays_near_float32(large_parts):
    net = CLIT(**SMALL, num_heads=3)
    lq = torch.rand(1, 3, 5, 7)
    expected = net.upscale(lq, (14, 19))
    large_parts(200_000)
    actual = net.bfloat16().upscale(lq.bfloat16(), (14, 19))
    assert (actual.float() - expected).abs().max() < 0.02


@pytest.mark.parametrize("limits", [Limits(1, 1, 1), Limits(7, 100, 2), Limits(40, 3, 2), Limits(10**6, 10**6, 10**6)])
def test_strips_cover_an_output_once_within_their_limits(limits):
    rows, columns = torch.tensor([0, 0, 1, 1, 1, 2, 2, 2, 4]), torch.tensor([0, 1, 1, 2, 3, 3, 4, 4, 5, 5, 6])
    seen = torch.zeros(len(rows), len(columns), dtype=torch.int64)
    device = torch.device("cpu")
    for strip in strips(runs_of(rows), runs_of(columns), size=(5, 7), grid=(3, 3), limits=limits, device=device):
        seen[strip.rows.view(-1, 1), strip.columns.flatten()] += 1
        centres = len(strip.rows) * len(strip.columns)
        assert centres <= limits.centres
        assert strip.rows.numel() * strip.columns.numel() <= limits.queries
        assert [part.start for part, _ in strip.blocks] == list(range(0, centres, limits.block))
        assert strip.blocks[-1][0].stop == centres
    assert torch.equal(seen, torch.ones_like(seen))


@pytest.mark.parametrize("network", ["CLIT", "small CLIT"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, None])
def test_a_2k_output_launches_a_few_hundred_kernels(network, dtype):
    case = next(each for each in CASES if each.network == network and each.lq_size == (339, 510))
    assert costs_of(case, dtype).total.calls <= 300


@pytest.mark.parametrize(("network", "memory"), [("CLIT", 24), ("CLIT", 80), ("LIIF", 80), ("MetaSR", 80)])
def test_a_2k_output_stays_within_the_planned_memory(monkeypatch, network, memory):
    monkeypatch.setattr(device_memory, "_COUNTED", memory * 10**9)
    case = next(each for each in CASES if each.network == network and each.lq_size == (339, 510))
    with LiveBytes() as live:
        costs_of(case, None)
    assert 10**9 < live.peak < _HEAD_BYTES["cuda"]


def test_a_gpu_with_less_memory_computes_smaller_parts(monkeypatch):
    case = next(each for each in CASES if each.network == "CLIT" and each.lq_size == (339, 510))
    largest = []
    for memory in (3 * 10**9, 10**9):
        monkeypatch.setattr(grid_decoder, "part_memory", lambda device, memory=memory: memory)
        activation = costs_of(case, torch.bfloat16).kernels["gelu_"]
        largest.append(activation.bytes / activation.calls)
    assert largest[1] < largest[0] / 2
