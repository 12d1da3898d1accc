import os
import pickle
import shutil

import cv2
import numpy as np
import pytest
from PIL import Image
from torch._utils import ExceptionWrapper
from torch.utils.data import DataLoader, Dataset
from train_helpers import stage_options, train, write_images, write_yaml

from clit_plugin.data import image_source
from clit_plugin.data.image_source import ImageSource
from clit_plugin.data.lmdb_files.prepare import prepare_lmdb
from clit_plugin.utils.errors import UserError

IMAGES = {"0001.png": (6, 9), "b/0002.png": (8, 5), "b/c d.bmp": (7, 7)}
KEYS = ["0001", "b/0002", "b/c d"]


class Sums(Dataset):
    """Reads every image of two sources in a worker, and returns sums that identify it."""

    def __init__(self, *sources: ImageSource) -> None:
        self.sources = sources

    def __len__(self) -> int:
        return len(KEYS)

    def __getitem__(self, index: int) -> list[int]:
        return [int(source.read(KEYS[index]).astype(int).sum()) for source in self.sources]


@pytest.fixture
def pixels() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        key: rng.integers(0, 256, (*size, 3), dtype=np.uint8) for key, size in zip(KEYS, IMAGES.values(), strict=True)
    }


@pytest.fixture
def folder(tmp_path, pixels):
    for file, image in zip(IMAGES, pixels.values(), strict=True):
        path = tmp_path / "hr" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    return tmp_path / "hr"


@pytest.fixture
def lmdb_folder(folder, tmp_path):
    prepare_lmdb(folder=folder, output=tmp_path / "hr.lmdb", workers=1)
    return tmp_path / "hr.lmdb"


@pytest.fixture(params=["folder", "lmdb_folder"])
def root(request) -> str:
    """The same images, in a folder or an LMDB."""
    return str(request.getfixturevalue(request.param))


def test_images_are_listed_by_key_with_height_and_width(root):
    assert list(ImageSource(root).sizes.items()) == [("0001", (6, 9)), ("b/0002", (8, 5)), ("b/c d", (7, 7))]


def test_images_are_read_unchanged_as_rgb(root, pixels):
    source = ImageSource(root)
    for key, image in pixels.items():
        assert np.array_equal(source.read(key), image)


def test_basicsr_s_option_must_agree_with_the_path(folder, lmdb_folder):
    ImageSource(str(folder), {"type": "disk"})
    ImageSource(str(lmdb_folder), {"type": "lmdb"})
    with pytest.raises(UserError, match="is lmdb, but a path without the suffix .lmdb is read as disk"):
        ImageSource(str(folder), {"type": "lmdb"})
    with pytest.raises(UserError, match="is disk, but a path with the suffix .lmdb is read as lmdb"):
        ImageSource(str(lmdb_folder), {"type": "disk"})


def test_a_path_in_the_home_folder_is_found(folder, monkeypatch):
    monkeypatch.setenv("HOME", str(folder.parent))
    assert list(ImageSource("~/hr").sizes) == KEYS


# ---------------------------------------------------------------------- cache


def test_cached_images_equal_those_of_the_files(root, pixels):
    source = ImageSource(root)
    source.fill_cache(KEYS, progress=False)
    for key, image in pixels.items():
        assert np.array_equal(source.read(key), image)


def test_cached_images_are_not_read_from_the_files_again(folder, pixels):
    source = ImageSource(str(folder))
    source.fill_cache(["b/0002", "0001"], progress=False)
    shutil.rmtree(folder)
    assert np.array_equal(source.read("0001"), pixels["0001"])
    assert np.array_equal(source.read("b/0002"), pixels["b/0002"])


# ---------------------------------------------------------------------- worker processes


@pytest.mark.parametrize("cached", [False, True])
def test_forked_workers_read_what_their_parent_has_read(root, cached):
    source = ImageSource(root)
    if cached:
        source.fill_cache(KEYS, progress=False)
    dataset = Sums(source)
    alone = [dataset[i] for i in range(3)]  # which opens the LMDB in the parent
    loader = DataLoader(dataset, batch_size=None, num_workers=2, multiprocessing_context="fork")
    for _ in range(2):
        assert list(loader) == alone


def test_a_forked_worker_opens_the_lmdb_anew(lmdb_folder, monkeypatch):
    # LMDB: an environment must not be used by a process that did not open it.
    opened, original = [], image_source.FileClient
    monkeypatch.setattr(image_source, "FileClient", lambda *a, **o: opened.append(os.getpid()) or original(*a, **o))

    class Openers(Sums):
        def __getitem__(self, index):
            super().__getitem__(index)
            return os.getpid(), list(opened)

    dataset = Openers(ImageSource(str(lmdb_folder)))
    assert dataset[0] == (os.getpid(), [os.getpid()])
    for worker, openers in DataLoader(dataset, batch_size=None, num_workers=2, multiprocessing_context="fork"):
        assert openers == [os.getpid(), worker]
    dataset[0]
    assert opened == [os.getpid()] * 2  # the parent, too, after it has forked


def test_spawned_workers_open_lmdbs_and_folders_themselves(folder, lmdb_folder):
    cached = ImageSource(str(lmdb_folder))
    cached.fill_cache(KEYS, progress=False)
    dataset = Sums(ImageSource(str(folder)), ImageSource(str(lmdb_folder)), cached)
    alone = [dataset[i] for i in range(3)]
    assert list(DataLoader(dataset, batch_size=None, num_workers=1, multiprocessing_context="spawn")) == alone


def test_a_source_that_has_been_read_can_be_pickled(root, pixels):
    source = ImageSource(root)
    source.read("0001")
    assert np.array_equal(pickle.loads(pickle.dumps(source)).read("b/0002"), pixels["b/0002"])


def test_two_sources_may_share_an_lmdb(lmdb_folder, pixels):
    first, second = ImageSource(str(lmdb_folder)), ImageSource(str(lmdb_folder))
    for key, image in pixels.items():
        assert np.array_equal(first.read(key), image)
        assert np.array_equal(second.read(key), image)


def test_one_lmdb_may_be_given_by_different_paths(lmdb_folder, pixels, monkeypatch):
    # LMDB refuses to open an environment twice in a process.
    monkeypatch.chdir(lmdb_folder.parent)
    os.symlink(lmdb_folder, "link.lmdb")
    for path in (str(lmdb_folder), "hr.lmdb", "./hr.lmdb", "../" + lmdb_folder.parent.name + "/hr.lmdb", "link.lmdb"):
        assert np.array_equal(ImageSource(path).read("0001"), pixels["0001"])


def test_two_lmdbs_of_the_same_keys_are_kept_apart(folder, lmdb_folder, tmp_path):
    Image.fromarray(np.zeros((6, 9, 3), np.uint8)).save(folder / "0001.png")
    prepare_lmdb(folder=folder, output=tmp_path / "other.lmdb", workers=1)
    first, second = ImageSource(str(lmdb_folder)), ImageSource(str(tmp_path / "other.lmdb"))
    assert first.read("0001").any()
    assert not second.read("0001").any()


# ---------------------------------------------------------------------- what is wrong with the data


GREY, TRANSPARENT, DEEP = (
    np.zeros((6, 9), np.uint8),
    np.zeros((6, 9, 4), np.uint8),
    np.zeros((6, 9, 3), np.uint16),
)


@pytest.mark.parametrize(("image", "found"), [(GREY, "L"), (TRANSPARENT, "RGBA"), (DEEP, "RGB of 16 bits")])
def test_strict_sources_refuse_files_that_are_not_8_bit_rgb_when_they_are_listed(tmp_path, image, found):
    assert cv2.imwrite(str(tmp_path / "odd.png"), image)
    with pytest.raises(UserError, match=rf"odd\.png: expected an 8-bit RGB image, got {found}; convert it"):
        ImageSource(str(tmp_path), strict=True)


@pytest.mark.parametrize(("image", "found"), [(TRANSPARENT, "RGBA"), (DEEP, "RGB of 16 bits")])
def test_non_rgb_files_other_than_grey_are_refused_even_if_not_strict(tmp_path, image, found):
    assert cv2.imwrite(str(tmp_path / "odd.png"), image)
    with pytest.raises(UserError, match=rf"odd\.png: expected an 8-bit RGB image, got {found}; convert it"):
        ImageSource(str(tmp_path))


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
@pytest.mark.parametrize("mode", ["L", "1"])
def test_grey_and_black_and_white_images_are_rgb_of_equal_channels(tmp_path, mode, suffix):
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (6, 9), dtype=np.uint8)).convert(mode).save(tmp_path / f"grey{suffix}")
    source = ImageSource(str(tmp_path))
    assert source.sizes == {"grey": (6, 9)}
    expected = np.asarray(Image.open(tmp_path / f"grey{suffix}").convert("RGB")).astype(int)
    np.testing.assert_allclose(source.read("grey"), expected, atol=1 if suffix == ".jpg" else 0)
    source.fill_cache(["grey"], progress=False)
    np.testing.assert_allclose(source.read("grey"), expected, atol=1 if suffix == ".jpg" else 0)


@pytest.mark.parametrize("image", [GREY, TRANSPARENT, DEEP])
def test_a_file_that_is_no_longer_8_bit_rgb_is_refused_when_it_is_read(folder, image):
    source = ImageSource(str(folder), strict=True)
    assert cv2.imwrite(str(folder / "0001.png"), image)
    with pytest.raises(UserError, match=r"0001\.png: expected an 8-bit RGB image"):
        source.read("0001")


def test_a_palette_of_colours_is_read_as_rgb(tmp_path):
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (6, 9, 3), dtype=np.uint8)).quantize(16)
    image.save(tmp_path / "palette.png")
    assert np.array_equal(ImageSource(str(tmp_path)).read("palette"), np.asarray(image.convert("RGB")))


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(UserError, match="nowhere: no such folder of images"):
        ImageSource(str(tmp_path / "nowhere"))


def test_a_missing_lmdb_is_named(tmp_path):
    with pytest.raises(UserError, match="nowhere.lmdb: no such LMDB folder"):
        ImageSource(str(tmp_path / "nowhere.lmdb"))


def test_a_folder_without_images_is_refused(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(UserError, match="no images in it or its subfolders"):
        ImageSource(str(tmp_path))


def test_two_files_of_one_key_are_refused(folder):
    shutil.copy(folder / "0001.png", folder / "0001.bmp")
    with pytest.raises(UserError, match=r"0001\.bmp and 0001\.png would both get the key '0001'; .*--keep-extension"):
        ImageSource(str(folder))


def test_a_file_that_is_no_image_is_named_when_it_is_listed(folder):
    (folder / "b" / "broken.png").write_bytes(b"no image")
    with pytest.raises(UserError, match=r"b/broken\.png: not a readable image"):
        ImageSource(str(folder))


def test_a_file_that_ends_too_early_is_named_when_it_is_read(folder):
    file = folder / "0001.png"
    file.write_bytes(file.read_bytes()[:60])  # with a whole header
    with pytest.raises(UserError, match=r"0001\.png: not a readable image"):
        ImageSource(str(folder)).read("0001")


def test_a_file_deleted_since_it_was_listed_is_named(folder):
    source = ImageSource(str(folder))
    (folder / "0001.png").unlink()
    with pytest.raises(UserError, match=r"0001\.png: cannot be read \(No such file or directory\)"):
        source.read("0001")


def test_a_file_whose_size_changed_since_it_was_listed_is_named(folder):
    source = ImageSource(str(folder))
    Image.fromarray(np.zeros((6, 8, 3), np.uint8)).save(folder / "0001.png")
    with pytest.raises(UserError, match=r"0001\.png: is 8x6, but was listed as 9x6"):
        source.read("0001")


def test_an_error_in_a_worker_names_the_image(folder):
    source = ImageSource(str(folder))
    (folder / "0001.png").unlink()
    try:
        source.read("0001")
    except UserError:  # what a loader's worker sends; a loader that has failed takes 5 s to go away
        sent = pickle.dumps(ExceptionWrapper(where="in a worker"))
    with pytest.raises(UserError, match=r"0001\.png: cannot be read"):
        pickle.loads(sent).reraise()


def test_a_folder_with_a_grey_image_trains_unless_strict(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    images = write_images(tmp_path / "hr", 2, (40, 44))
    Image.open(images / "0001.png").convert("L").save(images / "0001.png")
    file = write_yaml(tmp_path / "s.yml", stage_options(images, 1, name="s", total_iter=1))
    assert train("-opt", file, "--set", "datasets.train.strict=true") == 2
    assert "0001.png: expected an 8-bit RGB image, got L" in capsys.readouterr().err
    assert train("-opt", file) == 0
