"""Repairs of BasicSR's resume, one function each."""

import collections
import logging
from pathlib import Path
from typing import Any

import torch
from basicsr.utils import check_resume

from clit_plugin.basicsr_bridge.checkpoint_pairs import newest_pair, read_state
from clit_plugin.utils import console
from clit_plugin.utils.distributed import from_first_rank


def install(basicsr_train: Any) -> None:
    """Apply them to ``basicsr.train``."""
    load_scheduler_states()
    read_states_safely(basicsr_train)
    find_the_runs_own_states(basicsr_train)
    skip_finished_batches(basicsr_train)
    recount_epochs(basicsr_train)


def load_scheduler_states() -> None:
    """Saved schedulers hold a ``Counter``, which ``torch.load`` refuses since 2.6 unless it is declared safe."""
    torch.serialization.add_safe_globals([collections.Counter, collections.defaultdict])


def read_states_safely(basicsr_train: Any) -> None:
    """BasicSR unpickles a state without checks, onto the current CUDA device, which fails without a GPU."""

    def load_resume_state(opt: dict[str, Any]) -> dict[str, Any] | None:
        path = opt["path"].get("resume_state")
        if not path:
            return None
        state = read_state(path)
        check_resume(opt, state["iter"])
        return state

    basicsr_train.load_resume_state = load_resume_state


def find_the_runs_own_states(basicsr_train: Any) -> None:
    """BasicSR looks for states below the working directory, and takes the newest one even if it is damaged."""
    load = basicsr_train.load_resume_state

    def load_resume_state(opt: dict[str, Any]) -> dict[str, Any] | None:
        if opt["auto_resume"]:
            newest = None
            if opt["rank"] == 0:
                folders = (Path(opt["path"][key]) for key in ("training_states", "models"))
                newest = newest_pair(*folders, report=console.warn)
            newest = from_first_rank(newest)
            if newest is not None:
                opt["path"]["resume_state"] = str(newest)
        return load(opt)

    basicsr_train.load_resume_state = load_resume_state


def skip_finished_batches(basicsr_train: Any) -> None:
    """BasicSR's sampler would repeat the epoch's first batches; ours continues after the finished ones."""
    load = basicsr_train.load_resume_state

    def load_resume_state(opt: dict[str, Any]) -> dict[str, Any] | None:
        state = load(opt)
        if state is not None:
            opt["datasets"]["train"]["resume_iter"] = state["iter"]
        return state

    basicsr_train.load_resume_state = load_resume_state


def recount_epochs(basicsr_train: Any) -> None:
    """The length of an epoch may have changed since: other GPUs, batch size or enlarge ratio."""
    load, create = basicsr_train.load_resume_state, basicsr_train.create_train_val_dataloader
    resumed: list[dict[str, Any]] = []

    def load_resume_state(opt: dict[str, Any]) -> dict[str, Any] | None:
        state = load(opt)
        resumed[:] = [] if state is None else [state]
        return state

    def create_train_val_dataloader(opt: dict[str, Any], logger: logging.Logger) -> Any:
        loaders = create(opt, logger)
        sampler = loaders[1]
        for state in resumed:  # the trainer reads the epoch after this
            state["epoch"] = state["iter"] // (sampler.num_samples // sampler.batch_size)
        resumed.clear()
        return loaders

    basicsr_train.load_resume_state = load_resume_state
    basicsr_train.create_train_val_dataloader = create_train_val_dataloader
