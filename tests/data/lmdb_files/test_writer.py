import errno
import os
import zlib
from types import SimpleNamespace

import cv2
import lmdb
import numpy as np
import pytest

from clit_plugin.data.lmdb_files.writer import (
    JOURNAL,
    EncodedImage,
    LmdbWriter,
    StoredImage,
    check_image,
    lmdb_key,
    storage_errors,
)
from clit_plugin.utils.errors import UserError

STAMPS = {name: [1, 2] for name in ("a.png", "b.png", "c.png")}


def noise(key, *, seed=0, size=(8, 6)):
    image = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    return EncodedImage(key, *size, cv2.imencode(".png", image)[1].tobytes())


def keys_in(folder):
    with lmdb.open(str(folder), readonly=True, lock=False) as env, env.begin() as transaction:
        return [key.decode() for key in transaction.cursor().iternext(values=False)]


@pytest.mark.parametrize(
    ("path", "key"),
    [
        ("0801x2.png", "0801x2"),
        ("a/b/0001.JPEG", "a/b/0001"),
        ("v1.2/img.0001.png", "v1.2/img.0001"),
        ("my photo (1), [x]~!.png", "my photo (1), [x]~!"),
        ("100%.png", "100%25"),
        ("größe.png", "gr%C3%B6%C3%9Fe"),
        ("line\nbreak\x7f.png", "line%0Abreak%7F"),
        (os.fsdecode(b"latin-\xe9.png"), "latin-%E9"),
    ],
)
def test_a_key_is_the_path_without_extension_in_printable_ascii(path, key):
    assert lmdb_key(path) == key


def test_a_percent_encoded_name_and_its_decoded_name_get_different_keys():
    assert lmdb_key("%C3%B6.png") != lmdb_key("ö.png")


def test_a_key_of_511_bytes_is_the_longest():
    assert len(lmdb_key("k" * 511 + ".png")) == 511
    with pytest.raises(UserError, match="512 bytes, more than LMDB's 511; shorten"):
        lmdb_key("k" * 512 + ".png")


def test_the_suffix_counts_towards_the_length_of_a_key():
    with pytest.raises(UserError, match="516 bytes"):
        lmdb_key("k" * 511 + ".png", suffix="_s001")


def test_basicsr_reads_back_what_was_added(tmp_path):
    with LmdbWriter(folder=tmp_path, sources=STAMPS) as writer:
        writer.add(source="a.png", images=[noise("a_s001", seed=1), noise("a_s002", seed=2)])
    from basicsr.utils import FileClient  # only after clit_plugin, which repairs it

    client = FileClient("lmdb", db_paths=[str(tmp_path)], client_keys=["gt"])
    assert client.get("a_s001", "gt") == noise("a_s001", seed=1).png
    assert client.get("a_s002", "gt") == noise("a_s002", seed=2).png


def test_the_map_grows_when_it_is_full(tmp_path):  # BasicSR #462
    images = [noise(f"{number}", seed=number, size=(64, 64)) for number in range(40)]  # 40 x 12 KiB
    with LmdbWriter(folder=tmp_path, sources=STAMPS, map_bytes=64 * 1024) as writer:
        writer.add(source="a.png", images=images)
    with LmdbWriter(folder=tmp_path, sources=STAMPS, map_bytes=64 * 1024) as writer:
        writer.add(source="b.png", images=[noise("more", seed=99, size=(200, 200))])
        writer.commit()
        assert [writer.read(image.key) for image in images] == [image.png for image in images]
        assert writer.read("more") == noise("more", seed=99, size=(200, 200)).png


def test_every_few_dozen_sources_are_committed(tmp_path):
    stamps = {f"{number}": [1, 1] for number in range(100)}
    with LmdbWriter(folder=tmp_path, sources=stamps) as writer:
        for number in range(100):
            writer.add(source=f"{number}", images=[noise(f"{number}")])
            assert number - len(writer.done) < 48
        assert len(writer.done) > 48


def test_large_images_are_committed_after_fewer_sources(tmp_path):
    with LmdbWriter(folder=tmp_path, sources=STAMPS, commit_bytes=1000) as writer:
        writer.add(source="a.png", images=[noise("a", size=(30, 30))])
        assert list(writer.done) == ["a.png"]


def test_images_added_before_an_exception_are_committed(tmp_path):
    with pytest.raises(KeyboardInterrupt), LmdbWriter(folder=tmp_path, sources=STAMPS) as writer:
        writer.add(source="a.png", images=[noise("a")])
        raise KeyboardInterrupt
    with LmdbWriter(folder=tmp_path, sources=STAMPS) as writer:
        assert list(writer.done) == ["a.png"]
        assert writer.read("a") == noise("a").png


def test_images_of_changed_and_removed_sources_are_deleted(tmp_path):
    with LmdbWriter(folder=tmp_path, sources=STAMPS) as writer:
        for name in "abc":
            writer.add(source=f"{name}.png", images=[noise(name)])
    with LmdbWriter(folder=tmp_path, sources={"a.png": [1, 2], "b.png": [1, 3]}) as writer:
        assert list(writer.done) == ["a.png"]
        assert writer.dropped == 2
    assert keys_in(tmp_path) == ["a"]


def test_an_image_committed_without_a_journal_record_is_encoded_again(tmp_path):  # killed between the two
    with LmdbWriter(folder=tmp_path, sources=STAMPS) as writer:
        writer.add(source="a.png", images=[noise("a")])
        writer.commit()
        writer.add(source="b.png", images=[noise("b")])
    lines = (tmp_path / JOURNAL).read_text().splitlines()
    (tmp_path / JOURNAL).write_text("\n".join(lines[:-1] + [lines[-1][:20]]))
    with LmdbWriter(folder=tmp_path, sources=STAMPS) as writer:
        assert list(writer.done) == ["a.png"]
        writer.add(source="c.png", images=[noise("c")])
    assert keys_in(tmp_path) == ["a", "c"]


def test_meta_info_is_basicsrs_sorted_by_key(tmp_path):
    with LmdbWriter(folder=tmp_path, sources=STAMPS) as writer:
        writer.add(source="b.png", images=[noise("b", size=(5, 9))])
        writer.add(source="a.png", images=[noise("a_s002"), noise("a_s001")])
        writer.commit()
        writer.write_meta_info()
    assert (tmp_path / "meta_info.txt").read_text() == "a_s001.png (8,6,3) 1\na_s002.png (8,6,3) 1\nb.png (5,9,3) 1\n"


def stored(image, **changes):
    return StoredImage(image.key, image.height, image.width, zlib.crc32(image.png))._replace(**changes)


def test_a_faithful_copy_passes_the_check(tmp_path):
    image = noise("a")
    check_image(image=stored(image), content=image.png, folder=tmp_path)


@pytest.mark.parametrize("content", [None, noise("a", seed=1).png])
def test_changed_pixels_fail_the_check(tmp_path, content):
    with pytest.raises(UserError, match="key 'a': does not read back as written"):
        check_image(image=stored(noise("a")), content=content, folder=tmp_path)


def test_a_changed_size_fails_the_check(tmp_path):
    image = noise("a")
    with pytest.raises(UserError, match=r"key 'a': decodes to shape \(8, 6, 3\) instead of \(9, 6, 3\)"):
        check_image(image=stored(image, height=9), content=image.png, folder=tmp_path)


@pytest.mark.parametrize(
    "error",
    [lmdb.DiskError("mdb_txn_commit: No space left on device"), OSError(errno.ENOSPC, "No space left on device")],
)
def test_a_full_disk_is_one_line_with_the_remedy(tmp_path, error):
    with pytest.raises(UserError, match="no space left on the disk; make room and run the same command again"):
        with storage_errors(tmp_path):
            raise error


@pytest.mark.parametrize(("free", "message"), [(2**20, "no space left on the disk"), (2**40, "Input/output error")])
def test_a_short_write_is_reported_as_a_full_disk_if_little_space_is_free(tmp_path, monkeypatch, free, message):
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=free))
    with pytest.raises(UserError, match=message):
        with storage_errors(tmp_path):
            raise lmdb.Error("mdb_txn_commit: Input/output error")


def test_other_storage_errors_keep_their_reason(tmp_path):
    with pytest.raises(UserError, match=f"{tmp_path}: cannot be written .*Permission denied"):
        with storage_errors(tmp_path):
            raise PermissionError(errno.EACCES, "Permission denied")
