"""The data set that option files name: sampled queries for training, whole images for validation."""

from collections.abc import Mapping, Sequence
from typing import Any

from basicsr.utils.registry import DATASET_REGISTRY
from torch.utils.data import Dataset

from clit_plugin.data.dataset_options import parse_train_set, parse_val_set
from clit_plugin.data.scale_reach import ScaleReach
from clit_plugin.data.training_set import TrainingSet
from clit_plugin.data.validation_set import ValidationSet
from clit_plugin.metrics.protocol import EvaluationProtocol


@DATASET_REGISTRY.register()
class ArbitraryScalePairedDataset(Dataset):
    """LR and HR at any scale, from HR alone or from given pairs, in folders or LMDBs.

    In training (``phase: train``) a sample is

    - ``lq`` (3, n, n), RGB in [0, 1]; ``gt`` (Q, 3), colours of the sampled HR pixels;
    - ``coord`` (Q, 2) and ``cell`` (2,), as ``forward`` of an architecture takes them;
    - ``stage_sizes`` (k, 2), the feature grids between the k + 1 branches that this batch trains;
    - ``epoch``, from 0.

    In validation it is ``lq`` (3, h, w), ``gt`` (3, H, W), ``scale`` (2,) and the image's ``name``. For LR made from
    HR, h = floor(H / scale), and HR is cropped to round(h * scale). Both have ``lq_path`` and ``gt_path``.

    A realistic degradation is drawn per training sample, from seed, epoch and sample number; in validation per image,
    from seed and name.

    Args:
        opt: See ``TrainSetOptions`` and ``ValSetOptions``. It is not modified.

    Attributes:
        names: Keys of the images, in order.
        protocol: How a validation set is scored; None in training.
        reach: The scales that a training set's images allow; None where LR is given, and in validation.
        batch_size: Batch size of a training set, for the sampler.
        resume_iter: Iteration from which training resumes, for the sampler.

    Raises:
        UserError: Bad options, missing images, images that do not pair up, or that are too small for the crop or x1.2.
    """

    protocol: EvaluationProtocol | None = None
    reach: ScaleReach | None = None
    batch_size: int | None = None
    resume_iter: int | None = None

    def __init__(self, opt: Mapping[str, Any]) -> None:
        self.opt = opt
        self.part: TrainingSet | ValidationSet
        where = f"datasets.{opt.get('name', opt.get('phase'))}"
        if opt.get("phase") == "train":
            options = parse_train_set(opt, where)
            self.part = training = TrainingSet(options)
            self.reach = training.reach
            self.batch_size, self.resume_iter = options.batch_size_per_gpu, options.resume_iter
        else:
            self.part = validation = ValidationSet(parse_val_set(opt, where))
            self.protocol = validation.protocol
        self.names = self.part.pairs.names

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[dict[str, Any]]:
        """A batch. PyTorch's loader calls this with all of its indices, so that a batch can share its scales."""
        return self.part.__getitems__(indices)
