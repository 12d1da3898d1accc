"""Work shared among the processes of torchrun."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

from clit_plugin.utils.errors import UserError
from clit_plugin.utils.startup import under_torchrun

T = TypeVar("T")


@contextmanager
def processes() -> Iterator[tuple[int, int]]:
    """(rank, number of processes); under torchrun with a process group inside the block."""
    if not under_torchrun():
        yield 0, 1
        return
    import torch.distributed as dist

    # Processes finish at different times; when one leaves with status 1, torchrun would end those still working.
    dist.init_process_group("gloo", timeout=timedelta(days=30))
    try:
        yield dist.get_rank(), dist.get_world_size()
    finally:
        dist.destroy_process_group()


def by_first_rank(work: Callable[[], T], rank: int) -> T:
    """Run ``work`` on rank 0 and return its result on every rank.

    Raises:
        UserError: ``work`` has raised it, on rank 0; the other ranks end with the same status.
    """
    from clit_plugin.utils.distributed import from_first_rank

    outcome: Any = None
    if rank == 0:
        try:
            outcome = work()
        except UserError as error:
            outcome = error
    outcome = from_first_rank(outcome)
    if isinstance(outcome, UserError):
        raise outcome if rank == 0 else SystemExit(2)
    return outcome


def device_name(name: str) -> str:
    """The device of this process; under torchrun, GPUs are assigned by local rank."""
    import torch

    if name not in ("auto", "cuda") or not under_torchrun() or not torch.cuda.is_available():
        return name
    return f"cuda:{int(os.environ.get('LOCAL_RANK', '0')) % torch.cuda.device_count()}"
