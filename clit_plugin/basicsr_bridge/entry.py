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
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import yaml

from clit_plugin.evaluation.provenance import versions
from clit_plugin.utils.plain_yaml import write_yaml

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


class Reader(Protocol):
    """Who reads option files for the pipelines that ``clit`` does not call."""

    def is_ours(self, path: str | None) -> bool:
        """Whether an option file is for this package."""
        ...

    def read_order(self, path: str, changes: Sequence[str], is_train: bool) -> Order:
        """Read, check and complete an option file, or end the process with status 2."""
        ...


def install(reader: Reader) -> None:
    """Put this entry into BasicSR's two pipelines, once BasicSR is patched. Idempotent."""
    import basicsr.test as basicsr_test
    import basicsr.train as basicsr_train
    from basicsr.utils.dist_util import master_only

    if hasattr(basicsr_train.parse_options, "clit_plugin"):
        return
    copy_opt_file = basicsr_train.copy_opt_file
    for module in (basicsr_train, basicsr_test):
        setattr(module, "parse_options", _parser(module.parse_options, reader))  # noqa: B010

    @master_only
    def keep_what_was_asked(file: str, folder: str) -> None:
        if _running is None:
            copy_opt_file(file, folder)
        else:
            _write_asked(_running, Path(folder))

    setattr(basicsr_train, "copy_opt_file", keep_what_was_asked)  # noqa: B010


def _parser(original: Parse, reader: Reader) -> Parse:
    def parse_options(root_path: str, is_train: bool = True) -> tuple[dict[str, Any], argparse.Namespace]:
        global _running
        parser = argparse.ArgumentParser(add_help=False)
        parser.add_argument("-opt")
        parser.add_argument("--force_yml", nargs="+", default=[])
        known, rest = parser.parse_known_args(sys.argv[1:])
        if _handed is not None:
            _running = _handed
        elif reader.is_ours(known.opt):
            _running = reader.read_order(known.opt, known.force_yml, is_train)
        else:
            _running = None
            return original(root_path, is_train)
        return _parse(original, _running, rest, root_path, is_train)

    setattr(parse_options, "clit_plugin", True)  # noqa: B010
    return parse_options


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
