"""The model class that BasicSR's training loop drives: training on sampled queries, stage by stage."""

import os
from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch
from basicsr.utils import get_root_logger
from basicsr.utils.dist_util import master_only
from basicsr.utils.registry import MODEL_REGISTRY
from torch import nn

from clit_plugin.archs.weights import check_finite, choose_param_key, load_weights, read_checkpoint, select_weights
from clit_plugin.basicsr_bridge.checkpoint_pairs import drop_old
from clit_plugin.basicsr_bridge.run_log import append, curves_file
from clit_plugin.config.sections import with_defaults
from clit_plugin.fast.fused_choice import set_fused
from clit_plugin.models.any_scale_model import AnyScaleModel
from clit_plugin.models.best_weights import BestWeights
from clit_plugin.models.guarded_step import Batch, GuardedStep
from clit_plugin.models.loss_curves import LossCurves, Pace, total_scale
from clit_plugin.models.loss_gradients import LossGradients, seed_step
from clit_plugin.models.resume import plain, resume, training_options
from clit_plugin.utils import progress
from clit_plugin.utils.atomic_files import save_whole
from clit_plugin.utils.errors import UserError
from clit_plugin.utils.signals import stop_requested

_AUTOCAST = {False: None, True: torch.bfloat16, "bfloat16": torch.bfloat16, "float16": torch.float16}


@MODEL_REGISTRY.register()
class CumulativeScaleModel(AnyScaleModel):
    """Trains a network on sampled queries, stage by stage; testing is inherited from ``AnyScaleModel``.

    The loss is that of ``train.pixel_opt`` on the last branch's output. A stage starts from the weights of the
    previous one (``path.pretrain_network_g``), in which only the new branch may be missing.
    """

    def __init__(self, opt: dict[str, Any]) -> None:
        opt = with_defaults(opt)
        self.epoch = self.current_iter = 0
        self.new_branches: list[str] = []  # prefixes of parameters that the loaded weights lack
        self.pace = Pace()
        self.validated: dict[str, int] = {}  # step of each set's last validation
        if opt["is_train"]:
            self.run_options = training_options(opt)
        super().__init__(opt)

    def model_to_device(self, net: nn.Module) -> nn.Module:
        if self.is_train and self.opt["train"]["channels_last"]:
            net.encoder.to(memory_format=torch.channels_last)
        # A test has no gradients to exchange, and the wrapper refuses networks without weights.
        return super().model_to_device(net) if self.is_train else net.to(self.device)

    # ------------------------------------------------------------------ weights

    def load_network(
        self, net: nn.Module, load_path: str, strict: bool = True, param_key: str | None = "params"
    ) -> None:
        """Load weights; in training, except on a resume, all weights of a new branch may be missing.

        In a test, ``param_key`` ``auto`` or None selects the averaged weights if there are any.

        Raises:
            UserError: Other weights are missing, unexpected or of other shapes, or ``strict`` is false.
        """
        if not strict:
            raise UserError("path.strict_load_g: false is not supported; a new branch may be missing in any case")
        new_stage = self.is_train and not self.opt["path"].get("resume_state")
        checkpoint = read_checkpoint(load_path)
        if not self.is_train:
            param_key = choose_param_key(checkpoint, param_key or "auto", load_path)
        weights = select_weights(checkpoint, param_key, load_path)
        self.new_branches = load_weights(self.get_bare_model(net), weights, load_path, allow_new_branches=new_stage)
        new = ", ".join(self.new_branches) or "nothing"
        get_root_logger().info(f"Loaded {load_path} [{param_key}]; new: {new}")

    @master_only
    def save_network(self, net: Any, net_label: str, current_iter: int, param_key: str | list[str] = "params") -> None:
        """Write weights in BasicSR's layout, atomically, with the options that rebuild the network.

        Raises:
            UserError: They are not finite, or cannot be written.
        """
        name = "latest" if current_iter == -1 else str(current_iter)
        nets = net if isinstance(net, list) else [net]
        keys = param_key if isinstance(param_key, list) else [param_key]
        self._save_weights(f"{net_label}_{name}.pth", dict(zip(keys, nets, strict=True)))

    def _save_weights(self, name: str, nets: dict[str, nn.Module], **more: Any) -> None:
        path = Path(self.opt["path"]["models"]) / name
        content: dict[str, Any] = {}
        for key, net in nets.items():
            content[key] = {name: value.cpu() for name, value in self.get_bare_model(net).state_dict().items()}
            check_finite(content[key], f"{os.path.relpath(path)}: not written")
        save_whole({**content, "network_g": plain(self.opt["network_g"]), "iter": self.current_iter, **more}, path)

    @master_only
    def save_training_state(self, epoch: int, current_iter: int) -> None:
        """Write what a resume needs, atomically; BasicSR saves the weights of the step first."""
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
        """Resume from a state with the current options; changes are logged.

        Raises:
            UserError: Something has changed that cannot change on a resume.
        """
        self.epoch, self.current_iter = resume_state["epoch"], resume_state["iter"]
        if changed := resume(resume_state, self.run_options, self.optimizers, self.schedulers):
            get_root_logger().warning(f"Resuming with options that have changed: {'; '.join(changed)}")
        self.guarded_step.load_state_dict(resume_state.get("scaler", {}))
        best = resume_state.get("best_metric_results", {})
        # Sets whose metrics have changed start without best values.
        self.best_metric_results = {name: old for name, old in best.items() if old.keys() == self.all_metrics.keys()}

    # ------------------------------------------------------------------ training

    def init_training_settings(self) -> None:
        super().init_training_settings()
        train = self.opt["train"]
        branches = getattr(self.get_bare_model(self.net_g), "num_branches", 1)
        self.curves = LossCurves(num_branches=branches, device=self.device)
        set_fused(train["fused"])
        autocast, accumulate = _AUTOCAST[train["amp"]], train["accumulate"]
        scaler = torch.amp.GradScaler(self.device.type) if autocast is torch.float16 else None
        self.guarded_step = GuardedStep(
            self.optimizer_g,
            device=self.device,
            max_skipped=train["max_skipped"],
            grad_clip=train["grad_clip"],
            scaler=scaler,
        )
        can_capture = self.device.type == "cuda" and not self.opt["dist"] and accumulate == 1 and scaler is None
        if train["cuda_graphs"] and not can_capture:
            needs = "one process on a GPU, without train.accumulate and float16"
            get_root_logger().info(f"train.cuda_graphs: ignored, needs {needs}")
        self.loss_gradients = LossGradients(
            self.net_g,
            self.cri_pix,
            device=self.device,
            autocast=autocast,
            accumulate=accumulate,
            scaler=scaler,
            captured=train["cuda_graphs"] and can_capture,
        )
        self.best_weights = BestWeights.of(self.opt)
        if self.ema_decay > 0 and self.new_branches:
            # BasicSR initialises the averaged network separately; its new branch must start from the same weights.
            trained = self.get_bare_model(self.net_g).state_dict()
            new = {name: value for name, value in trained.items() if name.startswith(tuple(self.new_branches))}
            self.net_g_ema.load_state_dict(new, strict=False)

    def get_optimizer(self, optim_type: str, params: Any, lr: float, **options: Any) -> torch.optim.Optimizer:
        """BasicSR's optimiser; on a GPU the fused one, which can skip a step without synchronising with the host."""
        if self.device.type == "cuda" and not options.get("foreach") and not options.get("differentiable"):
            options.setdefault("fused", True)
        return super().get_optimizer(optim_type, params, lr, **options)

    def feed_data(self, data: dict[str, Any]) -> None:
        """Take a training batch, or the single image of a validation batch."""
        if "coord" in data:
            self.pace.step()
        super().feed_data(data)
        if "coord" in data:
            self.coord, self.cell = data["coord"].to(self.device), data["cell"].to(self.device)
            self.stage_sizes = data["stage_sizes"][0].tolist()  # the same for the whole batch
            self.epoch = int(data["epoch"][0])
            self.files = data["gt_path"]
            progress.report(f"step {self.current_iter + 1}")
        else:
            self._stop_if_requested()
            progress.report(f"the validation of {data['name'][0]}")

    def optimize_parameters(self, current_iter: int) -> None:
        self.current_iter = current_iter
        seed_step(self.opt["manual_seed"], current_iter, self.opt["rank"])
        self.output, loss = self.loss_gradients((self.lq, self.coord, self.cell, self.gt), self.stage_sizes)
        scale = total_scale(self.lq, self.cell)
        self.guarded_step(loss, current_iter, Batch(self.files, scale))
        self.curves.add(loss, scale=scale, branches=len(self.stage_sizes) + 1)
        if self.ema_decay > 0:
            self.model_ema(decay=self.ema_decay)
        progress.report(f"the end of step {current_iter}")
        self._stop_if_requested()

    def model_ema(self, decay: float = 0.999) -> None:
        """Update the averaged weights as BasicSR does, in a few kernel launches instead of two per tensor."""
        averaged = dict(self.net_g_ema.named_parameters())
        trained = dict(self.get_bare_model(self.net_g).named_parameters())
        with torch.no_grad():
            torch._foreach_mul_(list(averaged.values()), decay)
            torch._foreach_add_(list(averaged.values()), [trained[name] for name in averaged], alpha=1 - decay)

    def get_current_log(self) -> OrderedDict[str, float]:
        """What BasicSR's logger prints. ``time`` replaces BasicSR's, which on a GPU only measures kernel launches."""
        log = OrderedDict(self.curves.read() | self.guarded_step.read())
        log["time"] = self.pace.read()
        log["images_per_second"] = len(self.lq) * self.opt["world_size"] / log["time"]
        return log

    def save(self, epoch: int, current_iter: int) -> None:
        with self.pace.paused():
            super().save(epoch, current_iter)
        progress.report(f"the checkpoint of step {self.current_iter}")

    def _stop_if_requested(self) -> None:
        """Save and stop if a signal asked for it. Rank 0 decides, as ranks may see a signal at different steps."""
        if stop_requested() and self.is_train and self.opt["rank"] == 0:
            self.save(self.epoch, self.current_iter)
            raise KeyboardInterrupt

    # ------------------------------------------------------------------ validation

    def validation(self, dataloader: Any, current_iter: Any, tb_logger: Any, save_img: bool = False) -> None:
        """Validate as ``AnyScaleModel`` does; in training once per step, not counted as training time.

        BasicSR validates the last step twice, the second time under the number of the next step.
        """
        if not self.is_train:
            super().validation(dataloader, current_iter, tb_logger, save_img)
        elif self.validated.get(name := dataloader.dataset.opt["name"]) != self.current_iter:
            self.validated[name] = self.current_iter
            with self.pace.paused():
                super().validation(dataloader, self.current_iter, tb_logger, save_img)

    def report_scores(self, set_name: str, means: dict[str, float], current_iter: Any, tb_logger: Any) -> None:
        """Log the means; in training, also compare them with the best so far."""
        if self.is_train:
            self._initialize_best_metric_results(set_name)
            for metric, value in means.items():
                self._update_best_metric_result(set_name, metric, value, current_iter)
            if self.opt["rank"] == 0:
                append(curves_file(self.opt), {"iter": current_iter, "set": set_name, "metrics": means})
        super().report_scores(set_name, means, current_iter, tb_logger)
        if self.is_train and self.best_weights is not None and self.opt["rank"] == 0:
            self._keep_best(self.best_weights, set_name, means)

    def _keep_best(self, best: BestWeights, set_name: str, means: dict[str, float]) -> None:
        value = best.improved(set_name, self.current_iter, means[best.metric])
        if value is not None:
            nets = {"params": self.net_g} | ({"params_ema": self.net_g_ema} if self.ema_decay > 0 else {})
            self._save_weights(best.file.name, nets, best={"metric": best.metric, "value": value})
            get_root_logger().info(f"Best {best.metric} so far, {value:.4f}: {best.file.name}")
