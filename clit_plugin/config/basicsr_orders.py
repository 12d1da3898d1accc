"""Option files that BasicSR's own entry is given: those for this package are read and checked as by ``clit``."""

from collections.abc import Sequence
from pathlib import Path

import yaml

from clit_plugin.basicsr_bridge.entry import Order, this_command
from clit_plugin.config.basicsr_options import is_for_this_package
from clit_plugin.config.device import settle_device
from clit_plugin.config.input_checks import check_files
from clit_plugin.config.option_checks import load_option_file
from clit_plugin.config.shipped_options import PREFIX
from clit_plugin.evaluation.provenance import describe_evaluation
from clit_plugin.evaluation.result_files import settings_to_json
from clit_plugin.utils.console import say


def is_ours(path: str) -> bool:
    """Whether an option file is for this package; one that cannot be read is left to BasicSR's own errors."""
    if path.startswith(PREFIX):
        return True
    try:
        return is_for_this_package(yaml.safe_load(Path(path).read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return False


def read_order(path: str, changes: Sequence[str], is_train: bool) -> Order:
    """Read, check and complete an option file.

    Args:
        path: The file.
        changes: BasicSR's ``--force_yml train:total_iter=1000 ...``.
        is_train: Whether it is for training.

    Raises:
        UserError: Everything that is wrong.
    """
    parts = [change.partition("=") for change in changes]
    overrides = [f"{key.replace(':', '.')}{equals}{value}" for key, equals, value in parts]
    file = load_option_file(path, is_train=is_train, overrides=overrides)
    options, notes = settle_device(file.options, path)
    for note in [*file.notes, *notes]:
        say(note)
    given = check_files(options).for_basicsr()
    if not is_train:
        given["evaluation"] = {name: settings_to_json(one) for name, one in describe_evaluation(given).items()}
    return Order(path=path, requested=file.requested, options=given, command=this_command())
