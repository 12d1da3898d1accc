"""Validation and tests on whole images, in BasicSR's model."""

import time
from typing import Any

import torch
from basicsr.models.sr_model import SRModel
from basicsr.utils import get_root_logger

from clit_plugin.evaluation.results import mean
from clit_plugin.models.validation import Upscaled, Validation
from clit_plugin.ops.self_ensemble import upscale_ensemble


class AnyScaleModel(SRModel):
    """BasicSR's SRModel for networks that upscale a whole image to any size.

    Images are scored by their set's ``protocol``, and shared among the processes.

    Args:
        opt: BasicSR's options, with all defaults filled in.
    """

    def __init__(self, opt: dict[str, Any]) -> None:
        metrics = opt["val"]["metrics"] or {}
        self.all_metrics = {name: dict(options) for name, options in metrics.items()}
        self.metric_results: dict[str, float] = dict.fromkeys(self.all_metrics, 0.0)  # BasicSR logs these
        super().__init__(opt)
        get_root_logger().info(f"Device: {self.device}")

    def validation(self, dataloader: Any, current_iter: Any, tb_logger: Any, save_img: bool = False) -> None:
        """Score one set; BasicSR's loops call it after training steps, and for each set of a test.

        Args:
            dataloader: Only its data set is used; the processes share the images.
            current_iter: The training step; the run's name in a test.
            tb_logger: TensorBoard writer for the scores and a crop of the first image, or None.
            save_img: Whether to save the upscaled images.
        """
        validation = Validation(dataloader.dataset, self.opt)
        get_root_logger().info(f"Validating {validation.name} ({validation.protocol})")
        for batch in validation.batches(pin_memory=dataloader.pin_memory):
            self.feed_data(batch)
            start = self._now()
            self.test()
            image = Upscaled(self.lq, self.output, self.gt, seconds=self._now() - start)
            validation.add(batch, image)
            if save_img:
                validation.save(batch, image, current_iter)
            del image, self.lq, self.gt, self.output
            torch.cuda.empty_cache()
        images = validation.finish()
        if tb_logger and validation.crops is not None:
            tb_logger.add_image(f"crops/{validation.name}", validation.crops, current_iter)
        if self.all_metrics:
            means = {metric: mean(image.metrics[metric] for image in images) for metric in self.all_metrics}
            self.report_scores(validation.name, means, current_iter, tb_logger)

    def report_scores(self, set_name: str, means: dict[str, float], current_iter: Any, tb_logger: Any) -> None:
        """Log the mean of every metric over a set."""
        self.metric_results = means
        self._log_validation_metric_values(current_iter, set_name, tb_logger)

    def test(self) -> None:
        """Upscale the current image to the size of its ground truth."""
        net = getattr(self, "net_g_ema", None) or self.get_bare_model(self.net_g)
        training = net.training
        net.eval()
        size = (self.gt.shape[-2], self.gt.shape[-1])
        self.output = upscale_ensemble(net.upscale, self.lq, size, self.opt["val"]["self_ensemble"])
        net.train(training)

    def _now(self) -> float:
        """The time in seconds, after waiting for the device."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.monotonic()
