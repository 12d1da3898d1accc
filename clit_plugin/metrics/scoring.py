"""Scores of one image by a protocol, for validation and tests alike."""

from collections.abc import Mapping
from typing import Any

from basicsr.metrics import calculate_metric
from basicsr.utils import tensor2img
from torch import Tensor

from clit_plugin.metrics.float_metrics import FLOAT_METRICS, SSIM_WINDOW
from clit_plugin.metrics.protocol import EvaluationProtocol


def score_image(
    img: Tensor, gt: Tensor, *, metrics: Mapping[str, Mapping[str, Any]], protocol: EvaluationProtocol, scale: float
) -> dict[str, float]:
    """Every metric of an image.

    Args:
        img: (1, 3, H, W), RGB, not clamped.
        gt: The reference, of the same shape, in [0, 1].
        metrics: ``val.metrics`` of the options: type and arguments by name. Arguments given there override the
            protocol's.
        protocol: Which channel is compared, and how much of the border is cut off.
        scale: Where the axes differ, the larger one.

    Returns:
        Value by name. The float metrics compare unrounded values, BasicSR's compare rounded bytes.

    Raises:
        UserError: The image is too small for the border.
    """
    by_protocol = protocol.metric_options(scale)
    tensors = {"img": img, "img2": gt}
    rounded: dict[str, Any] = {}
    scores = {}
    for name, options in metrics.items():
        resolved = {**by_protocol, **{key: value for key, value in options.items() if key != "better"}}
        if options["type"] not in FLOAT_METRICS and not rounded:
            rounded = {key: tensor2img([image.detach().cpu()]) for key, image in tensors.items()}
        compared = tensors if options["type"] in FLOAT_METRICS else rounded
        scores[name] = float(calculate_metric(compared, resolved))
    return scores


def least_side(metrics: Mapping[str, Mapping[str, Any]]) -> int:
    """How many pixels high and wide an image must at least be inside the border."""
    return max((SSIM_WINDOW if "ssim" in str(options.get("type")) else 1 for options in metrics.values()), default=1)
