"""What a resume takes from the state, and what from options that have changed since it was written."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch.optim.lr_scheduler import LRScheduler

from clit_plugin.utils.errors import UserError

_SETTINGS = ("milestones", "gamma", "restarts", "restart_weights", "periods", "eta_min", "base_lrs")
_NONE = object()


def resume_optimizer(optimizer: torch.optim.Optimizer, saved: Mapping[str, Any]) -> Iterator[str]:
    """Load an optimiser's state; its settings are those of the options, but for the rate, which has a schedule.

    Args:
        optimizer: As the options have built it.
        saved: Its ``state_dict``.

    Yields:
        Settings that were others, as ``train.optim_g.eps 1e-08 -> 1e-06``.

    Raises:
        UserError: A setting has changed for which the state lacks what the optimiser needs.
    """
    groups = []
    for old, new in zip(saved["param_groups"], optimizer.param_groups, strict=True):
        if len(old["params"]) != len(new["params"]):
            raise UserError("network_g: has not the trainable weights that the state was written for")
        if new.get("amsgrad") and not old.get("amsgrad"):
            raise UserError("train.optim_g.amsgrad: false in the state, and cannot become true on a resume")
        settings = {name: value for name, value in new.items() if name not in ("params", "lr")}
        for name in sorted(settings.keys() & old.keys() - {"initial_lr", "fused", "foreach", "capturable"}):
            if plain(old[name]) != plain(settings[name]):
                yield f"train.optim_g.{name} {plain(old[name])} -> {plain(settings[name])}"
        groups.append({**old, **settings})
    optimizer.load_state_dict({"state": saved["state"], "param_groups": groups})


def resume_scheduler(scheduler: LRScheduler, saved: Mapping[str, Any], *, anew: bool = False) -> Iterator[str]:
    """Load a schedule's state if it is of this schedule; otherwise place this one where the old one stood.

    Args:
        scheduler: As the options have built it, of an optimiser whose state is loaded.
        saved: The old one's ``state_dict``.
        anew: Place it in any case.

    Yields:
        What has changed, as ``train.scheduler.milestones [3] -> [4]``.
    """
    changed = []
    for name in _SETTINGS:
        old, new = saved.get(name, _NONE), getattr(scheduler, name, _NONE)
        if _listed(old) != _listed(new):
            changed.append(name)
            key = "train.optim_g.lr" if name == "base_lrs" else f"train.scheduler.{name}"
            yield f"{key} {_told(old)} -> {_told(new)}"
    if not changed and not anew:
        scheduler.load_state_dict(dict(saved))
        return
    done = saved["last_epoch"]
    turns = {step for name in ("milestones", "restarts") for step in getattr(scheduler, name, ()) if 0 < step < done}
    groups = scheduler.optimizer.param_groups
    for group in groups:
        group["lr"] = group["initial_lr"]
    for step in sorted(turns | {done}):  # between these a rate that depends on the one before stays as it is
        scheduler.last_epoch = step
        for group, rate in zip(groups, scheduler.get_lr(), strict=True):
            group["lr"] = rate
    scheduler._step_count = done + 1
    scheduler._last_lr = [group["lr"] for group in groups]


def differences(old: Any, new: Any, where: str = "") -> Iterator[str]:
    """What is otherwise in new options than in old ones, as ``train.total_iter 5 -> 7``."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for name in [*old, *(name for name in new if name not in old)]:
            yield from differences(old.get(name, _NONE), new.get(name, _NONE), f"{where}.{name}" if where else name)
    elif old is not new and old != new:
        yield f"{where} {_told(old)} -> {_told(new)}"


def plain(options: Any) -> Any:
    """Options as plain dicts and lists, which a checkpoint may hold."""
    if isinstance(options, Mapping):
        return {key: plain(value) for key, value in options.items()}
    return [plain(value) for value in options] if isinstance(options, (list, tuple)) else options


def _listed(value: Any) -> Any:
    return sorted(value.elements()) if isinstance(value, Counter) else plain(value)


def _told(value: Any) -> str:
    return "none" if value is _NONE else str(_listed(value))
