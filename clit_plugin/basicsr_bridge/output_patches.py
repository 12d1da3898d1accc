"""Repairs of what BasicSR prints, logs and does with the folders of earlier runs, one function each."""

import logging
from pathlib import Path
from typing import Any

from basicsr.utils import logger as basicsr_logger
from basicsr.utils.dist_util import master_only

from clit_plugin.basicsr_bridge.run_log import RunLogger
from clit_plugin.utils import console


def install(basicsr_train: Any, basicsr_test: Any) -> None:
    """Apply them to ``basicsr.train`` and ``basicsr.test``."""
    draw_bars_on_terminals_only()
    quieten_the_terminal(basicsr_train)
    quieten_the_terminal(basicsr_test)
    log_the_curves(basicsr_train)
    warn_of_small_images(basicsr_train)
    keep_test_results(basicsr_test)
    archive_only_saved_runs(basicsr_train)


def reset_logger() -> None:
    """Forget BasicSR's root logger, so that the next run in this process opens a log file of its own."""
    logger = logging.getLogger("basicsr")
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
        handler.close()
    basicsr_logger.initialized_logger.clear()


def draw_bars_on_terminals_only() -> None:
    """BasicSR draws its progress bar into log files as well."""
    from basicsr.models import sr_model

    sr_model.tqdm = console.bar


def quieten_the_terminal(pipeline: Any) -> None:
    """BasicSR has no way to be quiet; its log file keeps every line."""

    def get_root_logger(*args: Any, **kwargs: Any) -> logging.Logger:
        logger = basicsr_logger.get_root_logger(*args, **kwargs)
        for handler in logger.handlers:
            if type(handler) is logging.StreamHandler:  # the terminal, not the log file
                handler.setLevel(logging.WARNING if console.is_quiet() else logging.NOTSET)
        return logger

    pipeline.get_root_logger = get_root_logger


def log_the_curves(basicsr_train: Any) -> None:
    """BasicSR prints the learning rate but keeps no curve of it, and writes nothing that programs can read."""
    basicsr_train.MessageLogger = RunLogger


def warn_of_small_images(basicsr_train: Any) -> None:
    """Scales for which a training set is too small are logged after BasicSR's statistics of the set."""
    original = basicsr_train.create_train_val_dataloader

    def create_train_val_dataloader(opt: dict[str, Any], logger: logging.Logger) -> Any:
        loaders = original(opt, logger)
        images = loaders[0].dataset
        reach = getattr(images, "reach", None)
        if reach is not None and (warning := reach.summary(images.batch_size)):
            logger.warning(warning)
        return loaders

    basicsr_train.create_train_val_dataloader = create_train_val_dataloader


def keep_test_results(basicsr_test: Any) -> None:
    """BasicSR moves a test's folder aside when the test is run again, but the results stored there must be found."""

    @master_only
    def make_exp_dirs(opt: dict[str, Any]) -> None:
        for key in ("results_root", "log", "visualization"):
            Path(opt["path"][key]).mkdir(parents=True, exist_ok=True)

    basicsr_test.make_exp_dirs = make_exp_dirs


def archive_only_saved_runs(basicsr_train: Any) -> None:
    """BasicSR moves a run's folder aside whenever the run is started anew, even if it had saved nothing yet."""
    make, rename = basicsr_train.make_exp_dirs, basicsr_train.mkdir_and_rename
    restarted: set[str] = set()

    @master_only
    def make_exp_dirs(opt: dict[str, Any]) -> None:
        folders = [Path(opt["path"][key]) for key in ("models", "training_states")]
        curves = str(Path(opt["root_path"]) / "tb_logger" / opt["name"])
        restarted.discard(curves)
        if any(any(folder.iterdir()) for folder in folders if folder.is_dir()):
            make(opt)
            return
        if Path(opt["path"]["experiments_root"]).exists():
            restarted.add(curves)
        for folder in (*folders, Path(opt["path"]["visualization"])):
            folder.mkdir(parents=True, exist_ok=True)

    def mkdir_and_rename(path: str) -> None:  # of the run's TensorBoard curves
        folder = Path(path)
        if str(folder) not in restarted:
            rename(path)
            return
        for events in folder.glob("events.out.tfevents.*"):  # of steps that are trained again
            events.unlink()
        folder.mkdir(parents=True, exist_ok=True)

    basicsr_train.make_exp_dirs = make_exp_dirs
    basicsr_train.mkdir_and_rename = mkdir_and_rename
