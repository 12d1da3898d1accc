"""Options of a tiny run, and how a file that spoils them is refused."""

import copy
import textwrap
from pathlib import Path

import pytest
import yaml
from train_helpers import stage_options, write_images

from clit_plugin.config.option_checks import load_option_file
from clit_plugin.config.yaml_files import read_options
from clit_plugin.utils.errors import UserError


@pytest.fixture(scope="session")
def tiny_images(tmp_path_factory) -> Path:
    """Two images of 40 x 44."""
    return write_images(tmp_path_factory.mktemp("options") / "hr", 2, (40, 44))


@pytest.fixture
def good(tiny_images) -> dict:
    """Options of a tiny stage 1 that would train."""
    return copy.deepcopy(stage_options(tiny_images, 1, name="good"))


@pytest.fixture
def refused(tmp_path, good):
    """The lines with which a file is refused that inherits ``good`` and has this text as well."""
    (tmp_path / "good.yml").write_text(yaml.safe_dump(good))

    def message(text: str, *overrides: str, is_train: bool = True) -> str:
        (tmp_path / "bad.yml").write_text("_base_: good.yml\n" + textwrap.dedent(text))
        with pytest.raises(UserError) as caught:
            load_option_file(tmp_path / "bad.yml", is_train=is_train, overrides=overrides)
        lines = str(caught.value).split("\n")
        assert lines == caught.value.problems
        assert all(line.startswith(f"{tmp_path}/bad.yml: ") for line in lines)
        return "\n".join(line.removeprefix(f"{tmp_path}/bad.yml: ") for line in lines)

    return message


@pytest.fixture
def write_files(tmp_path):
    """Write files, ``name=text``, with dots in names as ``_``; the folder."""

    def files(**texts: str):
        for name, text in texts.items():
            stem, _, suffix = name.rpartition("_")
            (tmp_path / f"{stem}.{suffix}").write_text(textwrap.dedent(text))
        return tmp_path

    return files


@pytest.fixture
def read(write_files):
    """Options of a file with this text."""

    def options(text: str, *overrides: str):
        return read_options(write_files(run_yml=text) / "run.yml", overrides)

    return options


@pytest.fixture
def refused_file(read, tmp_path):
    """The one line with which a file is refused, without its folder."""

    def message(text: str, *overrides: str) -> str:
        with pytest.raises(UserError) as caught:
            read(text, *overrides)
        assert "\n" not in str(caught.value)
        return str(caught.value).replace(f"{tmp_path}/", "")

    return message
