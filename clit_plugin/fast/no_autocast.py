"""Arithmetic whose dtypes are chosen by hand."""

from contextlib import AbstractContextManager
from typing import Any

import torch


def no_autocast(device: torch.device) -> AbstractContextManager[Any]:
    """Autocast off; on a device that autocast does not know, what stands in for it (see ``meta_functions``)."""
    if torch.amp.is_autocast_available(device.type):
        return torch.autocast(device.type, enabled=False)
    return torch._C.DisableTorchFunction()
