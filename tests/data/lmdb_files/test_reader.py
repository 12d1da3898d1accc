import cv2
import numpy as np
import pytest

from clit_plugin.data.lmdb_files.reader import read_meta_info
from clit_plugin.utils.errors import UserError


def make_folder(path, meta_info):
    path.mkdir()
    (path / "data.mdb").touch()
    if meta_info is not None:
        (path / "meta_info.txt").write_text(meta_info, encoding="utf-8")
    return path


def make_by_basicsr(folder, names):
    from basicsr.utils.lmdb_util import make_lmdb_from_imgs  # only after clit_plugin, which repairs it

    files = [f"{name}.png" for name in names]
    make_lmdb_from_imgs(str(folder), str(folder / "x.lmdb"), files, names, map_size=2**20)
    return folder / "x.lmdb"


def test_heights_and_widths_come_by_key_in_the_order_of_the_file(tmp_path):
    folder = make_folder(tmp_path / "x.lmdb", "b/0002.png (480,320,3) 1\na/0001.png (5,7,3) 1\n")
    assert list(read_meta_info(folder).items()) == [("b/0002", (480, 320)), ("a/0001", (5, 7))]


@pytest.mark.parametrize(
    "key", ["v1.2/img.0001", "my photo (1,2,3) 4", " leading", "two  spaces ", "a.png (1,1,3) 1.b"]
)
def test_keys_with_dots_spaces_and_brackets_are_read(tmp_path, key):
    folder = make_folder(tmp_path / "x.lmdb", f"{key}.png (4,5,3) 1\n")
    assert read_meta_info(folder) == {key: (4, 5)}


def test_windows_line_ends_and_a_missing_last_line_end_are_accepted(tmp_path):
    folder = make_folder(tmp_path / "x.lmdb", "a.png (4,5,3) 1\r\n\r\nb.png (6,7,3) 1")
    assert read_meta_info(folder) == {"a": (4, 5), "b": (6, 7)}


def test_an_lmdb_made_by_basicsr_itself_is_read(tmp_path):
    for name, size in [("one", (6, 9)), ("two", (8, 4))]:
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.zeros((*size, 3), np.uint8))
    assert read_meta_info(make_by_basicsr(tmp_path, ["one", "two"])) == {"one": (6, 9), "two": (8, 4)}


def test_a_grey_image_made_by_basicsr_is_refused_by_its_key(tmp_path):
    cv2.imwrite(str(tmp_path / "grey.png"), np.zeros((6, 9), np.uint8))
    folder = make_by_basicsr(tmp_path, ["grey"])
    with pytest.raises(UserError, match=r"'grey' has 1 channel\(s\), expected 3.*--convert"):
        read_meta_info(folder)


def test_a_key_listed_twice_is_refused(tmp_path):  # BasicSR #16, #239: equal base names of several folders
    folder = make_folder(tmp_path / "x.lmdb", "0001.png (4,5,3) 1\n0001.png (6,7,3) 1\n")
    with pytest.raises(UserError, match="line 2: key '0001' is listed twice"):
        read_meta_info(folder)


@pytest.mark.parametrize(
    "line",
    ["0002.png", "0002.png (4,5) 1", "0002 (4,5,3) 1", "0002.png (0,5,3) 1", "0002.png (4,5,3) x", "ü.png (4,5,3) 1"],
)
def test_a_malformed_line_is_named_by_its_number(tmp_path, line):
    folder = make_folder(tmp_path / "x.lmdb", f"0001.png (4,5,3) 1\n{line}\n")
    with pytest.raises(UserError, match="meta_info.txt, line 2: expected"):
        read_meta_info(folder)


def test_an_empty_list_is_refused(tmp_path):
    with pytest.raises(UserError, match="lists no images"):
        read_meta_info(make_folder(tmp_path / "x.lmdb", ""))


def test_a_missing_folder_is_named_with_the_remedy(tmp_path):
    with pytest.raises(UserError, match="x.lmdb: no such LMDB folder; make it with 'clit prepare"):
        read_meta_info(tmp_path / "x.lmdb")


def test_a_folder_without_data_is_no_lmdb(tmp_path):
    (tmp_path / "x.lmdb").mkdir()
    with pytest.raises(UserError, match="data.mdb is missing"):
        read_meta_info(tmp_path / "x.lmdb")


def test_a_missing_meta_info_is_named(tmp_path):
    with pytest.raises(UserError, match="meta_info.txt is missing"):
        read_meta_info(make_folder(tmp_path / "x.lmdb", None))


@pytest.mark.parametrize("asked", ["x.lmdb", "x.lmdb.partial"])
def test_an_incomplete_lmdb_is_reported_as_such(tmp_path, asked):
    make_folder(tmp_path / "x.lmdb.partial", "a.png (4,5,3) 1\n")
    with pytest.raises(UserError, match="x.lmdb.partial: the LMDB is incomplete; run the same 'clit prepare' again"):
        read_meta_info(tmp_path / asked)


def test_a_complete_lmdb_is_read_while_its_successor_is_being_written(tmp_path):
    make_folder(tmp_path / "x.lmdb.partial", None)
    assert read_meta_info(make_folder(tmp_path / "x.lmdb", "a.png (4,5,3) 1\n")) == {"a": (4, 5)}
