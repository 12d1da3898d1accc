"""Option files that are wrong: one line, status 2, nothing written and nothing executed."""

import os
from pathlib import Path

from spoiled import TRAIN, UPSCALE, nothing, of, refusal, write, yml

BOMB = "a0: &a0 x\n" + "".join(f"a{i + 1}: &a{i + 1} [{', '.join([f'*a{i}'] * 10)}]\n" for i in range(9))
LONG = "x" * 300


YAML = {
    "no file": (nothing, "train -opt none.yml", "none.yml: no such option file"),
    "a folder": (lambda: Path("x.yml").mkdir(), "train -opt x.yml", "x.yml: no such option file"),
    "a pipe": (lambda: os.mkfifo("x.yml"), "train -opt x.yml", "x.yml: no such option file"),
    "a name of 300 characters": (nothing, f"train -opt {LONG}.yml", "ile name too long"),
    "another suffix": (nothing, "train -opt clit.pth", "option files end in .yml"),
    "bytes": (write("own.yml", b"\xff\xfe\x00a"), TRAIN, "own.yml: not plain YAML"),
    "empty": (yml("", base=""), TRAIN, "expected a mapping of options by their names"),
    "a list": (yml("- a\n", base=""), TRAIN, "expected a mapping"),
    "a bracket too few": (yml("a: [1\n"), TRAIN, "not plain YAML"),
    "a tab": (yml("a:\n\tb: 1\n"), TRAIN, "not plain YAML"),
    "a key twice": (yml("name: a\nname: b\n"), TRAIN, "key 'name' is given twice"),
    "code": (yml("name: !!python/object/apply:os.system ['touch PAYLOAD']\n"), TRAIN, "not plain YAML"),
    "an alias bomb": (yml(BOMB), TRAIN, "more than 20000 values, with aliases expanded"),
    "an alias of itself": (yml("name: &a [*a]\n"), TRAIN, "an alias inside its own anchor"),
    "deep": (yml(f"name: {'[' * 5000}\n"), TRAIN, "nested more than 50 levels deep"),
    "deep on the command line": (nothing, f"{TRAIN} --set name={'{a:' * 5000}", "nested more than 50 levels deep"),
    "NUL": (yml('path: {pretrain_network_g: "a\\0b"}\n'), TRAIN, "NUL in a string"),
    "half of a pair": (yml('name: "\\ud800"\n'), TRAIN, "half of a surrogate pair"),
    "no such day": (yml("name: 2001-02-31\n"), TRAIN, "a value that cannot be read"),
    "5000 digits": (yml(f"manual_seed: {'9' * 5000}\n"), TRAIN, "a value that cannot be read"),
    "no such base": (yml("", base="none.yml"), TRAIN, "none.yml: no such option file (inherited by own.yml)"),
    "its own base": (yml("", base="own.yml"), TRAIN, "inherits from itself"),
    "no such module": (
        yml("custom_imports: {imports: [no_such_module]}\n"),
        TRAIN,
        "no_such_module cannot be imported",
    ),
    "--set without a value": (nothing, f"{TRAIN} --set name", "--set name: expected KEY=VALUE"),
    "--set below a number": (nothing, f"{TRAIN} --set num_gpu.x=1", "cannot be merged with --set"),
}

VALUES = {
    "an unknown key": (yml("train: {total_iters: 5}\n"), TRAIN, "train.total_iters: unknown key"),
    "a section of text": (yml("train: hello\n"), TRAIN, "train: expected a mapping"),
    "no steps": (yml("train: {total_iter: 0}\n"), TRAIN, "train.total_iter: expected at least 1, got 0"),
    "a rate of text": (yml("train: {optim_g: {lr: fast}}\n"), TRAIN, "train.optim_g.lr: expected a number"),
    "a rate of nan": (yml("train: {optim_g: {lr: .nan}}\n"), TRAIN, "train.optim_g.lr: expected"),
    "a negative rate": (yml("train: {optim_g: {lr: -1}}\n"), TRAIN, "train.optim_g"),
    "an infinite scale": (yml("datasets: {val: {scale: .inf}}\n"), TRAIN, "datasets.val.scale: expected a number"),
    "a vast scale": (yml("datasets: {val: {scale: 1.0e+300}}\n"), TRAIN, "is smaller than"),
    "a range upside down": (yml("datasets: {train: {scale_ranges: [[[4, 1]]]}}\n"), TRAIN, "scale_ranges: expected"),
    "a range of nan": (yml("datasets: {train: {scale_ranges: [[[1, .nan]]]}}\n"), TRAIN, "scale_ranges: expected"),
    "a range of texts": (yml("datasets: {train: {scale_ranges: [[[a, b]]]}}\n"), TRAIN, "scale_ranges: expected"),
    "an unknown network": (yml("network_g: {type: NoNet}\n"), TRAIN, "network_g.type: expected one of"),
    "heads that do not divide": (yml("network_g: {num_heads: 3}\n"), TRAIN, "network_g"),
    "a negative width": (yml("network_g: {dim: -8}\n"), TRAIN, "network_g.dim"),
    "an unknown loss": (yml("train: {pixel_opt: {type: NoLoss}}\n"), TRAIN, "train.pixel_opt.type: expected one of"),
    "an unknown metric": (yml("val: {metrics: {m: {type: no_metric}}}\n"), TRAIN, "val.metrics.m.type: expected"),
    "two things": (yml("num_gpu: 99\nmanual_seed: 0\nval: {val_freq: 1}\n"), TRAIN, "num_gpu: expected 0 to"),
    "LR made and read": (
        yml("datasets: {val: {dataroot_lq: hr, degradation: pil}}\n"),
        TRAIN,
        "LR is read from",
    ),
    "weights that are not there": (yml("path: {pretrain_network_g: no.pth}\n"), TRAIN, "no.pth: no such weights file"),
    "a state that is none": (yml("path: {resume_state: clit.pth}\n"), TRAIN, "clit.pth: not a training state"),
}

NAMES = {
    "the run's, upwards": (yml("name: ../../x\n"), TRAIN, "name: expected the name of a folder"),
    "the run's, of two parts": (yml("name: x/y\n"), TRAIN, "does not lead to another folder"),
    "the run's, too long": (yml(f"name: {LONG}\n"), TRAIN, "at most 180 bytes"),
    "the run's, with an escape": (yml('name: "a\\e[31m"\n'), TRAIN, "printable characters"),
    "the set's": (yml("datasets: {val: {name: ../../x}}\n"), TRAIN, "datasets.val.name: expected the name of a folder"),
    "the training set's": (yml("datasets: {train: {name: /x}}\n"), TRAIN, "datasets.train.name: expected"),
    "the ending": (yml("val: {suffix: ../x}\n"), TRAIN, "val.suffix: expected an ending"),
    "the LR files'": (
        yml("datasets: {val: {filename_tmpl: '../{}'}}\n"),
        TRAIN,
        "datasets.val.filename_tmpl: expected",
    ),
    "a field in the LR files'": (
        yml("datasets: {val: {filename_tmpl: '{}{0.__class__}', dataroot_lq: hr, degradation: null}}\n"),
        TRAIN,
        "no LR image named 0001{0.__class__}",
    ),
    "of weights": (nothing, "test --weights ../x=clit.pth --folder a=hr --scales 2", "expected FILE or NAME=FILE"),
    "of weights, too long": (nothing, f"test --weights {LONG}=clit.pth --folder a=hr --scales 2", "ile name too long"),
    "of a folder": (nothing, "test --weights clit.pth --folder ../x=hr --scales 2", "--folder: expected NAME=FOLDER"),
    "of a folder, too long": (nothing, f"test --weights clit.pth --folder {LONG}=hr --scales 2", "at most 180 bytes"),
    "of an output": (nothing, f"{UPSCALE} clit.pth -o {LONG}.png", "ile name too long"),
    "of an image": (nothing, f"upscale {LONG}.png -o out.png --scale 2 --weights clit.pth", "ile name too long"),
}


OPTIONS = {
    f"{kind}: {name}": row
    for kind, table in {"YAML": YAML, "value": VALUES, "name": NAMES}.items()
    for name, row in table.items()
}


@of(OPTIONS)
def test_bad_options_are_refused_in_one_line(place, capsys, change, command, message):
    change()
    assert message in refusal(capsys, command)
    assert not Path("PAYLOAD").exists()
