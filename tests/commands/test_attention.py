"""``clit attention``: arguments, files and errors."""

import numpy as np
import pytest
from inference_helpers import CLIT, LIIF, write_weights
from PIL import Image

from clit_plugin.commands.attention import parse_query
from clit_plugin.commands.cli import main
from clit_plugin.figures import attention_figure
from clit_plugin.figures.attention_figure import Query


def command(*arguments):
    return main(["attention", *(str(argument) for argument in arguments)])


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)).save(path)
    return path


def test_the_picture_has_one_row_per_query_and_branch(clit, photo, tmp_path):
    given = [photo, "--weights", clit[1], "--scale", 5, "-o"]
    assert command(*given, tmp_path / "one.png", "--at", "3,4") == 0
    assert command(*given, tmp_path / "two.png", "--at", "3,4", "--at", "29,19") == 0
    sizes = [Image.open(tmp_path / name).size for name in ("one.png", "two.png")]
    assert sizes[0][0] == sizes[1][0] and sizes[1][1] > 1.6 * sizes[0][1]


def test_a_query_is_the_centre_of_the_nearest_output_pixel_and_keeps_its_text():
    assert parse_query("0,0", (4, 4), (4, 4)) == Query("0,0", (0, 0), (0.5, 0.5))
    assert parse_query("3,1", (4, 4), (8, 8)) == Query("3,1", (3, 7), (1.75, 3.75))
    assert parse_query("-0.5,3.49", (4, 4), (8, 8)) == Query("-0.5,3.49", (7, 0), (3.75, 0.25))


@pytest.mark.parametrize(
    ("scale", "flags", "rows", "line"),
    [
        (3, [], 1, "x3 uses branch 1 of 2; --branches all draws the others as well"),
        (3, ["--branches", "all"], 2, "x3 uses branch 1 of 2\n"),
        (5, [], 2, "x5 uses branches 1 to 2 of 2\n"),
    ],
)
def test_the_branches_of_the_scale_are_named_and_all_are_drawn_on_request(
    clit, photo, tmp_path, capsys, monkeypatch, scale, flags, rows, line
):
    drawn = []
    original = attention_figure.draw_attention

    def draw(lq, queries, maps, grid, **more):
        drawn.append(([each.size for each in maps], more))
        return original(lq, queries, maps, grid, **more)

    monkeypatch.setattr(attention_figure, "draw_attention", draw)
    given = [photo, "--weights", clit[1], "--scale", scale, "--at", "3,4", "-o", tmp_path / "a.png", *flags]
    assert command(*given) == 0
    assert line in capsys.readouterr().err
    ((sizes, more),) = drawn
    assert sizes == [(20, 30), (80, 120)][:rows]
    assert more == {"scale": scale, "used": 1 if scale == 3 else 2}


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["--at", "30,3"], "--at 30,3: outside the image, where X is 0 to 29 and Y is 0 to 19"),
        (["--at", "3"], "--at 3: expected X,Y"),
        (["--at", "nan,3"], "--at nan,3: outside"),
        (["--at", "3,3", "--scale", "0"], "--scale: expected at least 1"),
    ],
)
def test_a_bad_query_is_refused_in_one_line(clit, photo, tmp_path, capsys, arguments, error):
    assert command(photo, "--weights", clit[1], "--scale", 2, "-o", tmp_path / "o.png", *arguments) == 2
    errors = capsys.readouterr().err
    assert errors.count("\n") == 1 and error in errors


@pytest.mark.parametrize("network", [LIIF, {**CLIT, "local_attention": False}])
def test_a_network_without_attention_is_refused_by_name(photo, tmp_path, capsys, network):
    write_weights(tmp_path / "w.pth", network)
    given = [photo, "--weights", tmp_path / "w.pth", "--scale", 2, "-o", tmp_path / "o.png", "--at", "1,1"]
    assert command(*given) == 2
    assert f"{network['type']} without local attention" in capsys.readouterr().err


def test_an_existing_output_is_kept(clit, photo, tmp_path, capsys):
    (tmp_path / "o.png").write_bytes(b"precious")
    given = [photo, "--weights", clit[1], "--scale", 2, "-o", tmp_path / "o.png", "--at", "1,1"]
    assert command(*given) == 2
    assert "o.png: already exists; --overwrite" in capsys.readouterr().err
    assert (tmp_path / "o.png").read_bytes() == b"precious"
