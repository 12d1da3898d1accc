"""BasicSR's own entry: ``train_pipeline`` and ``test_pipeline`` take option files as ``clit`` does.

They read an option file and the command line by ``parse_options`` and copy the file into the run's folder by
``copy_opt_file``. Both are replaced here: a file for this package is read with what it inherits, checked and completed,
whoever calls the pipeline; files for BasicSR's own models are left to BasicSR.
"""

import argparse
import os
import shlex
import sys
import tempfile
import time
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from clit_plugin.basicsr_options import is_for_this_package
from clit_plugin.console import say
from clit_plugin.errors import UserError
from clit_plugin.plain_yaml import write_yaml
from clit_plugin.shipped_options import PREFIX

Parse = Callable[..., tuple[dict[str, Any], argparse.Namespace]]


@dataclass
class Order:
    """What a pipeline is to run.

    Attributes:
        path: The option file, as it was named.
        asked: What it says with what it inherits and overrides, to be written into the run's folder.
        options: For BasicSR: checked and complete.
        command: The command line.
    """

    path: str
    asked: Mapping[str, Any]
    options: Mapping[str, Any]
    command: str


_handed: Order | None = None  # by clit
_running: Order | None = None  # since the command line was parsed


def this_command() -> str:
    """The command line of this process."""
    return shlex.join([Path(sys.orig_argv[0]).name, *sys.orig_argv[1:]])


@contextmanager
def handing_over(order: Order) -> Iterator[None]:
    """Let the pipeline that is called meanwhile run this, and read no file."""
    global _handed
    _handed = order
    try:
        yield
    finally:
        _handed = None


def install(basicsr_train: types.ModuleType, basicsr_test: types.ModuleType) -> None:
    """Put this entry into BasicSR's two pipelines."""
    from basicsr.utils.dist_util import master_only

    copy_opt_file = basicsr_train.copy_opt_file
    for module in (basicsr_train, basicsr_test):
        setattr(module, "parse_options", _parser(module.parse_options))  # noqa: B010

    @master_only
    def keep_what_was_asked(file: str, folder: str) -> None:
        if _running is None:
            copy_opt_file(file, folder)
        else:
            _write_asked(_running, Path(folder))

    setattr(basicsr_train, "copy_opt_file", keep_what_was_asked)  # noqa: B010


def _parser(original: Parse) -> Parse:
    def parse_options(root_path: str, is_train: bool = True) -> tuple[dict[str, Any], argparse.Namespace]:
        global _running
        parser = argparse.ArgumentParser(add_help=False)
        parser.add_argument("-opt")
        parser.add_argument("--force_yml", nargs="+", default=[])
        known, rest = parser.parse_known_args(sys.argv[1:])
        if _handed is not None:
            _running = _handed
        elif _is_ours(known.opt):
            _running = _read(known.opt, known.force_yml, is_train)
        else:
            _running = None
            return original(root_path, is_train)
        return _parse(original, _running, rest, root_path, is_train)

    return parse_options


def _is_ours(path: str | None) -> bool:
    """Whether an option file is for this package; one that cannot be read is left to BasicSR's own errors."""
    if path is None or path.startswith(PREFIX):
        return path is not None
    try:
        return is_for_this_package(yaml.safe_load(Path(path).read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return False


def _read(path: str, changes: Sequence[str], is_train: bool) -> Order:
    """Read, check and complete an option file; end the process as argparse does, with status 2, if it is wrong.

    Args:
        path: The file.
        changes: BasicSR's ``--force_yml train:total_iter=1000 ...``.
        is_train: Whether it is for training.
    """
    from clit_plugin.evaluation import describe_evaluation
    from clit_plugin.options import check_files, load_run
    from clit_plugin.pipeline import settle_device

    parts = [change.partition("=") for change in changes]
    overrides = [f"{key.replace(':', '.')}{equals}{value}" for key, equals, value in parts]
    try:
        run = load_run(path, is_train=is_train, overrides=overrides)
        for note in [*run.notes, *settle_device(run.options, path)]:
            say(note)
        check_files(run.options)
        if not is_train:
            run.options["evaluation"] = describe_evaluation(run.options)
    except UserError as error:
        for problem in error.problems:
            sys.stderr.write(f"{Path(sys.argv[0]).name}: error: {problem}\n")
        raise SystemExit(2) from error
    return Order(path=path, asked=run.asked, options=run.options, command=this_command())


def _parse(
    original: Parse, order: Order, rest: Sequence[str], root_path: str, is_train: bool
) -> tuple[dict[str, Any], argparse.Namespace]:
    """Let BasicSR's own parser read the completed options: it starts the processes and names the folders."""
    command = sys.argv
    with tempfile.TemporaryDirectory(prefix="clit_") as folder:
        file = Path(folder) / "options.yml"
        file.write_text(yaml.safe_dump(order.options, sort_keys=False, allow_unicode=True), encoding="utf-8")
        try:
            sys.argv = [command[0], "-opt", str(file), *rest]
            options, arguments = original(root_path, is_train)
        finally:
            sys.argv = command
    arguments.opt = order.path
    return options, arguments


def _write_asked(order: Order, folder: Path) -> None:
    """Write an option file that runs again: what was asked, with imports that are found from there."""
    from clit_plugin.evaluation import versions

    asked = dict(order.asked)
    if imports := asked.pop("custom_imports", None):
        folders = [os.path.relpath(place, folder) for place in imports["folders"]]
        asked = {"custom_imports": {**imports, "folders": folders}, **asked}
    file = folder / order.path.rpartition("/")[2]
    used = ", ".join(f"{name} {version}" for name, version in versions().items())
    lines = [
        f"What was asked for, {time.strftime('%Y-%m-%d %H:%M')}, by the command",
        f"  {order.command}",
        "To repeat it, from the same folder:",
        f"  clit train -opt {shlex.quote(os.path.relpath(file))}",
        f"With {used}",
    ]
    text = "".join(f"# {line}\n" for line in lines) + "\n" + write_yaml(asked)
    file.write_text(text, encoding="utf-8")
