"""Overrides of options from the command line."""

import pytest


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("train.lr=2", {"train": {"lr": 2, "m": [1, 2]}}),
        ("train.lr=0.5", {"train": {"lr": 0.5, "m": [1, 2]}}),
        ("train.lr=!!float 1e-4", {"train": {"lr": 1e-4, "m": [1, 2]}}),
        ("train.m=[3, [4, 5]]", {"train": {"lr": 1, "m": [3, [4, 5]]}}),
        ("train.lr=null", {"train": {"lr": None, "m": [1, 2]}}),
        ("train.lr=", {"train": {"lr": None, "m": [1, 2]}}),
        ("train.lr=true", {"train": {"lr": True, "m": [1, 2]}}),
        ("train.lr=a=b", {"train": {"lr": "a=b", "m": [1, 2]}}),
        ("train.new.key=3", {"train": {"lr": 1, "m": [1, 2], "new": {"key": 3}}}),
        ("name=/a b/c.png", {"train": {"lr": 1, "m": [1, 2]}, "name": "/a b/c.png"}),
        ("train={_delete_: true, x: 1}", {"train": {"x": 1}}),
    ],
)
def test_an_override_wins_over_the_file(read, override, expected):
    assert read("train: {lr: 1, m: [1, 2]}\n", override) == expected


def test_overrides_win_over_what_is_inherited(read, write_files):
    write_files(base_yml="train: {lr: 1, steps: 2}\n")
    assert read("_base_: base.yml\n", "train.lr=5", "train.steps=6") == {"train": {"lr": 5, "steps": 6}}


@pytest.mark.parametrize("override", ["train.lr", "=3", ""])
def test_an_override_without_key_or_value_is_refused_with_an_example(refused_file, override):
    assert refused_file("a: 1\n", override) == f"--set {override}: expected KEY=VALUE, as in train.total_iter=1000"


@pytest.mark.parametrize("override", ["a=[1", "a={b: c: d}"])
def test_an_override_with_broken_yaml_is_refused(refused_file, override):
    assert refused_file("a: 1\n", override).startswith(f"--set {override}: the value is not plain YAML")


@pytest.mark.parametrize("overrides", [["a.b=1"], ["m.0=5"], ["m.7=5"], ["m.x=5"], ["c=1", "c.d=2"]])
def test_an_override_below_a_value_is_refused(refused_file, overrides):
    assert "with --set" in refused_file("a: 1\nm: [1, 2]\n", *overrides)
