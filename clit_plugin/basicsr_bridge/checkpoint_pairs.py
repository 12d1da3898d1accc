"""The checkpoints of a run: pairs of a training state and the weights of the same step.

A crash, a full disk or an incomplete copy can damage either file, which makes the pair useless.
"""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from clit_plugin.archs.weights import read_checkpoint, read_weights
from clit_plugin.utils.errors import UserError

_STATE = {"epoch": int, "iter": int, "optimizers": list, "schedulers": list}


def read_state(path: str | Path) -> dict[str, Any]:
    """A training state, loaded without executing code in it.

    Raises:
        UserError: Missing, damaged, or not a training state.
    """
    state = read_checkpoint(path)
    missing = [name for name, kind in _STATE.items() if not isinstance(state.get(name), kind)]
    if missing:
        raise UserError(f"{path}: not a training state (training_states/*.state); it lacks {', '.join(missing)}")
    return state


def newest_pair(states: Path, models: Path, *, report: Callable[[str], None]) -> Path | None:
    """The newest state that a training can resume from; newer damaged ones are set aside.

    A damaged checkpoint is renamed to ``NAME.damaged``, a state without weights to ``NAME.without_weights``; nothing is
    deleted. Files with names that no training gives are ignored.

    Args:
        states: Folder of ``STEP.state``.
        models: Folder of ``net_g_STEP.pth``.
        report: Called with one line for every file that is set aside.

    Returns:
        The state's path, or None if there is none.
    """
    steps = sorted((int(path.stem) for path in states.glob("*.state") if _is_step(path.stem)), reverse=True)
    for step in steps:
        state, weights = states / f"{step}.state", weights_of(models, step)
        if not weights.is_file():
            set_aside(state, "without_weights", UserError(f"{weights.name} is missing"), report=report)
        elif damage := _damage(_check_weights, weights):
            set_aside(weights, "damaged", damage, report=report)
            set_aside(state, "without_weights", UserError(f"{weights.name} is damaged"), report=report)
        elif damage := _damage(_check_state, state):
            set_aside(state, "damaged", damage, report=report)
        else:
            return state
    return None


def weights_of(models: Path, step: int) -> Path:
    """The weights file of a step."""
    return models / f"net_g_{step}.pth"


def set_aside(path: Path, ending: str, why: UserError, *, report: Callable[[str], None]) -> None:
    """Rename a file to ``NAME.ending``, and report the reason."""
    aside = path.with_name(f"{path.name}.{ending}")
    with suppress(FileNotFoundError):  # another process was first
        os.replace(path, aside)
        report(f"{why.at(os.path.relpath(path))}; set aside as {aside.name}")


def drop_old(states: Path, models: Path, *, keep: int) -> None:
    """Delete all but the ``keep`` newest pairs; ``latest``, ``best`` and what was set aside stay."""
    steps = sorted(int(path.stem) for path in states.glob("*.state") if _is_step(path.stem))
    for step in steps[:-keep]:
        (states / f"{step}.state").unlink(missing_ok=True)  # first, so that no state is left without weights
        weights_of(models, step).unlink(missing_ok=True)


def _is_step(stem: str) -> bool:
    return stem.isdecimal() and stem == str(int(stem))


def _check_state(path: Path) -> None:
    state = read_state(path)
    if str(state["iter"]) != path.stem:
        raise UserError(f"{path}: is of step {state['iter']}")


def _check_weights(path: Path) -> None:
    content = read_checkpoint(path)
    for key in {"params", *({"params_ema"} & content.keys())}:
        read_weights(path, key)


def _damage(check: Callable[[Path], None], file: Path) -> UserError | None:
    """What is wrong with a file, named by its path from the working directory; None if it is intact."""
    try:
        check(Path(os.path.relpath(file)))
    except UserError as error:
        return error
    return None
