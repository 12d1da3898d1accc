"""Repairs of BasicSR 1.4.2, one function each; nothing else in the package knows of its rough edges.

``install()`` runs once, when ``clit_plugin`` is imported; ``basicsr.train`` is usable afterwards. Each repair names
the upstream thread that it answers, or says what goes wrong without it.
"""

import datetime
import importlib
import multiprocessing.util
import os
import sys
import types
import warnings
from typing import Any

import torch
import torch.distributed as dist
import yaml

from clit_plugin.utils.signals import end_workers

# Ranks wait in a collective for the one whose validation images take longest, and while rank 0 writes: the default of
# 10 minutes (NCCL) would end the job. A rank that hangs is noticed much earlier (clit_plugin.utils.peers).
_COLLECTIVE_TIMEOUT = datetime.timedelta(hours=6)


def install() -> None:
    """Make BasicSR importable and trainable on current torch and torchvision, with or without a GPU. Idempotent.

    Raises:
        ImportError: basicsr is missing, or torch and torchvision come from different builds.
    """
    alias_functional_tensor()
    try:
        basicsr_train: Any = importlib.import_module("basicsr.train")
    except ImportError as error:
        raise ImportError(
            f"BasicSR does not import ({error}). Install torch and torchvision first, then run "
            "'pip install --no-build-isolation basicsr==1.4.2' (Python 3.10 to 3.12)."
        ) from error
    if hasattr(basicsr_train, "clit_plugin"):
        return
    basicsr_train.clit_plugin = True
    basicsr_test = importlib.import_module("basicsr.test")
    from clit_plugin.basicsr_bridge import output_patches, resume_patches

    silence_meshgrid_warning()
    read_yaml_safely()
    launch_without_gpu()
    distribute_on_cpu()
    end_the_warm_up()
    number_the_samples(basicsr_train)
    end_workers_at_exit()
    end_prefetch_at_exit()
    resume_patches.install(basicsr_train)
    output_patches.install(basicsr_train, basicsr_test)


def alias_functional_tensor() -> None:
    """BasicSR imports a torchvision module that was removed in 0.17 (BasicSR #533, #663, #711)."""
    name = "torchvision.transforms.functional_tensor"
    if name in sys.modules:
        return
    try:
        from torchvision.transforms import functional
    except (ImportError, RuntimeError, AttributeError) as error:
        # "operator torchvision::nms does not exist": the two come from different builds.
        raise ImportError(
            f"torchvision does not import with torch {torch.__version__} ({error}). "
            "Reinstall the two together: pip install --force-reinstall torch torchvision"
        ) from error
    alias: Any = types.ModuleType(name)
    alias.rgb_to_grayscale = functional.rgb_to_grayscale
    sys.modules[name] = alias


def silence_meshgrid_warning() -> None:
    """BasicSR's SwinIR calls ``torch.meshgrid`` without ``indexing``; users cannot do anything about it."""
    warnings.filterwarnings("ignore", message="torch.meshgrid: in an upcoming release")


def read_yaml_safely() -> None:
    """BasicSR reads options with a loader that can run code, and modifies that loader for the whole process."""
    from basicsr.utils import options

    options.ordered_yaml = lambda: (yaml.SafeLoader, yaml.SafeDumper)


def launch_without_gpu() -> None:
    """BasicSR's launcher calls ``set_device(rank % 0)`` where there is no GPU, and fails when called a second time."""
    from basicsr.utils import dist_util

    def init_pytorch(backend: str, **kwargs: Any) -> None:
        if dist.is_initialized():  # the next stage of a chain, in the same process
            return
        kwargs.setdefault("timeout", _COLLECTIVE_TIMEOUT)
        if torch.cuda.is_available():
            torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", os.environ["RANK"])) % torch.cuda.device_count())
        else:
            backend = "gloo"
        if backend == "nccl":
            backend = "cpu:gloo,cuda:nccl"  # a run with num_gpu: 0 on a machine with GPUs
        dist.init_process_group(backend=backend, **kwargs)

    dist_util._init_dist_pytorch = init_pytorch


def distribute_on_cpu() -> None:
    """BasicSR passes a CUDA device to DistributedDataParallel even where there is none."""
    from basicsr.models.base_model import BaseModel

    original = BaseModel.model_to_device

    def model_to_device(self: Any, net: torch.nn.Module) -> torch.nn.Module:
        if not self.opt["dist"] or self.device.type == "cuda":
            return original(self, net)
        return torch.nn.parallel.DistributedDataParallel(
            net.to(self.device), find_unused_parameters=self.opt.get("find_unused_parameters", False)
        )

    BaseModel.model_to_device = model_to_device


def end_the_warm_up() -> None:
    """BasicSR leaves a MultiStepLR at the last warm-up step's learning rate, from which it then continues."""
    from basicsr.models.base_model import BaseModel

    original = BaseModel.update_learning_rate

    def update_learning_rate(self: Any, current_iter: int, warmup_iter: int = -1) -> None:
        original(self, current_iter, warmup_iter)
        if current_iter == warmup_iter:
            self._set_lr(self._get_init_lr())

    BaseModel.update_learning_rate = update_learning_rate


def number_the_samples(basicsr_train: Any) -> None:
    """BasicSR's sampler passes a data set neither the epoch nor the batch; the subclass that does replaces it."""
    from basicsr.data import data_sampler

    from clit_plugin.data.numbered_sampler import NumberedSampler

    data_sampler.EnlargedSampler = NumberedSampler
    basicsr_train.EnlargedSampler = NumberedSampler


def end_workers_at_exit() -> None:
    """A trainer that fails waits at its exit for workers that ignore signals (see ``leave_signals_to_trainer``)."""
    multiprocessing.util.Finalize(None, end_workers, exitpriority=100)


def end_prefetch_at_exit() -> None:
    """BasicSR's ``prefetch_mode: cpu`` loads on in a thread at exit, which can abort Python ("terminate called")."""
    from basicsr.data import prefetch_dataloader

    from clit_plugin.basicsr_bridge.prefetch import EndingPrefetch

    prefetch_dataloader.PrefetchGenerator = EndingPrefetch
