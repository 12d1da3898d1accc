"""Lines and bars: a bar on a terminal, one line per minute in a file, nothing under --quiet; errors always."""

import logging
import re
from importlib import metadata

import pytest
from train_helpers import log_of, stage_options, train, write_images, write_yaml

from clit_plugin.commands.cli import main
from clit_plugin.utils import console


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test sets."""
    now = [0.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def quiet():
    console.set_quiet(True)
    yield
    console.set_quiet(False)


def work(clock, seconds, count=100):
    """A bar over ``count`` items of so many seconds."""
    for _ in console.bar(range(count), desc="Hashing", unit="image"):
        clock[0] += seconds


def test_a_progress_bar_of_less_than_a_minute_writes_nothing_to_a_file(clock, capsys):
    work(clock, 0.5)
    assert capsys.readouterr() == ("", "")


def test_a_progress_bar_in_a_file_is_one_line_per_minute(clock, capsys):
    work(clock, 2)  # 200 s
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        f"Hashing: {n}%, {n} of 100 image [0{n // 30}:00<0{left}]"
        for n, left in ((30, "2:20"), (60, "1:20"), (90, "0:20"))
    ]


def test_a_progress_bar_in_a_file_abbreviates_large_numbers(clock, capsys):
    with console.bar(total=4e6, unit="pixel", unit_scale=True) as bar:
        clock[0] = 60
        bar.set_description("photo.jpg")
        bar.update(1e6)
    assert capsys.readouterr().err == "photo.jpg: 25%, 1.00M of 4.00M pixel [01:00<03:00]\n"


def test_a_progress_bar_without_a_total_reports_what_is_done(clock, capsys):
    bar = console.bar(iter(range(3)), desc="Reading", unit="image")
    for _ in bar:
        clock[0] += 61
    assert capsys.readouterr().err.startswith("Reading: 1 image [01:01, ")


def test_a_progress_bar_on_a_terminal_is_tqdms(monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    assert list(console.bar(range(3), desc="Hashing")) == [0, 1, 2]
    assert "\rHashing: 100%" in capsys.readouterr().err


@pytest.mark.usefixtures("quiet")
def test_quiet_suppresses_lines_and_bars_but_not_warnings(clock, capsys):
    console.say("done")
    work(clock, 2)
    assert capsys.readouterr().err == ""
    console.warn("skipped: a.png")
    assert capsys.readouterr().err == "skipped: a.png\n"


def test_only_rank_0_prints(monkeypatch, clock, capsys):
    monkeypatch.setenv("RANK", "1")
    console.say("done")
    work(clock, 2)
    assert capsys.readouterr().err == ""


def test_written_files_are_reported_with_size_and_seconds(tmp_path):
    (tmp_path / "a.bin").write_bytes(bytes(1500))
    (tmp_path / "b.bin").write_bytes(bytes(2_500_000))
    assert console.written(tmp_path / "a.bin", 0.25, "8x9") == f"{tmp_path}/a.bin: 8x9, 1.5 kB, 0.2 s"
    assert console.written(tmp_path, 61) == f"{tmp_path}: 2.5 MB, 61.0 s"


@pytest.fixture
def one_stage(tmp_path, monkeypatch):
    """An option file of a tiny training in the working directory, with BasicSR's bar."""
    monkeypatch.chdir(tmp_path)
    options = stage_options(write_images(tmp_path / "hr", 2, (40, 44)), 1, name="s1", total_iter=2)
    options["val"]["pbar"] = True
    return write_yaml(tmp_path / "s1.yml", options)


def test_a_training_ends_with_its_weights_their_size_and_the_seconds(one_stage, capfd):
    assert train("-opt", one_stage) == 0
    last = capfd.readouterr().err.splitlines()[-1]
    assert re.fullmatch(r"experiments/s1/models/net_g_latest.pth: 2 steps, [\d.]+ kB, [\d.]+ s", last)


def test_a_training_writes_no_progress_bar_to_a_file(one_stage, capfd):
    assert train("-opt", one_stage) == 0
    assert "\r" not in capfd.readouterr().err


def test_a_quiet_training_writes_only_to_its_log_file(one_stage, tmp_path, capfd):
    assert train("-opt", one_stage, "--quiet") == 0
    assert capfd.readouterr() == ("", "")
    assert "End of training" in log_of(tmp_path, "s1")


def test_a_training_after_a_quiet_one_is_not_quiet(one_stage, capfd):
    train("-opt", one_stage, "--quiet")
    train("-opt", one_stage)
    assert "End of training" in capfd.readouterr().err
    assert logging.getLogger("basicsr").handlers[0].level == logging.NOTSET


def test_quiet_does_not_suppress_errors(capsys):
    assert main(["train", "-q", "-opt", "absent.yml"]) == 2
    assert capsys.readouterr().err == "clit train: error: absent.yml: no such option file\n"


def test_the_version_names_what_the_numbers_depend_on(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    output = capsys.readouterr().out
    assert output.startswith(
        f"clit {metadata.version('clit_plugin')} (basicsr 1.4.2, torch {metadata.version('torch')}"
    )


def test_quiet_is_accepted_before_and_after_the_kind_of_figure(capsys):
    for arguments in (["-q", "crops"], ["crops", "-q"]):
        assert main(["figure", *arguments, "absent.png", "-o", "out.png", "--scale", "2", "--crop", "0,0,8x8"]) == 2
        assert console.is_quiet()
    assert main(["figure", "crops", "absent.png", "-o", "out.png", "--scale", "2"]) == 2
    assert not console.is_quiet()
