"""Keys of option files: what is unknown or missing is refused, all of it at once."""

import pytest

from clit_plugin.config.option_checks import check_options
from clit_plugin.utils.errors import UserError

MISSPELT = [
    ("nmae: x", "nmae", "name"),
    ("network: {}", "network", "network_g"),
    ("manual_seeds: 1", "manual_seeds", "manual_seed"),
    ("path: {pretrain_network: x.pth}", "path.pretrain_network", "pretrain_network_g"),
    ("path: {param_key: params}", "path.param_key", "param_key_g"),
    ("train: {total_iters: 5}", "train.total_iters", "total_iter"),
    ("train: {ema_decya: 0.9}", "train.ema_decya", "ema_decay"),
    ("train: {optim_g: {weigth_decay: 0.1}}", "train.optim_g.weigth_decay", "weight_decay"),
    ("train: {scheduler: {milestone: [1]}}", "train.scheduler.milestone", "milestones"),
    ("train: {pixel_opt: {loss_wieght: 1.0}}", "train.pixel_opt.loss_wieght", "loss_weight"),
    ("val: {val_frq: 5}", "val.val_frq", "val_freq"),
    ("val: {metrics: {psnr: {crop_boarder: 4}}}", "val.metrics.psnr.crop_boarder", "crop_border"),
    ("val: {metrics: {p: {type: calculate_psnr, input_ordre: HWC}}}", "val.metrics.p.input_ordre", "input_order"),
    ("logger: {print_frequency: 5}", "logger.print_frequency", "print_freq"),
    ("logger: {save_checkpoint_frq: 5}", "logger.save_checkpoint_frq", "save_checkpoint_freq"),
    ("datasets: {train: {dataroot_g: x}}", "datasets.train.dataroot_g", "dataroot_gt"),
    ("datasets: {train: {scale_range: [[[1, 4]]]}}", "datasets.train.scale_range", "scale_ranges"),
    ("datasets: {train: {batch_size: 5}}", "datasets.train.batch_size", "batch_size_per_gpu"),
    ("datasets: {val: {protocoll: div2k}}", "datasets.val.protocoll", "protocol"),
    ("datasets: {val: {scales: 3}}", "datasets.val.scales", "scale"),
    ("network_g: {num_branch: 1}", "network_g.num_branch", "num_branches"),
    ("network_g: {encoder: {num_feats: 8}}", "network_g.encoder.num_feats", "num_feat"),
    ("network_g: {encoder: {_delete_: true, type: SwinIR, window: 4}}", "network_g.encoder.window", "window_size"),
]


@pytest.mark.parametrize(("text", "key", "nearest"), MISSPELT, ids=[key for _, key, _ in MISSPELT])
def test_a_misspelt_key_is_refused_with_the_nearest(refused, text, key, nearest):
    assert refused(text) == f"{key}: unknown key; did you mean {nearest}?"


@pytest.mark.parametrize("text", ["datasets: {trian: {}}", "datasets: {test: {}}", "datasets: {trainval: {}}"])
def test_a_set_that_is_neither_train_nor_val_is_refused(refused, text):
    assert "unknown key; sets are named train, val, val_2, ..." in refused(text)


def test_a_training_set_is_refused_in_a_test(refused):
    assert refused("", is_train=False).startswith("datasets.train: unknown key; sets are named test, test_2, ..., val")


MISSING = [
    ("train: {_delete_: true}", "train.total_iter: missing"),
    ("datasets: {train: {_delete_: true, name: a}}", "datasets.train.dataroot_gt: missing"),
    ("datasets: {_delete_: true}", "datasets.train: missing"),
    ("datasets: {val: {protocol: null}}", "datasets.val.protocol: expected one of div2k, benchmark, got None"),
    ("network_g: {_delete_: true, type: CLIT}", "network_g.encoder: missing; CLIT needs it"),
    ("network_g: {_delete_: true}", "network_g.type: missing; one of "),
    ("network_g: {encoder: {_delete_: true}}", "network_g.encoder.type: missing; one of "),
    ("train: {optim_g: {_delete_: true, lr: 0.1}}", "train.optim_g.type: missing; one of Adam"),
    ("train: {optim_g: {_delete_: true, type: Adam}}", "train.optim_g.lr: missing"),
    ("train: {scheduler: {_delete_: true}}", "train.scheduler.type: missing; one of MultiStepLR"),
    ("train: {scheduler: {_delete_: true, type: MultiStepLR}}", "train.scheduler.milestones: missing"),
    ("train: {pixel_opt: {_delete_: true}}", "train.pixel_opt.type: missing; one of CharbonnierLoss"),
    ("val: {metrics: {psnr: {_delete_: true}}}", "val.metrics.psnr.type: missing; one of calculate_niqe"),
]


@pytest.mark.parametrize(("text", "message"), MISSING, ids=[message.split(":")[0] for _, message in MISSING])
def test_a_missing_key_is_refused(refused, text, message):
    assert refused(text).startswith(message)


@pytest.mark.parametrize("name", ["name", "network_g", "datasets", "train"])
def test_a_missing_section_is_refused(good, name):
    del good[name]
    with pytest.raises(UserError, match=rf"^{name}.*: missing"):
        check_options(good, is_train=True)


def test_everything_that_is_wrong_is_reported_at_once(refused, tmp_path):
    text = """
    nmae: x
    manual_seed: -1
    train: {total_itr: 3, ema_decay: 2, optim_g: {lr: fast}, scheduler: {gama: 1}, pixel_opt: {type: L1Los}}
    val: {val_freq: 0, metrics: {psnr: {type: pnsr}, ssim: {type: ssim_float, crop_boarder: 1}}}
    logger: {print_freq: x}
    network_g: {dmi: 8, local_grid: x, encoder: {type: RDM}}
    datasets:
      train: {lq_size: 0, num_queries: x}
      val: {_delete_: true, name: a, dataroot_gt: absent}
      val_2: {name: b, dataroot_gt: absent, degradation: pil, scale: 2, protocol: div2k}
    """
    keys = [line.split(": ")[0] for line in refused(text).split("\n")]
    assert len(set(keys)) == len(keys)
    assert set(keys) == {
        "nmae",
        "manual_seed",
        "train.total_itr",
        "val.val_freq",
        "val.metrics.psnr.type",
        "val.metrics.ssim.crop_boarder",
        "logger.print_freq",
        "network_g.dmi",
        "network_g.local_grid",
        "network_g.encoder.type",
        "datasets.train.num_queries",
        "datasets.val.protocol",
        "datasets.val_2",
    }


def test_everything_wrong_in_a_good_section_is_reported_at_once(refused):
    text = "train: {total_iter: 0, ema_decay: 2, optim_g: {lr: -1}, scheduler: {gama: 1}, pixel_opt: {type: L1Los}}"
    keys = [line.split(": ")[0] for line in refused(text).split("\n")]
    expected = ["train.optim_g", "train.total_iter", "train.scheduler.gama", "train.pixel_opt.type", "train.ema_decay"]
    assert keys == expected


def test_everything_wrong_in_a_set_is_reported_at_once(refused):
    train = "{lq_size: 0, batch_size_per_gpu: 0, num_worker_per_gpu: -1, filename_tmpl: x, degradation: null}"
    keys = [line.split(": ")[0] for line in refused(f"datasets: {{train: {train}}}").split("\n")]
    expected = ["degradation", "filename_tmpl", "batch_size_per_gpu", "lq_size", "num_worker_per_gpu"]
    assert keys == [f"datasets.train.{key}" for key in expected]


@pytest.mark.parametrize("key", ["phase", "resume_iter"])
def test_a_key_that_the_run_itself_sets_is_refused(refused, key):
    assert f"datasets.train.{key}: unknown key" in refused(f"datasets: {{train: {{{key}: 3}}}}")


def test_a_second_training_set_is_refused(refused):
    assert "datasets.train_2: unknown key" in refused("datasets: {train_2: {}}")


def test_two_sets_of_one_name_are_refused(good):
    good["datasets"]["val_2"] = dict(good["datasets"]["val"])
    with pytest.raises(UserError, match="datasets.val_2.name: .* is also the name of datasets.val"):
        check_options(good, is_train=True)
