"""Which tiles fit into the memory, and too little memory."""

import re

import pytest
import torch

from clit_plugin.archs import LIIF
from clit_plugin.inference import memory
from clit_plugin.inference.live_bytes import LiveBytes
from clit_plugin.inference.memory import Budget, budget, check_memory, choose_tiling, memory_errors
from clit_plugin.utils.errors import UserError

CPU = torch.device("cpu")


@pytest.fixture
def net():
    encoder = {"type": "EDSRBaseline", "num_feat": 8, "num_block": 1}
    return LIIF(encoder=encoder, decoder_hidden=[8]).eval()


def tiling(net, share, size=(3000, 3000), **more):
    return choose_tiling(
        net, (1000, 1000), size, Budget(share, share, True), **{"caller_bytes": 0, "name": "x.png", **more}
    )


def test_less_memory_means_smaller_tiles_until_none_fits(net):
    chosen = [tiling(net, int(gigabytes * 1e9), tile=None) for gigabytes in (8, 0.7, 0.5, 0.15)]
    areas = [each.tile * each.rows for each in chosen]
    assert areas[0] == 512**2 and areas == sorted(areas, reverse=True) and len(set(areas)) >= 3
    assert all(each.tile % 8 == each.rows % 8 == each.margin % 8 == 0 for each in chosen)
    with pytest.raises(UserError, match=r"x\.png: 3000x3000 pixels need about \d+\.\d GB, .* raise --max-memory"):
        tiling(net, 10**6, tile=None)


def test_too_small_a_limit_is_refused_with_what_the_program_itself_takes(net, monkeypatch):
    messages = []
    for used in (0, 600_000_000):
        monkeypatch.setattr(memory, "_used", lambda device, used=used: used)
        with pytest.raises(UserError) as caught:
            tiling(net, 10**6, tile=None)
        messages.append(re.findall(r"\d+\.\d(?= GB)", str(caught.value)))
    assert [own for _, own in messages] == ["0.0", "0.6"]
    assert float(messages[1][0]) - float(messages[0][0]) == pytest.approx(0.6, abs=0.1)


def test_the_part_of_the_output_held_in_memory_counts(net):
    tiling(net, 10**9, tile=None)
    with pytest.raises(UserError, match="raise --max-memory"):
        tiling(net, 10**9, tile=None, caller_bytes=200)


def test_a_requested_tile_size_is_used(net):
    assert (tiling(net, 1, tile=40).tile, tiling(net, 1, tile=40).rows) == (40, 40)
    assert tiling(net, 1, tile=0).tile == 1000


def test_without_max_memory_four_fifths_of_the_free_memory_are_used(monkeypatch):
    monkeypatch.setattr(memory, "memory_left", lambda device=None: 10**10)
    assert budget(CPU, None) == Budget(8 * 10**9, 8 * 10**9, False)
    bounded = budget(CPU, 4e9)
    assert bounded.limited and 0 < bounded.device < 4e9  # the process has something already


def test_live_bytes_peak_at_what_is_held_at_a_time():
    with LiveBytes() as counted:
        total = torch.zeros(1000)
        for _ in range(5):
            total = total + torch.ones(1000)
    assert 3 * 4000 <= counted.peak <= 4 * 4000


def test_an_output_is_refused_only_where_it_exceeds_the_free_memory():
    with pytest.raises(UserError, match=r"x\.png: an output of 1000000x1000000 pixels needs about 36000\.0 GB"):
        check_memory((10**6, 10**6), CPU, name="x.png")
    check_memory((100, 100), CPU, name="x.png")


def test_out_of_memory_errors_of_torch_are_reported_with_a_remedy():
    with (
        pytest.raises(UserError, match=r"x\.png: not enough memory on cpu; use less"),
        memory_errors("x.png", CPU, "use less"),
    ):
        torch.empty(2**60)


def test_errors_other_than_out_of_memory_are_not_changed():
    with pytest.raises(RuntimeError, match="shape"), memory_errors("x.png", CPU, "use less"):
        torch.zeros(2).view(3)
