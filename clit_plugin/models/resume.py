"""Resuming a run whose options have changed since its state was saved."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch.optim.lr_scheduler import LRScheduler

from clit_plugin.data.dataset_options import SET_BY_BASICSR
from clit_plugin.utils.errors import UserError

_SETTINGS = ("milestones", "gamma", "restarts", "restart_weights", "periods", "eta_min", "base_lrs")
_NONE = object()


def training_options(opt: Mapping[str, Any]) -> dict[str, Any]:
    """The options that determine what a training computes; training states record them.

    Args:
        opt: BasicSR's options of a training, before BasicSR pops the ``type`` keys.
    """
    train_set = {key: value for key, value in opt["datasets"]["train"].items() if key not in SET_BY_BASICSR}
    kept = {key: opt[key] for key in ("manual_seed", "network_g", "train")}
    return dict(plain({**kept, "datasets": {"train": train_set}}))


def resume(
    state: Mapping[str, Any],
    options: Mapping[str, Any],
    optimizers: Sequence[torch.optim.Optimizer],
    schedulers: Sequence[LRScheduler],
) -> list[str]:
    """Load the states of optimisers and schedulers; where options have changed, the new options win.

    Args:
        state: A training state, as the model saves it.
        options: ``training_options`` of this run.
        optimizers: Built from the options.
        schedulers: Built from the options.

    Returns:
        What has changed since the state was written, as ``train.total_iter 5 -> 7``.

    Raises:
        UserError: Something has changed that cannot change on a resume.
    """
    total = options["train"]["total_iter"]
    if total < state["iter"]:
        raise UserError(f"train.total_iter: {total}, but the state to resume from is of step {state['iter']}")
    old = state.get("options", options)  # states of earlier versions do not record them
    changed = [
        change for change in differences(old, options) if not change.startswith(("train.optim_g.", "train.scheduler."))
    ]
    for optimizer, saved in zip(optimizers, state["optimizers"], strict=True):
        changed += resume_optimizer(optimizer, saved)
    warm_up = old["train"]["warmup_iter"] != options["train"]["warmup_iter"]
    for scheduler, saved in zip(schedulers, state["schedulers"], strict=True):
        changed += resume_scheduler(scheduler, saved, advance=warm_up)
    return changed


def resume_optimizer(optimizer: torch.optim.Optimizer, saved: Mapping[str, Any]) -> Iterator[str]:
    """Load an optimiser's state but keep its settings, except for the learning rate, which the scheduler sets.

    Args:
        optimizer: Built from the options.
        saved: The saved ``state_dict``.

    Yields:
        Settings that have changed, as ``train.optim_g.eps 1e-08 -> 1e-06``.

    Raises:
        UserError: A setting has changed for which the state lacks what the optimiser needs.
    """
    groups = []
    for old, new in zip(saved["param_groups"], optimizer.param_groups, strict=True):
        if len(old["params"]) != len(new["params"]):
            raise UserError("network_g: its trainable weights are not those of the saved state")
        if new.get("amsgrad") and not old.get("amsgrad"):
            raise UserError("train.optim_g.amsgrad: false in the state, and cannot become true on a resume")
        settings = {name: value for name, value in new.items() if name not in ("params", "lr")}
        for name in sorted(settings.keys() & old.keys() - {"initial_lr", "fused", "foreach", "capturable"}):
            if plain(old[name]) != plain(settings[name]):
                yield f"train.optim_g.{name} {plain(old[name])} -> {plain(settings[name])}"
        groups.append({**old, **settings})
    optimizer.load_state_dict({"state": saved["state"], "param_groups": groups})


def resume_scheduler(scheduler: LRScheduler, saved: Mapping[str, Any], *, advance: bool = False) -> Iterator[str]:
    """Load a scheduler's state if its settings are unchanged; otherwise advance the new one to the step of the old one.

    Args:
        scheduler: Built from the options, for an optimiser whose state is loaded.
        saved: The saved ``state_dict``.
        advance: Advance it even if its settings are unchanged.

    Yields:
        What has changed, as ``train.scheduler.milestones [3] -> [4]``.
    """
    changed = []
    for name in _SETTINGS:
        old, new = saved.get(name, _NONE), getattr(scheduler, name, _NONE)
        if _listed(old) != _listed(new):
            changed.append(name)
            key = "train.optim_g.lr" if name == "base_lrs" else f"train.scheduler.{name}"
            yield f"{key} {_text(old)} -> {_text(new)}"
    if not changed and not advance:
        scheduler.load_state_dict(dict(saved))
        return
    done = saved["last_epoch"]
    steps = {step for name in ("milestones", "restarts") for step in getattr(scheduler, name, ()) if 0 < step < done}
    groups = scheduler.optimizer.param_groups
    for group in groups:
        group["lr"] = group["initial_lr"]
    for step in sorted(steps | {done}):  # rates that are computed from the previous rate only change at these steps
        scheduler.last_epoch = step
        for group, rate in zip(groups, scheduler.get_lr(), strict=True):
            group["lr"] = rate
    scheduler._step_count = done + 1
    scheduler._last_lr = [group["lr"] for group in groups]


def differences(old: Any, new: Any, where: str = "") -> Iterator[str]:
    """How new options differ from old ones, as ``train.total_iter 5 -> 7``."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for name in [*old, *(name for name in new if name not in old)]:
            yield from differences(old.get(name, _NONE), new.get(name, _NONE), f"{where}.{name}" if where else name)
    elif old is not new and old != new:
        yield f"{where} {_text(old)} -> {_text(new)}"


def plain(options: Any) -> Any:
    """Options as plain dicts and lists, which ``torch.load`` with ``weights_only`` accepts."""
    if isinstance(options, Mapping):
        return {key: plain(value) for key, value in options.items()}
    return [plain(value) for value in options] if isinstance(options, (list, tuple)) else options


def _listed(value: Any) -> Any:
    return sorted(value.elements()) if isinstance(value, Counter) else plain(value)


def _text(value: Any) -> str:
    return "none" if value is _NONE else str(_listed(value))
