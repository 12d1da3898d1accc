"""Calling CLIT: chunks, grids, batches, dtypes, and what is refused."""

import pytest
import torch
import torch.nn.functional as F
from small_clit import lively, small


def decoded(net) -> list[int]:
    """How many queries of an image the decoders get at a time, call by call as the net runs."""
    sizes: list[int] = []
    for branch in net.branches:
        branch.decoder.register_forward_pre_hook(lambda _, inputs: sizes.append(inputs[0].shape[1]))
    return sizes


@pytest.mark.parametrize("max_queries", [1, 7, 98, 99, 100])
def test_chunks_of_queries_add_up_to_the_whole_image(max_queries):
    net, lq = lively(num_branches=2, local_ensemble=True), torch.rand(2, 3, 2, 2, dtype=torch.float64)
    whole = net.upscale(lq, (9, 11), max_queries=1000)
    torch.testing.assert_close(net.upscale(lq, (9, 11), max_queries=max_queries), whole, rtol=0, atol=1e-12)


@pytest.mark.parametrize("max_queries", [1, 7, 98, 99, 100])
def test_no_chunk_of_the_reference_path_is_larger_than_max_queries(max_queries):
    net = small(local_attention=False, num_branches=2, reference=True)
    sizes = decoded(net)
    net.upscale(torch.rand(1, 3, 2, 2), (9, 11), max_queries=max_queries)
    assert max(sizes) <= max_queries
    assert sum(sizes) == 2 * 99  # both branches, every pixel once


def test_the_reference_path_decodes_all_queries_at_once_in_training():
    net = small(local_attention=False, reference=True)
    sizes = decoded(net)
    net(torch.rand(2, 3, 4, 4), torch.rand(2, 50, 2), torch.full((2, 2), 0.2))
    assert sizes == [50]


@pytest.mark.parametrize("batch", [1, 3, 16])
@pytest.mark.parametrize(("grid", "dim"), [(7, 256), (25, 64), (1, 256)])
def test_the_default_chunk_keeps_the_gathered_features_within_256_mb(grid, dim, batch):
    with torch.device("meta"):
        net = small(dim=dim, num_heads=8, local_grid=grid)
    chunk = net.default_max_queries(batch)
    gathered = batch * chunk * grid**2 * dim * 4  # bytes of float32 keys, or of values
    assert 2 * gathered <= 2**28
    assert gathered * 8 >= 2**28  # and it is not needlessly small


def test_the_default_chunk_is_at_least_one_query():
    with torch.device("meta"):
        assert small(dim=256, local_grid=25).default_max_queries(10**6) == 1


def test_the_reference_path_uses_the_default_chunk(monkeypatch):
    net, lq = small(reference=True), torch.rand(2, 3, 3, 4)
    asked = []
    monkeypatch.setattr(net, "default_max_queries", lambda batch: asked.append(batch) or 5)
    sizes = decoded(net)
    net.upscale(lq, (4, 5))
    assert asked == [2]
    assert max(sizes) == 5


@pytest.mark.parametrize("size", [(7, 11), (12, 12), (13, 8), (3, 16)])
def test_forward_and_upscale_choose_the_same_default_grids(size, monkeypatch):
    net, grids = small(num_branches=3), []
    monkeypatch.setattr(net, "residual", lambda lq, coord, *rest: grids.append(list(rest[1])) or torch.zeros(1, 1, 3))
    net(torch.rand(1, 3, 3, 2), torch.zeros(1, 1, 2), torch.tensor([[2 / size[0], 2 / size[1]]]))
    monkeypatch.setattr(net, "residual_image", lambda x, s, stages, m, p: grids.append(stages) or torch.zeros(1, 3, *s))
    net.upscale(torch.rand(1, 3, 3, 2), size)
    assert grids[0] == grids[1]


def test_forward_takes_the_smallest_cell_of_a_batch_for_its_grids(monkeypatch):
    net, grids = small(num_branches=2), []
    monkeypatch.setattr(net, "residual", lambda *args: grids.append(list(args[3])) or torch.zeros(2, 1, 3))
    net(torch.rand(2, 3, 3, 2), torch.zeros(2, 1, 2), torch.tensor([[2 / 6, 2 / 10], [2 / 15, 2 / 4]]))
    assert grids == [[(12, 8)]]  # for 15 x 10


def test_images_of_a_batch_are_independent():
    net, lq = lively(num_branches=2), torch.rand(3, 3, 3, 2, dtype=torch.float64)
    together = net.upscale(lq, (13, 11))
    for i in range(3):
        torch.testing.assert_close(net.upscale(lq[i : i + 1], (13, 11)), together[i : i + 1], rtol=0, atol=1e-12)


def test_every_image_of_a_batch_has_its_own_queries_and_cell():
    net, lq = lively(), torch.rand(2, 3, 3, 4, dtype=torch.float64)
    coord, cell = torch.rand(2, 9, 2, dtype=torch.float64) * 2 - 1, torch.tensor([[0.2, 0.3], [0.4, 0.1]]).double()
    together = net(lq, coord, cell)
    for i in range(2):
        alone = net(lq[i : i + 1], coord[i : i + 1], cell[i : i + 1])
        torch.testing.assert_close(alone, together[i : i + 1], rtol=0, atol=1e-12)


def test_the_result_is_not_clamped():
    net = small()
    with torch.no_grad():
        net.branches[0].decoder[-1].bias.copy_(torch.tensor([9.0, -9.0, 0.0]))
    rgb = net.upscale(torch.rand(1, 3, 4, 4), (6, 7))
    assert rgb[0, 0].min() > 1
    assert rgb[0, 1].max() < 0


def test_without_a_residual_the_image_is_interpolated():
    net, lq = small(), torch.rand(2, 3, 5, 7)
    with torch.no_grad():
        net.branches[0].decoder[-1].weight.zero_()
        net.branches[0].decoder[-1].bias.zero_()
    expected = F.interpolate(lq, (13, 11), mode="bilinear", align_corners=False)
    torch.testing.assert_close(net.upscale(lq, (13, 11)), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("training", [True, False])
def test_upscale_keeps_the_mode_and_records_no_gradient(training):
    net = small().train(training)
    assert not net.upscale(torch.rand(1, 3, 4, 4), (5, 6)).requires_grad
    assert all(module.training == training for module in net.modules())


def test_float64_in_gives_float64_out():
    net = small(num_branches=2).double()
    lq = torch.rand(1, 3, 2, 3, dtype=torch.float64)
    assert net.upscale(lq, (9, 13)).dtype == torch.float64
    assert net(lq, torch.zeros(1, 4, 2).double(), torch.full((1, 2), 0.3).double()).dtype == torch.float64


@pytest.mark.parametrize("grid", [1, 9, 25])
def test_local_grids_up_to_25_are_supported(grid):
    net = small(local_grid=grid)
    assert net.upscale(torch.rand(1, 3, 4, 5), (6, 9)).isfinite().all()


def test_an_image_of_one_pixel_can_be_upscaled():
    assert small(num_branches=2).upscale(torch.rand(1, 3, 1, 1), (5, 7)).isfinite().all()


@pytest.mark.parametrize("size", [(0, 5), (5, 0), (-1, 5)])
def test_an_output_without_pixels_is_refused(size):
    with pytest.raises(ValueError, match="size: expected two positive integers"):
        small().upscale(torch.rand(1, 3, 4, 4), size)


def test_a_chunk_of_no_queries_is_refused():
    with pytest.raises(ValueError, match="max_queries: expected at least 1, got 0"):
        small().upscale(torch.rand(1, 3, 4, 4), (5, 5), max_queries=0)


@pytest.mark.parametrize("branches", [1, 2])
def test_more_grids_than_branches_are_refused(branches):
    net, lq, stages = small(num_branches=branches), torch.rand(1, 3, 4, 4), [(5, 5)] * branches
    with pytest.raises(ValueError, match=f"at most {branches - 1} grids"):
        net.upscale(lq, (6, 6), stage_sizes=stages)
    with pytest.raises(ValueError, match=f"at most {branches - 1} grids"):
        net(lq, torch.zeros(1, 1, 2), torch.full((1, 2), 0.3), stages)
