"""The rough edges of BasicSR 1.4.2, and nothing else in the package knows of them.

``install()`` runs once, when ``clit_plugin`` is imported; ``basicsr.train`` is usable afterwards. Each repair names
the upstream thread it answers, or says what goes wrong without it.
"""

import collections
import datetime
import importlib
import logging
import multiprocessing.util
import os
import sys
import types
import warnings
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import yaml

from clit_plugin.utils import console
from clit_plugin.utils.signals import end_workers

# Ranks wait in a collective for the one whose validation images take longest, and while rank 0 writes: the default of
# 10 minutes (NCCL) would end the job. A rank that hangs is noticed much earlier (clit_plugin.utils.peers).
_COLLECTIVE_TIMEOUT = datetime.timedelta(hours=6)


def install() -> None:
    """Make BasicSR importable and trainable on current torch and torchvision, with or without a GPU. Idempotent.

    Raises:
        ImportError: basicsr is missing, or torch and torchvision come from different builds.
    """
    _alias_functional_tensor()
    try:
        basicsr_train = importlib.import_module("basicsr.train")
    except ImportError as error:
        raise ImportError(
            f"BasicSR does not import ({error}). Install torch and torchvision first, then run "
            "'pip install --no-build-isolation basicsr==1.4.2' (Python 3.10 to 3.12)."
        ) from error
    if hasattr(basicsr_train, "clit_plugin"):
        return
    setattr(basicsr_train, "clit_plugin", True)  # noqa: B010
    _quiet_known_warnings()
    _read_yaml_safely()
    _launch_without_gpu()
    _resume_without_gpu(basicsr_train)
    _wrap_for_cpu_processes()
    _end_the_warm_up()
    _number_the_samples(basicsr_train)
    _keep_test_results()
    _keep_the_terminal_tidy(basicsr_train)
    _log_the_curves(basicsr_train)
    _tell_small_images(basicsr_train)
    _end_workers_at_exit()
    _archive_what_is_of_use(basicsr_train)


def reset_logger() -> None:
    """Forget BasicSR's root logger, so that the next run in this process opens a log file of its own."""
    from basicsr.utils.logger import initialized_logger

    logger = logging.getLogger("basicsr")
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
        handler.close()
    initialized_logger.clear()


def _alias_functional_tensor() -> None:
    """BasicSR imports a torchvision module that is gone since 0.17 (BasicSR #533, #663, #711)."""
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
    alias = types.ModuleType(name)
    alias.rgb_to_grayscale = functional.rgb_to_grayscale  # type: ignore[attr-defined]
    sys.modules[name] = alias


def _quiet_known_warnings() -> None:
    """BasicSR's SwinIR calls ``torch.meshgrid`` without ``indexing``; a user can do nothing about it."""
    warnings.filterwarnings("ignore", message="torch.meshgrid: in an upcoming release")


def _read_yaml_safely() -> None:
    """BasicSR reads options with a loader that can run code, and changes that loader for the whole process."""
    from basicsr.utils import options

    options.ordered_yaml = lambda: (yaml.SafeLoader, yaml.SafeDumper)


def _launch_without_gpu() -> None:
    """BasicSR's launcher calls ``set_device(rank % 0)`` where there is no GPU, and fails if called a second time."""
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


def _resume_without_gpu(basicsr_train: types.ModuleType) -> None:
    """BasicSR asks for the current CUDA device on resume, looks for states below the working directory and trusts them.

    The saved schedulers hold a ``Counter``, which ``torch.load`` refuses since 2.6 unless it is named as safe.
    """
    from basicsr.utils import check_resume

    from clit_plugin.basicsr_bridge.checkpoint_pairs import newest_pair, read_state
    from clit_plugin.utils.distributed import from_first_rank

    resumed: list[dict[str, Any]] = []
    torch.serialization.add_safe_globals([collections.Counter, collections.defaultdict])

    def load_resume_state(opt: dict[str, Any]) -> dict[str, Any] | None:
        if opt["auto_resume"]:
            newest = None
            if opt["rank"] == 0:
                folders = (Path(opt["path"][key]) for key in ("training_states", "models"))
                newest = newest_pair(*folders, tell=console.warn)
            newest = from_first_rank(newest)
            if newest is not None:
                opt["path"]["resume_state"] = str(newest)
        path = opt["path"].get("resume_state")
        if not path:
            return None
        state = read_state(path)
        check_resume(opt, state["iter"])
        # The sampler goes on behind the batches that are done, instead of drawing the epoch's first ones again.
        opt["datasets"]["train"]["resume_iter"] = state["iter"]
        resumed.append(state)
        return state

    def create_train_val_dataloader(opt: dict[str, Any], logger: logging.Logger) -> Any:
        # Epochs may have another length than before the resume: other GPUs, batches or enlarge ratio.
        loaders = original(opt, logger)
        sampler = loaders[1]
        while resumed:
            state = resumed.pop()
            state["epoch"] = state["iter"] // (sampler.num_samples // sampler.batch_size)
        return loaders

    original = basicsr_train.create_train_val_dataloader
    setattr(basicsr_train, "load_resume_state", load_resume_state)  # noqa: B010
    setattr(basicsr_train, "create_train_val_dataloader", create_train_val_dataloader)  # noqa: B010


def _wrap_for_cpu_processes() -> None:
    """BasicSR names a CUDA device for DistributedDataParallel even where there is none."""
    from basicsr.models.base_model import BaseModel

    original = BaseModel.model_to_device

    def model_to_device(self: Any, net: torch.nn.Module) -> torch.nn.Module:
        if not self.opt["dist"] or self.device.type == "cuda":
            return original(self, net)
        return torch.nn.parallel.DistributedDataParallel(
            net.to(self.device), find_unused_parameters=self.opt.get("find_unused_parameters", False)
        )

    BaseModel.model_to_device = model_to_device


def _end_the_warm_up() -> None:
    """BasicSR leaves a MultiStepLR at the last warm-up step's learning rate, from which it then goes on."""
    from basicsr.models.base_model import BaseModel

    original = BaseModel.update_learning_rate

    def update_learning_rate(self: Any, current_iter: int, warmup_iter: int = -1) -> None:
        original(self, current_iter, warmup_iter)
        if current_iter == warmup_iter:
            self._set_lr(self._get_init_lr())

    BaseModel.update_learning_rate = update_learning_rate


def _number_the_samples(basicsr_train: types.ModuleType) -> None:
    """BasicSR's sampler tells a dataset neither the epoch nor the batch; the subclass that does takes its place."""
    from basicsr.data import data_sampler

    from clit_plugin.data.numbered_sampler import NumberedSampler

    data_sampler.EnlargedSampler = NumberedSampler
    setattr(basicsr_train, "EnlargedSampler", NumberedSampler)  # noqa: B010


def _keep_test_results() -> None:
    """BasicSR moves a test's folder aside when the test is run again; what is stored there is to be found again."""
    basicsr_test = importlib.import_module("basicsr.test")
    from basicsr.utils.dist_util import master_only

    @master_only
    def make_exp_dirs(opt: dict[str, Any]) -> None:
        for key in ("results_root", "log", "visualization"):
            Path(opt["path"][key]).mkdir(parents=True, exist_ok=True)

    setattr(basicsr_test, "make_exp_dirs", make_exp_dirs)  # noqa: B010


def _keep_the_terminal_tidy(basicsr_train: types.ModuleType) -> None:
    """BasicSR draws its bar into log files as well, and has no way to be quiet."""
    from basicsr.models import sr_model
    from basicsr.utils import logger as basicsr_logger

    basicsr_test = importlib.import_module("basicsr.test")
    sr_model.tqdm = console.bar

    def get_root_logger(*args: Any, **kwargs: Any) -> logging.Logger:
        logger = original(*args, **kwargs)
        for handler in logger.handlers:
            if type(handler) is logging.StreamHandler:  # the terminal, not the log file
                handler.setLevel(logging.WARNING if console.is_quiet() else logging.NOTSET)
        return logger

    original = basicsr_logger.get_root_logger
    for module in (basicsr_train, basicsr_test):
        setattr(module, "get_root_logger", get_root_logger)  # noqa: B010


def _log_the_curves(basicsr_train: types.ModuleType) -> None:
    """BasicSR prints the learning rate, but keeps no curve of it, and nothing that a program reads."""
    from clit_plugin.basicsr_bridge.run_log import RunLogger

    setattr(basicsr_train, "MessageLogger", RunLogger)  # noqa: B010


def _tell_small_images(basicsr_train: types.ModuleType) -> None:
    """What a training set cannot do stands in the log behind BasicSR's statistics of it."""
    original = basicsr_train.create_train_val_dataloader

    def create_train_val_dataloader(opt: dict[str, Any], logger: logging.Logger) -> Any:
        loaders = original(opt, logger)
        images = loaders[0].dataset
        reach = getattr(images, "reach", None)
        if reach is not None and (told := reach.told(images.batch_size)):
            logger.warning(told)
        return loaders

    setattr(basicsr_train, "create_train_val_dataloader", create_train_val_dataloader)  # noqa: B010


def _end_workers_at_exit() -> None:
    """A trainer that fails waits at its exit for workers that ignore signals (see ``leave_signals_to_trainer``)."""
    multiprocessing.util.Finalize(None, end_workers, exitpriority=100)


def _archive_what_is_of_use(basicsr_train: types.ModuleType) -> None:
    """BasicSR moves a run's folder aside whenever it is started anew, also one of a run that has saved nothing yet."""
    from basicsr.utils.dist_util import master_only

    make, rename = basicsr_train.make_exp_dirs, basicsr_train.mkdir_and_rename
    begun_again: set[str] = set()

    @master_only
    def make_exp_dirs(opt: dict[str, Any]) -> None:
        folders = [Path(opt["path"][key]) for key in ("models", "training_states")]
        curves = str(Path(opt["root_path"]) / "tb_logger" / opt["name"])
        begun_again.discard(curves)
        if any(any(folder.iterdir()) for folder in folders if folder.is_dir()):
            make(opt)
            return
        if Path(opt["path"]["experiments_root"]).exists():
            begun_again.add(curves)
        for folder in (*folders, Path(opt["path"]["visualization"])):
            folder.mkdir(parents=True, exist_ok=True)

    def mkdir_and_rename(path: str) -> None:  # of the run's curves for tensorboard
        folder = Path(path)
        if str(folder) not in begun_again:
            rename(path)
            return
        for events in folder.glob("events.out.tfevents.*"):  # of steps that are trained again
            events.unlink()
        folder.mkdir(parents=True, exist_ok=True)

    setattr(basicsr_train, "make_exp_dirs", make_exp_dirs)  # noqa: B010
    setattr(basicsr_train, "mkdir_and_rename", mkdir_and_rename)  # noqa: B010
