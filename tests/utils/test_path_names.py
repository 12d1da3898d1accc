"""Names from the user that become parts of paths."""

import pytest

from clit_plugin.utils.errors import UserError
from clit_plugin.utils.path_names import check_path_name, check_written_names


@pytest.mark.parametrize("name", ["Set5_x2", "a", "ü ber", "..x", ".hidden", "-x", "x" * 180, "é" * 90])
def test_a_plain_file_name_is_accepted(name):
    check_path_name(name, "name", "a name")


BAD = ["", None, 5, ".", "..", "/", "a/b", "/a", "../x", "a\b", "a\0b", "a\nb", "\x1b[0m", "\u202ex", "x" * 181]


@pytest.mark.parametrize("name", BAD, ids=ascii)
def test_a_name_that_leaves_its_folder_or_cannot_be_written_is_refused_in_one_line(name):
    with pytest.raises(UserError, match=r"^name: expected a name, ?.*got ") as caught:
        check_path_name(name, "name", "a name")
    assert str(caught.value).isprintable() and len(str(caught.value)) < 200


def test_two_images_whose_results_would_share_a_name_are_refused():
    with pytest.raises(UserError, match="val.save_img: results of a/b and a_b would both be a_bx2_run.png; rename one"):
        check_written_names([("a_bx2", "a/b"), ("cx2", "c"), ("a_bx2", "a_b")], "_run.png", "val.save_img")


def test_a_result_name_of_more_than_255_bytes_is_refused():
    check_written_names([("é" * 123, "image")], "_run.png"[:9], "val.save_img")
    with pytest.raises(UserError, match="the result of image would have a name of more than 255 bytes"):
        check_written_names([("é" * 124, "image")], "_run.png", "val.save_img")
