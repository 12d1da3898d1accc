"""The sections of an option file; the texts of their keys form the option reference."""

import copy
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any, Literal

from clit_plugin.data.dataset_options import TrainSetOptions, ValSetOptions
from clit_plugin.data.realistic_options import RealisticOptions
from clit_plugin.utils.schema import key


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """The top level."""

    name: str = key("name of the run: its folder under experiments/ (training) or results/ (test)")
    network_g: Mapping[str, Any] = key("the network: type and its arguments")
    datasets: Mapping[str, Any] = key("train, val, val_2, ... for training; test, test_2, ... for a test")
    model_type: Literal["CumulativeScaleModel"] = key("the model class", "CumulativeScaleModel")
    num_gpu: int | Literal["auto"] = key("GPUs of this process: auto, 1, or 0 for the CPU; more need torchrun", "auto")
    manual_seed: int = key("seed of weights, schedule and samples", 0)
    find_unused_parameters: bool | None = key("for DDP; by default true if alternatives leave branches unused", None)
    custom_imports: Mapping[str, Any] | None = key(
        "modules to import first: {imports: [my_encoder]}, searched for beside the file, in the working directory and "
        "in folders: [...]",
        None,
    )
    path: Mapping[str, Any] = key("weights to start or resume from", {})
    train: Mapping[str, Any] | None = key("optimiser, schedule and loss", None)
    val: Mapping[str, Any] | None = key("validation", None)
    logger: Mapping[str, Any] | None = key("logging and checkpoints", None)


@dataclass(frozen=True, kw_only=True)
class PathOptions:
    """``path``."""

    pretrain_network_g: str | None = key(
        "weights to start from; in a chain of stages, those of the previous stage", None
    )
    param_key_g: Literal["auto", "params", "params_ema"] = key(
        "which weights of that file; auto: params in training; in a test the averaged ones if it has any", "auto"
    )
    strict_load_g: bool = key("must be true: only a whole new branch may be missing", True)
    resume_state: str | None = key("a .state file to resume from; --auto_resume finds the newest", None)


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """``train``."""

    total_iter: int = key("training steps; epochs = total_iter / (images * dataset_enlarge_ratio / batch)")
    optim_g: Mapping[str, Any] = key("{type: Adam, lr: ..., ...}, the arguments of torch.optim.Adam")
    scheduler: Mapping[str, Any] = key("{type: MultiStepLR, milestones: [...], gamma: 0.5} or CosineAnnealingRestartLR")
    pixel_opt: Mapping[str, Any] = key("the loss: {type: L1Loss, ...}, any of BasicSR's on sampled colours")
    ema_decay: float = key("decay of the averaged weights; 0 for none", 0.0)
    warmup_iter: int = key("steps of linear warm-up; -1 for none", -1)
    max_skipped: int = key(
        "how many consecutive steps may be skipped because their loss or gradients are not finite before the run stops",
        10,
    )
    grad_clip: float | None = key("largest gradient norm of a step; larger gradients are scaled down to it", None)
    accumulate: int = key("gradient accumulation: compute a step's batch in this many parts, with the same result", 1)
    amp: bool | Literal["bfloat16", "float16"] = key(
        "autocast in training: true or bfloat16, or float16 with loss scaling; coordinates, softmax, weights and "
        "validation stay in float32",
        False,
    )
    timeout: float = key(
        "minutes without progress of any rank after which a run under torchrun ends; must exceed the longest "
        "step, image or checkpoint takes",
        30.0,
    )
    channels_last: bool = key("channels-last memory format of the encoder, for GPUs", False)
    fused: Literal["auto", "tf32", "off"] = key(
        "fused Triton kernels of local attention on a GPU: auto, where they run and agree with torch; tf32, the same "
        "with float32 products in TF32; off",
        "auto",
    )
    cuda_graphs: bool = key("replay a step as one CUDA graph, for small networks on one GPU", False)


@dataclass(frozen=True, kw_only=True)
class ValOptions:
    """``val``."""

    val_freq: int = key("steps between validations", 5000)
    save_img: bool = key("write the images", False)
    suffix: str | None = key("suffix of written images' names in a test", None)
    pbar: bool = key("progress bar", True)
    self_ensemble: Literal[1, 4, 8] = key(
        "average over 4 rotations of the image, or over 8 rotations and reflections", 1
    )
    metrics: Mapping[str, Any] = key("by name: {type: psnr_float}, ssim_float, or BasicSR's calculate_psnr ...", {})


@dataclass(frozen=True, kw_only=True)
class LoggerOptions:
    """``logger``."""

    print_freq: int = key("steps between log lines", 100)
    save_checkpoint_freq: int = key("steps between checkpoints", 5000)
    keep: int | None = key("how many of the newest checkpoints to keep; by default all", None)
    keep_best: str | None = key(
        "metric of val.metrics whose best mean over the sets decides what net_g_best.pth is", None
    )
    use_tb_logger: bool = key("tensorboard", True)
    wandb: Mapping[str, Any] | None = key("BasicSR's Weights & Biases settings", None)


SECTIONS: dict[str, type] = {
    "": RunOptions,
    "path": PathOptions,
    "train": TrainOptions,
    "val": ValOptions,
    "logger": LoggerOptions,
    "datasets.train": TrainSetOptions,
    "datasets.val": ValSetOptions,
    "degradation": RealisticOptions,
}


def with_defaults(options: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of options with defaults for missing keys, unchecked."""
    filled = {**_defaults(RunOptions), **copy.deepcopy(dict(options))}
    for name in ("path", "train", "val", "logger"):
        filled[name] = {**_defaults(SECTIONS[name]), **(filled.get(name) or {})}
    return filled


def _defaults(section: type) -> dict[str, Any]:
    found = {field.name: field.default for field in fields(section) if field.default is not MISSING}
    return found | {
        field.name: field.default_factory() for field in fields(section) if field.default_factory is not MISSING
    }
