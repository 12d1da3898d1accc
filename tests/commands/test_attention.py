"""``clit attention`` and the maps that it draws."""

import numpy as np
import pytest
import torch
from inference_helpers import CLIT, LIIF, write_weights
from PIL import Image

from clit_plugin.commands.attention import parse_query
from clit_plugin.commands.cli import main
from clit_plugin.fast import branch as fast_branch
from clit_plugin.figures import attention_figure
from clit_plugin.figures.attention_figure import Query
from clit_plugin.ops.coordinates import local_grid_offsets, make_cell, make_coord, nearest_index, relative_coordinates
from clit_plugin.ops.local_attention import (
    attention_weights,
    gather_local_grid,
    pad_for_local_grid,
    resize_bilinear,
    sample_bilinear,
    weight_values,
)

SIZE, OUT = (7, 9), (23, 41)
STAGES = [(14, 20)]


@pytest.fixture
def lq():
    return torch.rand(1, 3, *SIZE)


@pytest.fixture
def coord():
    return make_coord(OUT)[None, ::17]


def test_maps_are_positive_and_sum_to_one(clit, lq, coord):
    maps = clit[0].attention(lq, coord, STAGES)
    assert [each.size for each in maps] == [SIZE, STAGES[0]]
    for each in maps:
        assert each.weights.shape == (1, coord.shape[1], 9, 2)
        assert (each.weights > 0).all()
        torch.testing.assert_close(each.weights.sum(2), torch.ones(1, coord.shape[1], 2))
        assert torch.equal(each.centre, nearest_index(coord, each.size))


@pytest.mark.parametrize("pixels", [1, 150, 10**6])
def test_maps_are_those_of_the_plain_path_whatever_the_tiles(clit, monkeypatch, pixels):
    monkeypatch.setattr(fast_branch, "tile_pixels", lambda feature: pixels)
    net, lq, size = clit[0], torch.rand(2, 3, 13, 11), (37, 30)
    coord = make_coord(OUT).expand(2, -1, -1)[:, ::7]
    feature = net.conv_feat(net.encoder((lq - 0.5) / 0.5))
    for maps, branch in zip(net.attention(lq, coord, [size]), net.branches, strict=True):
        resized = feature if maps.size == (13, 11) else resize_bilinear(feature, size)
        index, offsets = nearest_index(coord, maps.size), local_grid_offsets((3, 3), device="cpu")
        keys = gather_local_grid(pad_for_local_grid(branch.to_k(resized), (3, 3)), index, (3, 3))
        bias = net.pos_bias(relative_coordinates(coord, index, offsets, maps.size))
        expected = attention_weights(sample_bilinear(branch.to_q(resized), coord), keys, bias)
        torch.testing.assert_close(maps.weights, expected, rtol=0, atol=1e-5)


def test_values_under_the_maps_decode_to_the_networks_own_colours(clit, lq, coord):
    net, _ = clit
    cell = make_cell(OUT)[None]
    inside = (lq - 0.5) / 0.5
    feature = net.conv_feat(net.encoder(inside))
    images = []
    for maps, branch in zip(net.attention(lq, coord, STAGES), net.branches, strict=True):
        resized = feature if maps.size == SIZE else resize_bilinear(feature, maps.size)
        values = gather_local_grid(pad_for_local_grid(branch.to_v(resized), (3, 3)), maps.centre, (3, 3))
        seen = weight_values(maps.weights, values).flatten(2)
        relative = (cell * torch.tensor(maps.size)).unsqueeze(1).expand(-1, coord.shape[1], -1)
        images.append(branch.decoder(torch.cat([seen, relative], -1)))
    total = images[1] + net.discount * images[0] + sample_bilinear(inside, coord, padding_mode="border")
    torch.testing.assert_close(total * 0.5 + 0.5, net(lq, coord, cell, STAGES), rtol=0, atol=1e-5)


def command(*arguments):
    return main(["attention", *(str(argument) for argument in arguments)])


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)).save(path)
    return path


def test_the_picture_has_a_row_a_query_and_branch(clit, photo, tmp_path):
    given = [photo, "--weights", clit[1], "--scale", 5, "-o"]
    assert command(*given, tmp_path / "one.png", "--at", "3,4") == 0
    assert command(*given, tmp_path / "two.png", "--at", "3,4", "--at", "29,19") == 0
    sizes = [Image.open(tmp_path / name).size for name in ("one.png", "two.png")]
    assert sizes[0][0] == sizes[1][0] and sizes[1][1] > 1.6 * sizes[0][1]


def test_a_query_is_the_centre_of_the_nearest_output_pixel_and_told_as_asked():
    assert parse_query("0,0", (4, 4), (4, 4)) == Query("0,0", (0, 0), (0.5, 0.5))
    assert parse_query("3,1", (4, 4), (8, 8)) == Query("3,1", (3, 7), (1.75, 3.75))
    assert parse_query("-0.5,3.49", (4, 4), (8, 8)) == Query("-0.5,3.49", (7, 0), (3.75, 0.25))


@pytest.mark.parametrize(
    ("scale", "flags", "rows", "told"),
    [
        (3, [], 1, "x3 uses branch 1 of 2; --branches all draws the others, too"),
        (3, ["--branches", "all"], 2, "x3 uses branch 1 of 2\n"),
        (5, [], 2, "x5 uses branches 1 to 2 of 2\n"),
    ],
)
def test_the_branches_of_the_scale_are_told_and_all_drawn_on_request(
    clit, photo, tmp_path, capsys, monkeypatch, scale, flags, rows, told
):
    drawn = []
    original = attention_figure.draw_attention

    def draw(lq, queries, maps, grid, **more):
        drawn.append(([each.size for each in maps], more))
        return original(lq, queries, maps, grid, **more)

    monkeypatch.setattr(attention_figure, "draw_attention", draw)
    given = [photo, "--weights", clit[1], "--scale", scale, "--at", "3,4", "-o", tmp_path / "a.png", *flags]
    assert command(*given) == 0
    assert told in capsys.readouterr().err
    ((sizes, more),) = drawn
    assert sizes == [(20, 30), (80, 120)][:rows]
    assert more == {"scale": scale, "used": 1 if scale == 3 else 2}


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["--at", "30,3"], "--at 30,3: outside the image, whose X go to 29 and Y to 19"),
        (["--at", "3"], "--at 3: expected X,Y"),
        (["--at", "nan,3"], "--at nan,3: outside"),
        (["--at", "3,3", "--scale", "0"], "--scale: expected at least 1"),
    ],
)
def test_a_bad_query_is_one_line(clit, photo, tmp_path, capsys, arguments, error):
    assert command(photo, "--weights", clit[1], "--scale", 2, "-o", tmp_path / "o.png", *arguments) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and error in told


@pytest.mark.parametrize("network", [LIIF, {**CLIT, "local_attention": False}])
def test_a_network_without_attention_is_refused_by_name(photo, tmp_path, capsys, network):
    write_weights(tmp_path / "w.pth", network)
    given = [photo, "--weights", tmp_path / "w.pth", "--scale", 2, "-o", tmp_path / "o.png", "--at", "1,1"]
    assert command(*given) == 2
    assert f"{network['type']} without local attention" in capsys.readouterr().err


def test_a_picture_that_is_there_is_kept(clit, photo, tmp_path, capsys):
    (tmp_path / "o.png").write_bytes(b"precious")
    given = [photo, "--weights", clit[1], "--scale", 2, "-o", tmp_path / "o.png", "--at", "1,1"]
    assert command(*given) == 2
    assert "o.png: is there already; --overwrite" in capsys.readouterr().err
    assert (tmp_path / "o.png").read_bytes() == b"precious"
