"""The checkpoints of a run: of every step kept, a state and the weights beside it.

A crash, a full disk or a careless copy can spoil either, and then the pair is of no use.
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
    """A training state, loaded without running code from it.

    Raises:
        UserError: Not there, damaged, or not a training state.
    """
    state = read_checkpoint(path)
    missing = [name for name, kind in _STATE.items() if not isinstance(state.get(name), kind)]
    if missing:
        raise UserError(f"{path}: not a training state; it lacks {', '.join(missing)}")
    return state


def newest_pair(states: Path, models: Path, *, tell: Callable[[str], None]) -> Path | None:
    """The newest state that a training can go on from; damaged ones are set aside on the way.

    A file that is no whole checkpoint gets ``.damaged`` behind its name, a state without weights ``.without_weights``;
    nothing is deleted. Files with names that no training gives are passed over.

    Args:
        states: Folder of ``STEP.state``.
        models: Folder of ``net_g_STEP.pth``.
        tell: Called with a line for every file that is set aside.

    Returns:
        The state's path, or None if there is none.
    """
    steps = sorted((int(path.stem) for path in states.glob("*.state") if _is_step(path.stem)), reverse=True)
    for step in steps:
        state, weights = states / f"{step}.state", weights_of(models, step)
        if not weights.is_file():
            set_aside(state, "without_weights", f"{weights.name} is not there", tell=tell)
            continue
        if damage := _damage(lambda: _check_weights(weights)):  # noqa: B023 (called at once)
            set_aside(weights, "damaged", damage, tell=tell)
            set_aside(state, "without_weights", f"{weights.name} is damaged", tell=tell)
            continue
        if damage := _damage(lambda: _check_state(state, step)):  # noqa: B023
            set_aside(state, "damaged", damage, tell=tell)
            continue
        return state
    return None


def weights_of(models: Path, step: int) -> Path:
    """Where the weights of a step are."""
    return models / f"net_g_{step}.pth"


def set_aside(path: Path, why: str, told: str, *, tell: Callable[[str], None]) -> None:
    """Rename a file, to ``NAME.why``, and tell of it."""
    aside = path.with_name(f"{path.name}.{why}")
    with suppress(FileNotFoundError):  # another process was first
        os.replace(path, aside)
        told = told.removeprefix(f"{path}: ")
        tell(f"{os.path.relpath(path)}: {told}; set aside as {aside.name}")


def drop_old(states: Path, models: Path, *, keep: int) -> None:
    """Delete all but the ``keep`` newest pairs; the latest, the best and what was set aside stay."""
    steps = sorted(int(path.stem) for path in states.glob("*.state") if _is_step(path.stem))
    for step in steps[:-keep]:
        (states / f"{step}.state").unlink(missing_ok=True)  # first, so that none is left without weights
        weights_of(models, step).unlink(missing_ok=True)


def _is_step(stem: str) -> bool:
    return stem.isdecimal() and stem == str(int(stem))


def _check_state(path: Path, step: int) -> None:
    state = read_state(path)
    if state["iter"] != step:
        raise UserError(f"{path}: is of step {state['iter']}")


def _check_weights(path: Path) -> None:
    content = read_checkpoint(path)
    for key in {"params", *({"params_ema"} & content.keys())}:
        read_weights(path, key)


def _damage(check: Callable[[], None]) -> str:
    """What is wrong, or nothing."""
    try:
        check()
    except UserError as error:
        return str(error)
    return ""
