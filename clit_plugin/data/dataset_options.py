"""Options of ``ArbitraryScalePairedDataset``; their descriptions form its part of the option reference."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from clit_plugin.data.realistic_options import RealisticOptions, parse_realistic
from clit_plugin.data.scale_schedule import ScaleRanges, check_scale_ranges
from clit_plugin.metrics.protocol import ProtocolName
from clit_plugin.ops.bicubic import check_degradation
from clit_plugin.ops.sizes import Pair, scale_pair
from clit_plugin.utils.errors import Problems
from clit_plugin.utils.path_names import check_path_name
from clit_plugin.utils.schema import key, parse

DEFAULT_SCALE_RANGES = [[[1, 4]]]
# Keys that option files do not contain.
SET_BY_BASICSR = ("phase", "resume_iter")


@dataclass(frozen=True, kw_only=True)
class SetOptions:
    """What training and validation sets have in common."""

    name: str = key("name of the set in logs and result folders")
    dataroot_gt: str = key("HR images: a folder, searched recursively, or an .lmdb made by 'clit prepare'")
    type: Literal["ArbitraryScalePairedDataset"] = key("the data set class", "ArbitraryScalePairedDataset")
    phase: str = key("set by BasicSR", "train")
    dataroot_lq: str | None = key("LR images of the same names; by default LR is made from HR", None)
    filename_tmpl: str = key("name of the LR image of HR image {}, as '{}x2'", "{}")
    io_backend: Mapping[str, Any] | None = key("{type: disk} or {type: lmdb}; by default inferred from the path", None)
    degradation: Literal["pil", "matlab"] | Mapping[str, Any] | None = key(
        "how LR is made from HR: pil or matlab (bicubic kernels), or {type: realistic, ...}, see below", None
    )
    strict: bool = key("refuse grey images instead of reading them as RGB", False)
    cache: bool = key("keep all decoded images in memory", False)
    pin_memory: bool = key("use pinned memory, for faster copies to the GPU", False)

    @property
    def realistic(self) -> RealisticOptions | None:
        """``degradation`` if it is realistic, else None."""
        return RealisticOptions(**self.degradation) if isinstance(self.degradation, Mapping) else None

    def check(self, where: str, problems: Problems) -> None:
        """Collect contradictory and out-of-range values."""
        with problems:
            check_path_name(self.name, f"{where}.name", "the name of a folder for the set's results")
        if self.dataroot_lq is None:
            if self.degradation is None:
                problems.add(f"{where}.degradation: missing; say how LR is made from HR, pil or matlab")
            elif isinstance(self.degradation, str):
                with problems:
                    check_degradation(self.degradation, f"{where}.degradation")
        elif self.degradation is not None:
            problems.add(f"{where}.degradation: LR is read from dataroot_lq, not made from HR; remove one of the two")
        if self.filename_tmpl.count("{}") != 1:
            problems.add(f"{where}.filename_tmpl: expected one '{{}}' in the name, got {self.filename_tmpl!r}")
        else:
            with problems:
                check_path_name(self.filename_tmpl, f"{where}.filename_tmpl", "the name of a file")
        if self.io_backend is not None and dict(self.io_backend) not in ({"type": "disk"}, {"type": "lmdb"}):
            problems.add(f"{where}.io_backend: expected {{type: disk}} or {{type: lmdb}}, got {dict(self.io_backend)}")


@dataclass(frozen=True, kw_only=True)
class TrainSetOptions(SetOptions):
    """``datasets.train``."""

    batch_size_per_gpu: int = key("images per process and step (the paper: 32 in total)")
    num_worker_per_gpu: int = key("DataLoader workers per training process; 0 loads in the training process itself", 0)
    persistent_workers: bool = key("keep the workers alive between epochs", False)
    prefetch_mode: Literal["cuda"] | None = key("cuda: BasicSR's GPU prefetcher; needs pin_memory", None)
    dataset_enlarge_ratio: int = key("how often each image is seen per epoch (the released code: 40)", 1)
    lq_size: int = key("side of the LR crop in pixels", 48)
    num_queries: int | None = key("HR pixels sampled per image; by default lq_size squared", None)
    scale_ranges: list[Any] = key(
        "alternatives, used by the batches in turn; each a list of [min, max], one per branch",
        DEFAULT_SCALE_RANGES,
    )
    use_hflip: bool = key("random horizontal flips", True)
    use_vflip: bool = key("random vertical flips", True)
    use_rot: bool = key("random rotation by 90 degrees", True)
    skip_images: int = key("skip the first N images, which a validation set with max_images N uses", 0)
    seed: int = key("seed of the scale schedule and of the samples; by default manual_seed", 0)
    resume_iter: int = key("set on resume", 0)

    def check(self, where: str, problems: Problems) -> None:
        super().check(where, problems)
        for name in ("batch_size_per_gpu", "dataset_enlarge_ratio", "lq_size"):
            if getattr(self, name) < 1:
                problems.add(f"{where}.{name}: expected at least 1, got {getattr(self, name)}")
        if self.skip_images < 0:
            problems.add(f"{where}.skip_images: expected at least 0, got {self.skip_images}")
        if self.num_worker_per_gpu < 0:
            problems.add(f"{where}.num_worker_per_gpu: expected at least 0, got {self.num_worker_per_gpu}")
        if self.persistent_workers and self.num_worker_per_gpu == 0:
            problems.add(f"{where}.persistent_workers: needs num_worker_per_gpu of at least 1")
        if self.prefetch_mode is not None and not self.pin_memory:
            problems.add(f"{where}.prefetch_mode: needs pin_memory: true")
        if self.lq_size >= 1 and not 1 <= self.queries <= self.lq_size**2:
            problems.add(
                f"{where}.num_queries: expected 1 to lq_size squared ({self.lq_size**2}), got {self.num_queries}"
            )
        with problems:
            check_scale_ranges(self.scale_ranges, f"{where}.scale_ranges")

    @property
    def queries(self) -> int:
        """Sampled pixels per image."""
        return self.lq_size**2 if self.num_queries is None else self.num_queries

    @property
    def ranges(self) -> ScaleRanges:
        """``scale_ranges`` as numbers."""
        return check_scale_ranges(self.scale_ranges)


@dataclass(frozen=True, kw_only=True)
class ValSetOptions(SetOptions):
    """``datasets.val``, ``datasets.val_2``, ..., and ``datasets.test...``."""

    protocol: ProtocolName = key("div2k: RGB, shave scale + 6; benchmark: Y, shave scale")
    scale: float | tuple[float, float] | None = key(
        "any real scale, or [y, x], height before width; required without dataroot_lq, else inferred from the image "
        "sizes",
        None,
        expected="a number or [y, x]",
    )
    max_images: int | None = key("use only the first N images", None)

    def check(self, where: str, problems: Problems) -> None:
        super().check(where, problems)
        if self.scale is None and self.dataroot_lq is None:
            example = "such as 2, 3.4 or, as [y, x], [2, 3.5]"
            problems.add(f"{where}.scale: missing; give a scale {example}, or LR images in dataroot_lq")
        if self.scale is not None and min(self.scales or (0.0,)) < 1:
            problems.add(f"{where}.scale: expected at least 1, or [y, x] of at least 1, got {self.scale}")
        if self.max_images is not None and self.max_images < 1:
            problems.add(f"{where}.max_images: expected at least 1, got {self.max_images}")

    @property
    def scales(self) -> Pair | None:
        """(y, x), or None if it follows from the given LR images."""
        if self.scale is None:
            return None
        return scale_pair(self.scale)


@dataclass(frozen=True, kw_only=True)
class DataSets:
    """The data sets of a run.

    Attributes:
        train: The training set; None for a test.
        scored: The validation or test sets by key (``val``, ``val_2``, ...), in order.
    """

    train: TrainSetOptions | None = None
    scored: Mapping[str, ValSetOptions] = field(default_factory=dict)

    @property
    def by_key(self) -> dict[str, SetOptions]:
        """All sets by their keys in ``datasets``."""
        training: dict[str, SetOptions] = {} if self.train is None else {"train": self.train}
        return {**training, **self.scored}


Options = TypeVar("Options", bound=SetOptions)


def parse_train_set(options: Mapping[str, Any], where: str) -> TrainSetOptions:
    """Options of a training set.

    Args:
        options: The section of the option file.
        where: Its key, for errors.

    Raises:
        UserError: Unknown keys or bad values, all of which are listed.
    """
    return _checked(parse(TrainSetOptions, _with_degradation(options, where), where), where)


def parse_val_set(options: Mapping[str, Any], where: str) -> ValSetOptions:
    """Options of a validation set; as ``parse_train_set``."""
    return _checked(parse(ValSetOptions, _with_degradation(options, where), where), where)


def _with_degradation(options: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    """The options with a realistic degradation checked and completed with defaults, which stored results record."""
    degradation = options.get("degradation")
    if not isinstance(degradation, Mapping):
        return options
    return {**options, "degradation": vars(parse_realistic(degradation, f"{where}.degradation"))}


def _checked(options: Options, where: str) -> Options:
    problems = Problems()
    options.check(where, problems)
    problems.raise_found()
    return options
