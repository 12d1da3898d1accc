"""BasicSR's own entry: ``train_pipeline`` and ``test_pipeline`` read option files as ``clit`` does.

The pipelines read an option file and the command line by ``parse_options``, and copy the file into the run's folder by
``copy_opt_file``. Both are replaced here: a file for this package is read with what it inherits, checked and completed,
whoever calls the pipeline. Training is also locked, interruptible and ended together with the other ranks, as by
``clit train``. Files for BasicSR's own models are left to BasicSR.
"""

import os
import shlex
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from clit_plugin.basicsr_bridge import CHECKPOINTS_KEPT
from clit_plugin.basicsr_bridge.training import exclusive_training, interruptible_stage
from clit_plugin.evaluation.provenance import versions
from clit_plugin.utils.atomic_files import write_text
from clit_plugin.utils.exit_status import exit_status
from clit_plugin.utils.plain_yaml import write_yaml

Parse = Callable[..., tuple[dict[str, Any], Any]]  # BasicSR's ``parse_options``: options and arguments


@dataclass
class Order:
    """A run of a pipeline.

    Attributes:
        path: The option file, as the user gave it.
        requested: Its content with what it inherits and with overrides, to be written into the run's folder.
        options: Checked and complete options, as BasicSR reads them.
        command: The command line.
    """

    path: str
    requested: Mapping[str, Any]
    options: Mapping[str, Any]
    command: str


class CommandLine(NamedTuple):
    """The command line of BasicSR's own entry.

    opt: The option file.
    changes: BasicSR's ``--force_yml train:total_iter=1000 ...``.
    rest: Other arguments, which BasicSR parses.
    """

    opt: str | None
    changes: Sequence[str]
    rest: Sequence[str]


_handed: Order | None = None  # for the pipeline that is called next
_running: Order | None = None  # of the pipeline that is running, set when it parses the command line


def this_command() -> str:
    """The command line of this process."""
    return shlex.join([Path(sys.orig_argv[0]).name, *sys.orig_argv[1:]])


@contextmanager
def handing_over(order: Order) -> Iterator[None]:
    """Let the pipeline that the block calls run this order instead of reading a file."""
    global _handed
    _handed = order
    try:
        yield
    finally:
        _handed = None


ReadOrder = Callable[[str, Sequence[str], bool], Order]
OrderOf = Callable[[bool], Order | None]
SplitArguments = Callable[[Sequence[str]], CommandLine]


def install(is_ours: Callable[[str], bool], read_order: ReadOrder, split_arguments: SplitArguments) -> None:
    """Put this entry into BasicSR's two pipelines, once BasicSR is patched. Idempotent.

    Args:
        is_ours: Whether the option file of a path is for this package.
        read_order: Reads, checks and completes an option file: path, BasicSR's ``--force_yml`` changes, and whether it
            is for training. Raises UserError for bad options.
        split_arguments: Parses the arguments of the command line.
    """
    import basicsr.test
    import basicsr.train
    from basicsr.utils.dist_util import master_only

    basicsr_train: Any = basicsr.train
    basicsr_test: Any = basicsr.test
    if hasattr(basicsr_train, "clit_entry"):
        return
    basicsr_train.clit_entry = True
    copy_opt_file = basicsr_train.copy_opt_file

    def order_of(is_train: bool) -> Order | None:
        """The run that is handed over, or that of the command line; None for BasicSR's own models."""
        if _handed is not None:
            return _handed
        path, changes, _ = split_arguments(sys.argv[1:])
        if path is None or not is_ours(path):
            return None
        orders: list[Order] = []
        _end_unless_done(lambda: orders.append(read_order(path, changes, is_train)))
        return orders[0]

    for module in (basicsr_train, basicsr_test):
        module.parse_options = _parser(module.parse_options, order_of, split_arguments)
    basicsr_train.train_pipeline = _guarded(basicsr_train.train_pipeline, order_of)

    @master_only
    def save_requested_options(file: str, folder: str) -> None:
        if _running is None:
            copy_opt_file(file, folder)
        else:
            _write_requested(_running, Path(folder))

    basicsr_train.copy_opt_file = save_requested_options


def _guarded(train_pipeline: Callable[[str], None], order_of: OrderOf) -> Callable[[str], None]:
    """BasicSR's training, locked and interruptible as under ``clit train``."""

    def guarded_pipeline(root_path: str) -> None:
        order = order_of(True)
        if order is None or order is _handed:  # a caller that hands over an order guards it itself
            train_pipeline(root_path)
            return
        root, options = Path(root_path), order.options

        def work() -> None:
            with (
                exclusive_training(root, [options["name"]], timeout=options["train"]["timeout"]),
                interruptible_stage(root / "experiments" / options["name"]),
                handing_over(order),
            ):
                train_pipeline(root_path)

        _end_unless_done(work)

    guarded_pipeline.__name__ = "train_pipeline"
    return guarded_pipeline


def _end_unless_done(work: Callable[[], None]) -> None:
    status = exit_status(Path(sys.argv[0]).name, work, interrupted=CHECKPOINTS_KEPT)
    if status:
        raise SystemExit(status)


def _parser(original: Parse, order_of: OrderOf, split_arguments: SplitArguments) -> Parse:
    def parse_options(root_path: str, is_train: bool = True) -> tuple[dict[str, Any], Any]:
        global _running
        _running = order_of(is_train)
        if _running is None:
            return original(root_path, is_train)
        return _parse(original, _running, split_arguments(sys.argv[1:]).rest, root_path, is_train)

    return parse_options


def _parse(
    original: Parse, order: Order, rest: Sequence[str], root_path: str, is_train: bool
) -> tuple[dict[str, Any], Any]:
    """Let BasicSR's own parser read the completed options: it also sets up the process group and the folders."""
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


def _write_requested(order: Order, folder: Path) -> None:
    """Write the requested options as an option file that can be run again, with imports relative to it."""
    requested = dict(order.requested)
    if imports := requested.pop("custom_imports", None):
        folders = [os.path.relpath(place, folder) for place in imports["folders"]]
        requested = {"custom_imports": {**imports, "folders": folders}, **requested}
    file = folder / order.path.rpartition("/")[2]
    used = ", ".join(f"{name} {version}" for name, version in versions().items())
    lines = [
        f"The options as requested, {time.strftime('%Y-%m-%d %H:%M')}, by the command",
        f"  {order.command}",
        "To repeat it, from the same folder:",
        f"  clit train -opt {shlex.quote(os.path.relpath(file))}",
        f"With {used}",
    ]
    text = "".join(f"# {line}\n" for line in lines) + "\n" + write_yaml(requested)
    write_text(file, text)
