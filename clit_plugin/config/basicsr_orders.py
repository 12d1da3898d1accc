"""Option files that BasicSR's own entry is given: those for this package are read and checked as ``clit`` does it."""

import sys
from collections.abc import Sequence
from pathlib import Path

import yaml

from clit_plugin.basicsr_bridge.entry import Order, this_command
from clit_plugin.basicsr_bridge.pipeline import settle_device
from clit_plugin.config.basicsr_options import is_for_this_package
from clit_plugin.config.input_checks import check_files
from clit_plugin.config.option_checks import load_run
from clit_plugin.config.shipped_options import PREFIX
from clit_plugin.evaluation.provenance import describe_evaluation
from clit_plugin.evaluation.result_files import settings_to_json
from clit_plugin.utils.console import say
from clit_plugin.utils.errors import UserError


def is_ours(path: str | None) -> bool:
    """Whether an option file is for this package; one that cannot be read is left to BasicSR's own errors."""
    if path is None or path.startswith(PREFIX):
        return path is not None
    try:
        return is_for_this_package(yaml.safe_load(Path(path).read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return False


def read_order(path: str, changes: Sequence[str], is_train: bool) -> Order:
    """Read, check and complete an option file; end the process as argparse does, with status 2, if it is wrong.

    Args:
        path: The file.
        changes: BasicSR's ``--force_yml train:total_iter=1000 ...``.
        is_train: Whether it is for training.
    """

    parts = [change.partition("=") for change in changes]
    overrides = [f"{key.replace(':', '.')}{equals}{value}" for key, equals, value in parts]
    try:
        run = load_run(path, is_train=is_train, overrides=overrides)
        for note in [*run.notes, *settle_device(run.options, path)]:
            say(note)
        check_files(run.options)
        if not is_train:
            described = describe_evaluation(run.options)
            run.options["evaluation"] = {name: settings_to_json(one) for name, one in described.items()}
    except UserError as error:
        for problem in error.problems:
            sys.stderr.write(f"{Path(sys.argv[0]).name}: error: {problem}\n")
        raise SystemExit(2) from error
    return Order(path=path, asked=run.asked, options=run.options, command=this_command())
