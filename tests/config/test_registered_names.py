"""Names in option files: architectures, encoders, losses, metrics and schedulers must be registered."""

import pytest

from clit_plugin.config.option_checks import check_options

UNKNOWN = [
    ("network_g: {type: CLTI}", "network_g.type", "CLTI", "CLIT"),
    ("network_g: {encoder: {type: EDSRBasline}}", "network_g.encoder.type", "EDSRBasline", "EDSRBaseline"),
    ("train: {optim_g: {type: Adma}}", "train.optim_g.type", "Adma", "Adam"),
    ("train: {scheduler: {type: MultiStep}}", "train.scheduler.type", "MultiStep", "MultiStepLR"),
    ("train: {pixel_opt: {type: L1}}", "train.pixel_opt.type", "L1", None),
    ("train: {pixel_opt: {type: L1Los}}", "train.pixel_opt.type", "L1Los", "L1Loss"),
    ("val: {metrics: {psnr: {type: pnsr_float}}}", "val.metrics.psnr.type", "pnsr_float", "psnr_float"),
    ("model_type: CumulativeModel", "model_type", "CumulativeModel", "CumulativeScaleModel"),
    ("datasets: {val: {protocol: div2}}", "datasets.val.protocol", "div2", "div2k"),
    ("datasets: {val: {protocol: benchmarks}}", "datasets.val.protocol", "benchmarks", "benchmark"),
    ("datasets: {train: {type: VideoTestDataset}}", "datasets.train.type", "VideoTestDataset", None),
    ("path: {param_key_g: ema}", "path.param_key_g", "ema", None),
]


@pytest.mark.parametrize(("text", "key", "value", "nearest"), UNKNOWN, ids=[f"{u[1]}={u[2]}" for u in UNKNOWN])
def test_an_unknown_name_is_refused_with_the_nearest(refused, text, key, value, nearest):
    message = refused(text)
    assert message.startswith(f"{key}: expected one of ")
    assert f", got '{value}'" in message
    assert nearest is None or message.endswith(f"; did you mean {nearest}?")


def test_a_fixed_scale_architecture_is_refused(refused):
    """BasicSR's own have no ``upscale``, and would fail at the first step."""
    message = refused("network_g: {_delete_: true, type: RRDBNet}")
    assert message.startswith("network_g.type: expected one of ")
    assert message.split("; did you mean")[0].endswith(", got 'RRDBNet'")


@pytest.mark.parametrize("name", ["calculate_psnr_pt", "calculate_ssim_pt"])
def test_a_metric_that_takes_tensors_is_refused(refused, name):
    """BasicSR's loop hands out arrays of bytes, on which they fail at the first validation."""
    message = refused(f"val: {{metrics: {{psnr: {{type: {name}}}}}}}")
    assert message.startswith("val.metrics.psnr.type: expected one of")


@pytest.mark.parametrize("name", ["PerceptualLoss", "GANLoss", "WeightedTVLoss"])
def test_a_loss_that_cannot_take_sampled_colours_is_refused(refused, name):
    extra = ", gan_type: vanilla" if name == "GANLoss" else ""
    message = refused(f"train: {{pixel_opt: {{_delete_: true, type: {name}{extra}}}}}")
    assert message.startswith("train.pixel_opt")


@pytest.mark.parametrize("name", ["L1Loss", "MSELoss", "CharbonnierLoss"])
def test_a_loss_of_basicsr_that_takes_sampled_colours_is_accepted(good, name):
    good["train"]["pixel_opt"] = {"type": name, "loss_weight": 0.5}
    assert check_options(good, is_train=True).train.pixel_opt["type"] == name


@pytest.mark.parametrize("name", ["psnr_float", "ssim_float", "calculate_psnr", "calculate_ssim", "calculate_niqe"])
def test_a_metric_that_takes_images_is_accepted(good, name):
    good["val"]["metrics"] = {"m": {"type": name, "better": "lower", "crop_border": 3}}
    assert check_options(good, is_train=True).val.metrics["m"]["type"] == name


@pytest.mark.parametrize("name", ["MultiStepLR", "MultiStepRestartLR"])
def test_both_names_of_the_step_scheduler_are_accepted(good, name):
    good["train"]["scheduler"]["type"] = name
    assert check_options(good, is_train=True).train.scheduler["type"] == name
