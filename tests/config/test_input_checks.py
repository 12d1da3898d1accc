"""Wrong options, data or weights are refused before anything is written."""

import copy
import os
from pathlib import Path

import pytest
import torch
import yaml
from PIL import Image
from tiny_networks import TINY_NETWORK
from train_helpers import stage_options, to_lmdb, write_images, write_lr

from clit_plugin.archs.build import build_network
from clit_plugin.commands.cli import main


@pytest.fixture
def run_in_empty_folder(tmp_path, good, monkeypatch, capsys):
    """Exit status and the one line on stderr of a command in an empty folder, which stays empty."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)

    def run(command: str = "train", *overrides: str, options: dict = good) -> str:
        (tmp_path / "run.yml").write_text(yaml.safe_dump(options))
        arguments = [command, "-opt", str(tmp_path / "run.yml")]
        capsys.readouterr()
        status = main([*arguments, *(["--set", *overrides] if overrides else [])])
        errors = capsys.readouterr().err
        assert all(line.startswith(f"clit {command}: error: ") for line in errors.splitlines())
        assert errors.endswith("\n")
        assert status == 2
        assert os.listdir(work) == []
        return errors

    return run


def save_weights(path: Path, change=lambda weights: weights, branches: int = 1) -> str:
    """A checkpoint of the tiny network."""
    weights = dict(build_network({**TINY_NETWORK, "num_branches": branches}).state_dict())
    torch.save({"params": change(weights)}, path)
    return str(path)


@pytest.mark.parametrize(
    "override",
    [
        "train.total_itr=5",
        "train.total_iter=0",
        "train.optim_g.lr=-1",
        "train.pixel_opt.reduction=maen",
        "network_g.local_grid=4",
        "manual_seed=-1",
        "path.strict_load_g=false",
        "num_gpu=99",
        "train.total_iter",
        "custom_imports=[no_such_module_anywhere]",
    ],
)
def test_a_wrong_option_writes_nothing(run_in_empty_folder, override):
    run_in_empty_folder("train", override)


def test_a_missing_option_file_writes_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["train", "-opt", "absent.yml"]) == 2
    assert capsys.readouterr().err == "clit train: error: absent.yml: no such option file\n"
    assert os.listdir(tmp_path) == []


def test_a_wrong_second_stage_writes_nothing_of_the_first(tmp_path, good, tiny_images, monkeypatch, capsys):
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    (tmp_path / "one.yml").write_text(yaml.safe_dump(good))
    second = stage_options(tiny_images, 2, name="second")
    (tmp_path / "two.yml").write_text(yaml.safe_dump(second | {"nmae": 1}))
    assert main(["train", "-opt", "../one.yml", "../two.yml"]) == 2
    assert capsys.readouterr().err == "clit train: error: ../two.yml: nmae: unknown key; did you mean name?\n"
    assert os.listdir() == []


def test_a_second_stage_with_a_missing_set_writes_nothing_of_the_first(tmp_path, good, monkeypatch, capsys):
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    (tmp_path / "one.yml").write_text(yaml.safe_dump(good))
    second = copy.deepcopy(good) | {"name": "second"}
    second["datasets"]["val"]["dataroot_gt"] = str(tmp_path / "absent")
    (tmp_path / "two.yml").write_text(yaml.safe_dump(second))
    assert main(["train", "-opt", "../one.yml", "../two.yml"]) == 2
    assert "datasets.val: " in capsys.readouterr().err
    assert os.listdir() == []


def test_missing_images_write_nothing(run_in_empty_folder, tmp_path):
    message = run_in_empty_folder("train", f"datasets.train.dataroot_gt={tmp_path}/absent")
    assert f"datasets.train: {tmp_path}/absent: no such folder of images" in message


def test_missing_images_of_a_validation_set_write_nothing(run_in_empty_folder, tmp_path):
    message = run_in_empty_folder("train", f"datasets.val.dataroot_gt={tmp_path}/absent")
    assert f"datasets.val: {tmp_path}/absent: no such folder of images" in message


def test_a_folder_without_images_writes_nothing(run_in_empty_folder, tmp_path):
    (tmp_path / "empty").mkdir()
    assert "no images in it or its subfolders" in run_in_empty_folder(
        "train", f"datasets.train.dataroot_gt={tmp_path}/empty"
    )


def test_a_missing_lmdb_writes_nothing(run_in_empty_folder, tmp_path):
    message = run_in_empty_folder("train", f"datasets.train.dataroot_gt={tmp_path}/absent.lmdb")
    assert "no such LMDB folder; make it with 'clit prepare" in message


def test_a_folder_that_is_not_an_lmdb_writes_nothing(run_in_empty_folder, tmp_path):
    (tmp_path / "wrong.lmdb").mkdir()
    message = run_in_empty_folder("train", f"datasets.train.dataroot_gt={tmp_path}/wrong.lmdb")
    assert "wrong.lmdb: not an LMDB of images, data.mdb is missing" in message


def test_an_image_smaller_than_the_crop_writes_nothing(run_in_empty_folder, tiny_images):
    message = run_in_empty_folder("train", "datasets.train.lq_size=41")
    assert f"{tiny_images}/0001.png: 44x40 is smaller than the crop of 41x41" in message


def test_an_image_smaller_than_the_scale_writes_nothing(run_in_empty_folder):
    message = run_in_empty_folder("train", "datasets.val.scale=41")
    assert "datasets.val: " in message
    assert "44x40 is smaller than" in message


def save_as(mode: str, suffix: str = "png"):
    """What saves an image in a mode of Pillow."""
    return lambda image, stem: image.convert(mode).save(f"{stem}.{suffix}")


def save_16_bits(image, stem) -> None:
    import cv2
    import numpy as np

    cv2.imwrite(f"{stem}.png", np.asarray(image).astype(np.uint16) * 257)


NOT_RGB = {
    "grey": (save_as("L"), "got L"),
    "grey jpeg": (save_as("L", "jpg"), "got L"),
    "grey and alpha": (save_as("LA"), "got LA"),
    "alpha": (save_as("RGBA"), "got RGBA"),
    "one bit": (save_as("1"), "got 1"),
    "16 bits of grey": (save_as("I;16"), "got I;16"),
    "16 bits": (save_16_bits, "of 16 bits"),
    "a transparent colour": (lambda image, stem: image.save(f"{stem}.png", transparency=(1, 2, 3)), "transparency"),
}


@pytest.mark.parametrize("kind", NOT_RGB)
def test_an_image_that_is_not_8_bit_rgb_writes_nothing(run_in_empty_folder, tmp_path, tiny_images, kind):
    save, expected = NOT_RGB[kind]
    (tmp_path / "mixed").mkdir()
    image = Image.open(tiny_images / "0001.png")
    image.save(tmp_path / "mixed" / "0001.png")
    save(image, tmp_path / "mixed" / "0002")
    strict = ["datasets.train.strict=true"] if expected in ("got L", "got 1") else []
    message = run_in_empty_folder("train", f"datasets.train.dataroot_gt={tmp_path}/mixed", *strict)
    assert "/mixed/0002" in message
    assert "expected an 8-bit RGB image, got" in message
    assert expected in message
    assert "clit prepare --convert" in message


def test_a_file_that_is_not_an_image_writes_nothing(run_in_empty_folder, tmp_path):
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "0001.png").write_text("text")
    message = run_in_empty_folder("train", f"datasets.train.dataroot_gt={tmp_path}/broken")
    assert "broken/0001.png: not a readable image" in message


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "webp", "jpg"])
def test_rgb_images_of_every_format_are_accepted(run_in_empty_folder, tmp_path, tiny_images, suffix):
    (tmp_path / "fine").mkdir()
    Image.open(tiny_images / "0001.png").save(tmp_path / "fine" / f"a.{suffix}")
    # The next problem is reported: the images have passed.
    message = run_in_empty_folder("train", f"datasets.train.dataroot_gt={tmp_path}/fine", "datasets.val.scale=41")
    assert "datasets.val: " in message


def test_an_image_with_a_colour_palette_is_accepted(run_in_empty_folder, tmp_path, tiny_images):
    (tmp_path / "fine").mkdir()
    Image.open(tiny_images / "0001.png").convert("P").save(tmp_path / "fine" / "a.png")
    message = run_in_empty_folder("train", f"datasets.train.dataroot_gt={tmp_path}/fine", "datasets.val.scale=41")
    assert "datasets.val: " in message


def test_images_that_do_not_pair_up_write_nothing(run_in_empty_folder, tmp_path, tiny_images):
    write_lr(tiny_images, tmp_path / "lr", 2)
    (tmp_path / "lr" / "0002x2.png").unlink()
    message = run_in_empty_folder(
        "train",
        f"datasets.train.dataroot_lq={tmp_path}/lr",
        "datasets.train.degradation=null",
        "datasets.train.filename_tmpl='{}x2'",
    )
    assert "0002.png: no LR image named 0002x2" in message


def test_an_lmdb_with_io_backend_disk_writes_nothing(run_in_empty_folder, tmp_path):
    lmdb = to_lmdb(write_images(tmp_path / "few", 1, (40, 44)))
    message = run_in_empty_folder("train", f"datasets.train.dataroot_gt={lmdb}", "datasets.train.io_backend.type=disk")
    assert "io_backend is disk" in message


def test_missing_weights_write_nothing(run_in_empty_folder, tmp_path):
    message = run_in_empty_folder("train", f"path.pretrain_network_g={tmp_path}/absent.pth")
    assert f"{tmp_path}/absent.pth: no such weights file" in message


@pytest.mark.parametrize("content", [b"", b"these are no weights\n", b"PK\x03\x04 no zip"])
def test_a_file_that_is_not_a_checkpoint_writes_nothing(run_in_empty_folder, tmp_path, content):
    (tmp_path / "text.pth").write_bytes(content)
    message = run_in_empty_folder("train", f"path.pretrain_network_g={tmp_path}/text.pth")
    assert "text.pth: not a checkpoint that can be read safely" in message


def test_a_checkpoint_with_missing_keys_writes_nothing(run_in_empty_folder, tmp_path):
    def without_one(weights):
        del weights["branches.0.to_q.weight"]
        return weights

    path = save_weights(tmp_path / "w.pth", without_one)
    message = run_in_empty_folder("train", f"path.pretrain_network_g={path}")
    assert "does not fit network_g: 1 missing (branches.0.to_q.weight)" in message


def test_a_checkpoint_of_another_network_writes_nothing(run_in_empty_folder, tmp_path):
    path = save_weights(tmp_path / "w.pth")
    message = run_in_empty_folder("train", f"path.pretrain_network_g={path}", "network_g.encoder.num_feat=9")
    assert "of another shape (encoder.conv_first.weight (8, 3, 3, 3) for (9, 3, 3, 3)" in message


def test_a_checkpoint_of_more_branches_writes_nothing(run_in_empty_folder, tmp_path):
    path = save_weights(tmp_path / "w.pth", branches=2)
    message = run_in_empty_folder("train", f"path.pretrain_network_g={path}")
    assert "not in the network (branches.1." in message


def test_a_checkpoint_without_weights_writes_nothing(run_in_empty_folder, tmp_path):
    torch.save({"model": {}}, tmp_path / "w.pth")
    message = run_in_empty_folder("train", f"path.pretrain_network_g={tmp_path}/w.pth")
    assert "w.pth: holds no 'params', only model" in message


def test_a_missing_training_state_writes_nothing(run_in_empty_folder, tmp_path):
    message = run_in_empty_folder("train", f"path.resume_state={tmp_path}/absent.state")
    assert "absent.state: no such" in message


def test_weights_in_the_place_of_a_training_state_write_nothing(run_in_empty_folder, tmp_path):
    path = save_weights(tmp_path / "w.pth")
    message = run_in_empty_folder("train", f"path.resume_state={path}")
    assert "path.resume_state: " in message
    assert "not a training state" in message


@pytest.fixture
def run_of_a_test(good) -> dict:
    """Options of a test on the tiny images, without weights."""
    good["datasets"] = {"test": good["datasets"]["val"]}
    del good["train"]
    return good


def test_a_wrong_option_of_a_test_writes_nothing(run_in_empty_folder, run_of_a_test):
    assert "val.save_image: unknown key" in run_in_empty_folder("test", "val.save_image=true", options=run_of_a_test)


def test_a_test_with_missing_images_writes_nothing(run_in_empty_folder, run_of_a_test, tmp_path):
    path = save_weights(tmp_path / "w.pth")
    overrides = [f"path.pretrain_network_g={path}", f"datasets.test.dataroot_gt={tmp_path}/absent"]
    message = run_in_empty_folder("test", *overrides, options=run_of_a_test)
    assert f"looked for {tmp_path}/absent" in message


def test_a_test_refuses_weights_that_lack_a_branch(run_in_empty_folder, run_of_a_test, tmp_path):
    path = save_weights(tmp_path / "w.pth")
    overrides = [f"path.pretrain_network_g={path}", "network_g.num_branches=2"]
    message = run_in_empty_folder("test", *overrides, options=run_of_a_test)
    assert "missing (branches.1." in message


def test_a_test_refuses_missing_weights(run_in_empty_folder, run_of_a_test, tmp_path):
    message = run_in_empty_folder("test", f"path.pretrain_network_g={tmp_path}/absent.pth", options=run_of_a_test)
    assert "absent.pth: no such weights file" in message
