"""Training with sampled queries, stage after stage, in BasicSR's trainer."""

import math
import os
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from basicsr.models.sr_model import SRModel
from basicsr.utils import get_root_logger
from basicsr.utils.dist_util import master_only
from basicsr.utils.registry import MODEL_REGISTRY
from torch import Tensor, nn
from torch.utils.data import DataLoader

from clit_plugin.archs.weights import check_finite, choose_param_key, load_stage, read_checkpoint, read_weights
from clit_plugin.basicsr_bridge.checkpoint_pairs import drop_old
from clit_plugin.basicsr_bridge.run_log import append, centre_crops, curves_file
from clit_plugin.config.sections import with_defaults
from clit_plugin.data.dataset_options import SET_BY_BASICSR
from clit_plugin.evaluation.report.extreme_crops import ExtremeCrops
from clit_plugin.evaluation.results import StoredResults, mean
from clit_plugin.fast.fused_choice import set_fused
from clit_plugin.metrics.scoring import score_image
from clit_plugin.models.captured_step import CapturedStep
from clit_plugin.models.guarded_step import Batch, GuardedStep
from clit_plugin.models.loss_curves import LossCurves, Pace, total_scale
from clit_plugin.models.resume import differences, plain, resume_optimizer, resume_scheduler
from clit_plugin.ops.self_ensemble import upscale_ensemble
from clit_plugin.utils import progress
from clit_plugin.utils.atomic_files import save_whole
from clit_plugin.utils.distributed import from_all_ranks, from_first_rank
from clit_plugin.utils.errors import UserError
from clit_plugin.utils.signals import stop_requested

_AUTOCAST = {False: None, True: torch.bfloat16, "bfloat16": torch.bfloat16, "float16": torch.float16}


@MODEL_REGISTRY.register()
class CumulativeScaleModel(SRModel):
    """BasicSR's SRModel for networks that are trained on sampled queries and tested on whole images.

    The loss is that of ``train.pixel_opt`` on the last branch's output. A stage takes over the weights of the one
    before (``path.pretrain_network_g``); only a new branch may be missing there. Validation scores by each set's
    ``protocol`` and shares the images out over the processes.
    """

    def __init__(self, opt: dict[str, Any]) -> None:
        opt = with_defaults(opt)
        metrics = opt["val"]["metrics"] or {}
        self.all_metrics = {name: dict(options) for name, options in metrics.items()}
        self.metric_results: dict[str, float] = dict.fromkeys(self.all_metrics, 0.0)
        self.epoch = self.current_iter = 0
        self.fresh: list[str] = []
        self.pace = Pace()
        self.validated: dict[str, int] = {}
        self.step_scores: dict[str, tuple[int, float]] = {}  # by set: when, and the metric of keep_best
        if opt["is_train"]:
            self.run_options = _kept_options(opt)  # before BasicSR takes types out of them
        super().__init__(opt)
        get_root_logger().info(f"Device: {self.device}")

    def model_to_device(self, net: nn.Module) -> nn.Module:
        if self.is_train and self.opt["train"]["channels_last"]:
            net.encoder.to(memory_format=torch.channels_last)
        # A test has no gradients to exchange, and the wrapper refuses networks without weights.
        return super().model_to_device(net) if self.is_train else net.to(self.device)

    # ------------------------------------------------------------------ weights

    def load_network(
        self, net: nn.Module, load_path: str, strict: bool = True, param_key: str | None = "params"
    ) -> None:
        """Load weights; in training, and not on resume, a whole new branch may be missing.

        In a test ``auto``, or none, means the averaged weights where there are some.

        Raises:
            UserError: Anything else differs (``strict_load_g: false`` is not supported: nothing is passed over).
        """
        if not strict:
            raise UserError("path.strict_load_g: false is not supported; a new branch may be missing in any case")
        new_stage = self.is_train and not self.opt["path"].get("resume_state")
        if not self.is_train:
            param_key = choose_param_key(read_checkpoint(load_path), param_key or "auto", load_path)
        weights = read_weights(load_path, param_key)
        self.fresh = load_stage(self.get_bare_model(net), weights, load_path, allow_new_branches=new_stage)
        get_root_logger().info(f"Loaded {load_path} [{param_key}]; new: {', '.join(self.fresh) or 'nothing'}")

    def init_training_settings(self) -> None:
        super().init_training_settings()
        branches = getattr(self.get_bare_model(self.net_g), "num_branches", 1)
        self.curves = LossCurves(num_branches=branches, device=self.device)
        set_fused(self.opt["train"]["fused"])
        self.captured_step: CapturedStep | None = None
        train = self.opt["train"]
        self.accumulate, self.autocast = train["accumulate"], _AUTOCAST[train["amp"]]
        scaler = torch.amp.GradScaler(self.device.type) if self.autocast is torch.float16 else None
        self.guarded_step = GuardedStep(
            self.optimizer_g,
            device=self.device,
            max_skipped=train["max_skipped"],
            grad_clip=train["grad_clip"],
            scaler=scaler,
        )
        if train["cuda_graphs"]:
            if self.device.type == "cuda" and not self.opt["dist"] and self.accumulate == 1 and scaler is None:
                self.captured_step = CapturedStep(self.net_g, self._output_and_loss)
            else:
                needs = "one process on a GPU, without train.accumulate and float16"
                get_root_logger().info(f"train.cuda_graphs: ignored, needs {needs}")
        if self.ema_decay > 0 and self.fresh:
            # BasicSR initialises the averaged network on its own; a new branch is to start as the trained one does.
            trained = self.get_bare_model(self.net_g).state_dict()
            new = {name: value for name, value in trained.items() if name.startswith(tuple(self.fresh))}
            self.net_g_ema.load_state_dict(new, strict=False)

    @master_only
    def save_network(self, net: Any, net_label: str, current_iter: int, param_key: str | list[str] = "params") -> None:
        """Write weights in BasicSR's layout, whole or not at all, with what is needed to build the network again.

        Raises:
            UserError: They are not finite, or cannot be written.
        """
        name = "latest" if current_iter == -1 else str(current_iter)
        self._save_weights(f"{net_label}_{name}.pth", net, param_key)

    def _save_weights(self, name: str, net: Any, param_key: str | list[str], **more: Any) -> None:
        path = Path(self.opt["path"]["models"]) / name
        nets = net if isinstance(net, list) else [net]
        keys = param_key if isinstance(param_key, list) else [param_key]
        content: dict[str, Any] = {
            key: {name: value.cpu() for name, value in self.get_bare_model(one).state_dict().items()}
            for one, key in zip(nets, keys, strict=True)
        }
        for key in keys:
            check_finite(content[key], f"{os.path.relpath(path)}: not written")
        save_whole({**content, "network_g": plain(self.opt["network_g"]), "iter": self.current_iter, **more}, path)

    @master_only
    def save_training_state(self, epoch: int, current_iter: int) -> None:
        """Write what a resume needs, whole or not at all; the weights of this iteration are on disk already."""
        if current_iter == -1:
            return
        state = {
            "epoch": epoch,
            "iter": current_iter,
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "schedulers": [scheduler.state_dict() for scheduler in self.schedulers],
            "scaler": self.guarded_step.state_dict(),
            "options": self.run_options,
            "best_metric_results": getattr(self, "best_metric_results", {}),
        }
        states = Path(self.opt["path"]["training_states"])
        save_whole(state, states / f"{current_iter}.state")
        if keep := self.opt["logger"]["keep"]:
            drop_old(states, Path(self.opt["path"]["models"]), keep=keep)

    def resume_training(self, resume_state: dict[str, Any]) -> None:
        """Go on from a state, with the options of now; what is other than it was is logged.

        Raises:
            UserError: Something has changed that cannot change on the way.
        """
        self.epoch, self.current_iter = resume_state["epoch"], resume_state["iter"]
        total = self.opt["train"]["total_iter"]
        if total < self.current_iter:
            raise UserError(f"train.total_iter: {total}, but the state to resume from is of step {self.current_iter}")
        old = resume_state.get("options", self.run_options)  # states of before do not tell
        changed = [
            change
            for change in differences(old, self.run_options)
            if not change.startswith(("train.optim_g.", "train.scheduler."))
        ]
        for optimizer, saved in zip(self.optimizers, resume_state["optimizers"], strict=True):
            changed += resume_optimizer(optimizer, saved)
        warm_up = old["train"]["warmup_iter"] != self.opt["train"]["warmup_iter"]
        for scheduler, saved in zip(self.schedulers, resume_state["schedulers"], strict=True):
            changed += resume_scheduler(scheduler, saved, anew=warm_up)
        if changed:
            get_root_logger().warning(f"Resuming with options that have changed: {'; '.join(changed)}")
        self.guarded_step.load_state_dict(resume_state.get("scaler", {}))
        best = resume_state.get("best_metric_results", {})
        # Sets and metrics that were added since start without a best value.
        self.best_metric_results = {name: of for name, of in best.items() if of.keys() == self.all_metrics.keys()}

    # ------------------------------------------------------------------ training

    def get_optimizer(self, optim_type: str, params: Any, lr: float, **options: Any) -> torch.optim.Optimizer:
        """BasicSR's; on a GPU in its fused form, which can skip a step without asking the host."""
        if self.device.type == "cuda" and not options.get("foreach") and not options.get("differentiable"):
            options.setdefault("fused", True)
        return super().get_optimizer(optim_type, params, lr, **options)

    def feed_data(self, data: dict[str, Any]) -> None:
        if "coord" in data:
            self.pace.step()
        super().feed_data(data)
        if "coord" in data:
            self.coord, self.cell = data["coord"].to(self.device), data["cell"].to(self.device)
            self.stage_sizes = data["stage_sizes"][0].tolist()  # one list of scales a batch
            self.epoch = int(data["epoch"][0])
            self.files = data["gt_path"]
            progress.made(f"step {self.current_iter + 1}")
        else:
            self.image_name = data["name"][0]
            progress.made(f"the validation of {self.image_name}")
            self.scale = data["scale"][0].tolist()

    def optimize_parameters(self, current_iter: int) -> None:
        self.current_iter = current_iter
        # What a network draws at random, as SwinIR's drop path, follows from the step too: a resume repeats it.
        torch.manual_seed(step_seed(self.opt["manual_seed"], current_iter, self.opt["rank"]))
        inputs = (self.lq, self.coord, self.cell, self.gt)
        if self.captured_step is not None:
            self.output, loss = self.captured_step(inputs, self.stage_sizes)
        else:
            self.optimizer_g.zero_grad()
            self.output, loss = self._forward_and_backward(inputs)
        scale = total_scale(self.lq, self.cell)
        self.guarded_step(loss, current_iter, Batch(self.files, scale))
        self.curves.add(loss, scale=scale, branches=len(self.stage_sizes) + 1)
        if self.ema_decay > 0:
            self.model_ema(decay=self.ema_decay)
        progress.made(f"the end of step {current_iter}")
        self._stop_if_requested()

    def get_current_log(self) -> OrderedDict[str, float]:
        """What BasicSR's logger prints; ``time`` takes the place of its own, which times launches only on a GPU."""
        log = OrderedDict(self.curves.read() | self.guarded_step.read())
        log["time"] = self.pace.read()
        log["images_per_second"] = len(self.lq) * self.opt["world_size"] / log["time"]
        return log

    def save(self, epoch: int, current_iter: int) -> None:
        with self.pace.paused():
            super().save(epoch, current_iter)
        progress.made(f"the checkpoint of step {self.current_iter}")

    def _forward_and_backward(self, inputs: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Output and loss of a batch, computed in equal parts one after the other; the gradients are the batch's."""
        outputs, losses = [], []
        share = 1 if getattr(self.cri_pix, "reduction", "mean") == "sum" else 1 / self.accumulate
        for number, part in enumerate(zip(*(x.chunk(self.accumulate) for x in inputs), strict=True), start=1):
            wait = self.opt["dist"] and number < self.accumulate  # processes exchange gradients once a step
            with self.net_g.no_sync() if wait else nullcontext():
                output, loss = self._output_and_loss(part, self.stage_sizes)
                loss = loss if self.accumulate == 1 else loss * share
                scaler = self.guarded_step.scaler
                (loss if scaler is None else scaler.scale(loss)).backward()
            outputs.append(output.detach())
            losses.append(loss.detach())
        return torch.cat(outputs), torch.stack(losses).sum()

    def _output_and_loss(self, inputs: Sequence[Tensor], stage_sizes: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
        """Of a step's (lq, coord, cell, gt)."""
        lq, coord, cell, gt = inputs
        with torch.autocast(self.device.type, self.autocast, enabled=self.autocast is not None):
            output = self.net_g(lq, coord, cell, stage_sizes)
        return output, self.cri_pix(output.float(), gt)

    def model_ema(self, decay: float = 0.999) -> None:
        """BasicSR's average of the weights, in a few launches instead of two for every tensor."""
        averaged = dict(self.net_g_ema.named_parameters())
        trained = dict(self.get_bare_model(self.net_g).named_parameters())
        with torch.no_grad():
            torch._foreach_mul_(list(averaged.values()), decay)
            torch._foreach_add_(list(averaged.values()), [trained[name] for name in averaged], alpha=1 - decay)

    def _stop_if_requested(self) -> None:
        """Save and stop; rank 0 decides, as two ranks may see a signal on different sides of a step."""
        if stop_requested() and self.is_train and self.opt["rank"] == 0:
            self.save(self.epoch, self.current_iter)
            raise KeyboardInterrupt

    # ------------------------------------------------------------------ validation

    def validation(self, dataloader: Any, current_iter: Any, tb_logger: Any, save_img: bool = False) -> None:
        """As BasicSR's, but once a step: BasicSR validates the last one again, as the step behind it."""
        if self.is_train:
            name, current_iter = dataloader.dataset.opt["name"], self.current_iter
            if self.validated.get(name) == current_iter:
                return
            self.validated[name] = current_iter
        with self.pace.paused():
            super().validation(dataloader, current_iter, tb_logger, save_img)
            if self.is_train and self.opt["logger"]["keep_best"] and self.opt["rank"] == 0:
                self._keep_best(self.opt["logger"]["keep_best"], name)

    def _keep_best(self, metric: str, set_name: str) -> None:
        """Keep the weights that are best by a metric's mean over all sets, once the last of them is validated.

        The file itself says how good it is, so that a resume need not know.
        """
        self.step_scores[set_name] = (self.current_iter, self.metric_results[metric])
        scores = [score for step, score in self.step_scores.values() if step == self.current_iter]
        if len(scores) < sum(name.startswith("val") for name in self.opt["datasets"]):
            return
        value, sign = mean(scores), -1 if self.all_metrics[metric].get("better") == "lower" else 1
        path = Path(self.opt["path"]["models"]) / "net_g_best.pth"
        best = read_checkpoint(path).get("best", {}) if path.is_file() else {}
        worse = best.get("metric") == metric and not sign * value > sign * best["value"]
        if worse or not math.isfinite(value):
            return
        nets = [net for net in (self.net_g, getattr(self, "net_g_ema", None)) if net is not None]
        self._save_weights(
            path.name, nets, ["params", "params_ema"][: len(nets)], best={"metric": metric, "value": value}
        )
        get_root_logger().info(f"Best {metric} so far, {value:.4f}: {path.name}")

    def dist_validation(self, dataloader: Any, current_iter: Any, tb_logger: Any, save_img: bool) -> None:
        """Every rank takes its share of the images."""
        self.nondist_validation(dataloader, current_iter, tb_logger, save_img)

    def nondist_validation(self, dataloader: Any, current_iter: Any, tb_logger: Any, save_img: bool) -> None:
        """BasicSR's loop over this rank's images, each scored by the set's protocol; then all ranks' scores together.

        A test keeps every image's scores as it goes, and does not repeat those that it finds kept.
        """
        dataset = dataloader.dataset
        name, self.protocol = dataset.opt["name"], dataset.protocol
        get_root_logger().info(f"Validating {name} ({self.protocol})")
        self.header: dict[str, Any] = (self.opt.get("evaluation") or {}).get(name, {})
        store = StoredResults(self.opt["path"]["results_root"]) if self.header else None
        known = from_first_rank(store.partial(self.header) if store else {})
        psnr = next((name for name, one in self.all_metrics.items() if one.get("type") == "psnr_float"), None)
        self.extremes = ExtremeCrops(store.crops(self.header), psnr) if store and psnr else None
        self.scores: list[dict[str, Any]] = []
        self.crops: Tensor | None = None
        todo = [i for i, image in enumerate(dataset.names) if image not in known]
        share = todo[self.opt["rank"] :: self.opt["world_size"]]
        if share:
            loader = DataLoader(dataset, batch_size=1, sampler=share, pin_memory=dataloader.pin_memory)
            options = self.opt["val"]
            # The loop is left with the images; tensors, and so the metrics, are scored in test().
            self.opt["val"] = {**options, "metrics": None, "pbar": options["pbar"] and self.opt["rank"] == 0}
            try:
                super().nondist_validation(loader, current_iter, tb_logger, save_img)
            finally:
                self.opt["val"] = options
        known |= {image["image"]: image for scores in from_all_ranks(self.scores) for image in scores}
        images = [known[image] for image in dataset.names]
        if store and self.opt["rank"] == 0:
            store.finish(self.header, images)
            if self.extremes:
                self.extremes.finish(images)
        if tb_logger and self.crops is not None:
            tb_logger.add_image(f"crops/{name}", self.crops, current_iter)
        if self.all_metrics:
            self._report_scores(images, name, current_iter, tb_logger)

    def _report_scores(self, images: list[dict[str, Any]], name: str, current_iter: Any, tb_logger: Any) -> None:
        for metric in self.all_metrics:
            self.metric_results[metric] = mean(image["metrics"][metric] for image in images)
        if self.is_train:
            self._initialize_best_metric_results(name)
            for metric, value in self.metric_results.items():
                self._update_best_metric_result(name, metric, value, current_iter)
            if self.opt["rank"] == 0:
                append(curves_file(self.opt), {"iter": current_iter, "set": name, "metrics": self.metric_results})
        self._log_validation_metric_values(current_iter, name, tb_logger)

    def test(self) -> None:
        """Upscale the image and score it."""
        self._stop_if_requested()
        net = getattr(self, "net_g_ema", None) or self.get_bare_model(self.net_g)
        training = net.training
        net.eval()
        size = (self.gt.shape[-2], self.gt.shape[-1])
        begun = self._now()
        self.output = upscale_ensemble(net.upscale, self.lq, size, self.opt["val"]["self_ensemble"])
        seconds = self._now() - begun
        net.train(training)
        if self.is_train and self.crops is None:  # of the set's first image, on rank 0
            self.crops = centre_crops(self.output, self.gt)
        try:
            metrics = score_image(
                self.output, self.gt, metrics=self.all_metrics, protocol=self.protocol, scale=max(self.scale)
            )
        except UserError as error:
            raise UserError(f"{self.image_name}: {error}") from error
        image = {"image": self.image_name, "lq_size": list(self.lq.shape[-2:]), "gt_size": list(self.gt.shape[-2:])}
        image |= {"scale": self.scale, "shave": self.protocol.shave(max(self.scale)), "metrics": metrics}
        self.scores.append(image)
        if self.header:
            image["seconds"] = round(seconds, 4)
            StoredResults(self.opt["path"]["results_root"]).append(self.header, self.opt["rank"], image)
            if self.extremes:
                self.extremes.consider(self.scores, image, lq=self.lq, sr=self.output, gt=self.gt)

    def _now(self) -> float:
        """Seconds, once the device has done what it was given."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.monotonic()


def step_seed(seed: int, current_iter: int, rank: int) -> int:
    """Seed of one step of one process."""
    return int(np.random.SeedSequence((seed, current_iter, rank)).generate_state(1)[0])


def _kept_options(opt: Mapping[str, Any]) -> dict[str, Any]:
    """The options that say what a training computes; a state holds them."""
    train_set = {key: value for key, value in opt["datasets"]["train"].items() if key not in SET_BY_BASICSR}
    kept = {key: opt[key] for key in ("manual_seed", "network_g", "train")}
    return dict(plain({**kept, "datasets": {"train": train_set}}))
