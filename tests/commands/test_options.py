"""clit options: what it prints trains."""

import pytest
import torch
import yaml
from train_helpers import train, write_images

from clit_plugin.commands.cli import main
from clit_plugin.commands.options import new_options
from clit_plugin.config.option_checks import load_option_file
from clit_plugin.config.options import set_for_basicsr
from clit_plugin.config.shipped_options import FOLDER, shipped
from clit_plugin.data.arbitrary_scale_paired_dataset import ArbitraryScalePairedDataset
from clit_plugin.utils.errors import UserError


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """The working directory has a folder of 12 photographs of 150 x 140."""
    monkeypatch.chdir(tmp_path)
    return write_images(tmp_path / "my photos", 12, (150, 140))


def printed(capsys, *arguments: str) -> str:
    capsys.readouterr()
    assert main(["options", *arguments]) == 0
    output = capsys.readouterr()
    assert output.err == ""
    return output.out


def test_the_shipped_files_are_listed_with_their_first_line(capsys):
    lines = printed(capsys).splitlines()
    assert [line.split()[0] for line in lines] == [f"clit://{name}" for name in shipped()]
    assert "clit://train/edsr_stage1.yml  # EDSR-baseline-LIT, stage 1 of 3." in lines
    assert printed(capsys, "list").splitlines() == lines


@pytest.mark.parametrize("name", ["train/edsr_stage1.yml", "clit://train/edsr_stage1.yml"])
def test_a_shipped_file_is_printed(capsys, name):
    assert printed(capsys, "show", name) == (FOLDER / "train" / "edsr_stage1.yml").read_text()


def test_a_file_that_is_not_shipped_is_refused(capsys):
    assert main(["options", "show", "train/edsr.yml"]) == 2
    assert "clit://train/edsr.yml: no such option file in the package; 'clit options' lists" in capsys.readouterr().err


def test_new_options_for_a_folder_of_photographs_train(photos, tmp_path, capsys):
    (tmp_path / "my.yml").write_text(printed(capsys, "new", "--images", "my photos"))
    small = ["train.total_iter=2", "val.val_freq=2", "datasets.val.scale=3", "datasets.train.lq_size=8", "num_gpu=0"]
    assert train("-opt", "my.yml", "--set", *small, "logger.use_tb_logger=false") == 0
    assert torch.load("experiments/my_photos/models/net_g_latest.pth", weights_only=True)["iter"] == 2
    assert "Validation my_photos_x3" in next((tmp_path / "experiments/my_photos").glob("*.log")).read_text()


@pytest.mark.parametrize("size", ["small", "paper"])
def test_validation_photographs_are_not_trained_on(photos, tmp_path, size):
    (tmp_path / "my.yml").write_text(new_options("my photos", size=size))
    options = load_option_file("my.yml", is_train=True).options
    assert list(options.datasets.by_key) == ["train", "val"]
    names = {
        key: ArbitraryScalePairedDataset({**set_for_basicsr(dataset), "phase": key, "cache": False}).names
        for key, dataset in options.datasets.by_key.items()
    }
    assert names["val"] == ["0001"]
    assert names["train"] == [f"{i:04}" for i in range(2, 13)]


def test_the_size_argument_chooses_the_network(photos, tmp_path):
    networks = {}
    for size in ("small", "paper"):
        (tmp_path / f"{size}.yml").write_text(new_options("my photos", size=size))
        networks[size] = load_option_file(f"{size}.yml", is_train=True).options
    assert networks["small"].network_g["dim"] == 32
    assert networks["paper"].network_g["dim"] == 256
    assert networks["paper"].datasets.train.lq_size == 48
    assert networks["paper"].train.optim_g["lr"] == 1e-4


def test_separate_validation_photographs_leave_all_images_for_training(photos, tmp_path):
    write_images(tmp_path / "others", 3, (60, 60))
    options = yaml.safe_load(new_options("my photos", val_images="others"))
    assert "skip_images" not in options["datasets"]["train"]
    assert options["datasets"]["val"]["dataroot_gt"] == "others"
    assert "max_images" not in options["datasets"]["val"]


def test_a_single_photograph_is_trained_on_without_validation(tmp_path):
    folder = write_images(tmp_path / "one", 1, (150, 140))
    assert list(yaml.safe_load(new_options(str(folder)))["datasets"]) == ["train"]


def test_the_scales_that_small_photographs_allow_are_reported(tmp_path):
    folder = write_images(tmp_path / "small", 3, (80, 90))
    text = new_options(str(folder))
    assert "3 photographs, the smallest 90x80" in text
    assert "3 of the photographs are too small for x4;" in text
    assert "caps its batch at x2.5." in text


@pytest.mark.parametrize("name", ["it's: odd", "#1", "- a", "123", "1e4", "null", "a  b"])
def test_a_folder_name_with_special_characters_round_trips_through_the_yaml(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    write_images(tmp_path / name, 2, (150, 140))
    options = yaml.safe_load(new_options(name, name=name))
    assert options["datasets"]["train"]["dataroot_gt"] == name
    assert options["name"] == name


@pytest.mark.parametrize(
    ("size", "message"),
    [((20, 40), "2 of 2 images are too small for x1.2, which needs sides of 39 pixels with")],
)
def test_photographs_smaller_than_a_crop_are_refused(tmp_path, size, message):
    with pytest.raises(UserError, match=message):
        new_options(str(write_images(tmp_path / "tiny", 2, size)))


def test_a_missing_folder_is_one_line_and_status_2(tmp_path, capsys):
    assert main(["options", "new", "--images", str(tmp_path / "absent")]) == 2
    assert capsys.readouterr().err.startswith(f"clit options: error: {tmp_path}/absent: no such folder of images")


def test_skipping_all_images_is_refused(photos):
    options = {"name": "a", "dataroot_gt": str(photos), "degradation": "pil", "batch_size_per_gpu": 1, "phase": "train"}
    with pytest.raises(UserError, match="skip_images is 12, which leaves none of 12 images"):
        ArbitraryScalePairedDataset(options | {"skip_images": 12})
