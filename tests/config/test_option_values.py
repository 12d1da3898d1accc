"""Values in option files: what is of a wrong kind or out of range is refused, with which words."""

import pytest
import yaml

from clit_plugin.config.option_checks import check_options, load_option_file
from clit_plugin.utils.errors import UserError

HINT = "a string in YAML: write the number without quotes"


BAD_VALUES = [
    # the top level
    ("name: 5", "name: expected a string, got 5"),
    ("name: ''", "name: expected the name of a folder below experiments/ or results/, got ''"),
    ("name: ../x", "name: expected the name of a folder"),
    ("name: /x", "name: expected the name of a folder"),
    ("name: x/y", "name: expected the name of a folder below experiments/ or results/, a plain name that does"),
    ("name: .", "name: expected the name of a folder"),
    ('name: "a\\tb"', "name: expected the name of a folder below experiments/ or results/, printable characters; got"),
    (f"name: {'é' * 91}", "name: expected the name of a folder below experiments/ or results/, at most 180 bytes; got"),
    ("val: {suffix: ../../x}", "val.suffix: expected an ending of file names, a plain name"),
    ("datasets: {val: {name: ../../x}}", "datasets.val.name: expected the name of a folder for the set's results, a"),
    ("datasets: {val: {name: ''}}", "datasets.val.name: expected the name of a folder for the set's results, got ''"),
    ("datasets: {train: {name: 'a\\b'}}", "datasets.train.name: expected the name of a folder"),
    ("datasets: {val: {filename_tmpl: '../{}'}}", "datasets.val.filename_tmpl: expected the name of a file, a plain"),
    ("num_gpu: many", "num_gpu: expected a whole number or auto, got 'many'"),
    ("num_gpu: true", "num_gpu: expected a whole number or auto, got True"),
    ("manual_seed: -1", "manual_seed: expected 0 to 2^32 - 1, got -1"),
    ("manual_seed: 4294967296", "manual_seed: expected 0 to 2^32 - 1"),
    ("manual_seed: 0.5", "manual_seed: expected a whole number, got 0.5"),
    ("find_unused_parameters: 1", "find_unused_parameters: expected true or false or null, got 1"),
    ("logger: 5", "logger: expected a mapping or null, got 5"),
    # path
    ("path: {strict_load_g: false}", "path.strict_load_g: false is not supported"),
    ("path: {pretrain_network_g: 5}", "path.pretrain_network_g: expected a string or null, got 5"),
    # train
    ("train: {total_iter: 0}", "train.total_iter: expected at least 1, got 0"),
    ("train: {total_iter: .inf}", "train.total_iter: expected a whole number, got inf"),
    ("train: {ema_decay: 1}", "train.ema_decay: expected 0 to below 1, got 1.0"),
    ("train: {ema_decay: -0.1}", "train.ema_decay: expected 0 to below 1"),
    ("train: {ema_decay: .nan}", "train.ema_decay: expected a number, got nan"),
    ("train: {optim_g: {lr: -1}}", "train.optim_g: Invalid learning rate: -1"),
    ("train: {optim_g: {lr: fast}}", "train.optim_g.lr: expected a number, got 'fast'"),
    ("train: {optim_g: {betas: [0.9]}}", "train.optim_g.betas: expected a list of 2, got [0.9]"),
    ("train: {optim_g: {betas: [0.9, 1.5]}}", "train.optim_g: Invalid beta"),
    ("train: {optim_g: {params: []}}", "train.optim_g.params: unknown key"),
    ("train: {scheduler: {milestones: 5}}", "train.scheduler: "),
    ("train: {scheduler: {gamma: half}}", "train.scheduler.gamma: expected a number, got 'half'"),
    ("train: {scheduler: {optimizer: a}}", "train.scheduler.optimizer: unknown key"),
    ("train: {scheduler: {restart_weights: [1, 1]}}", "train.scheduler: restarts and their weights do not match"),
    ("train: {pixel_opt: {reduction: maen}}", "train.pixel_opt: Unsupported reduction mode: maen"),
    ("train: {pixel_opt: {reduction: none}}", "train.pixel_opt: expected a loss that is a single number"),
    # val and logger
    ("val: {val_freq: 0}", "val.val_freq: expected at least 1, got 0"),
    ("val: {save_img: 'no'}", "val.save_img: expected true or false, got 'no'"),
    ("val: {metrics: [psnr]}", "val.metrics: expected a mapping, got ['psnr']"),
    ("val: {metrics: {psnr: psnr_float}}", "val.metrics.psnr: expected a mapping, got 'psnr_float'"),
    ("val: {metrics: {psnr: {better: more}}}", "val.metrics.psnr.better: expected one of higher, lower, got 'more'"),
    ("val: {metrics: {psnr: {crop_border: 2.5}}}", "val.metrics.psnr.crop_border: expected a whole number, got 2.5"),
    ("val: {metrics: {psnr: {test_y_channel: Y}}}", "val.metrics.psnr.test_y_channel: expected true or false"),
    ("val: {metrics: {psnr: {img: 1}}}", "val.metrics.psnr.img: unknown key"),
    ("logger: {print_freq: 0}", "logger.print_freq: expected at least 1, got 0"),
    ("logger: {save_checkpoint_freq: -5}", "logger.save_checkpoint_freq: expected at least 1, got -5"),
    ("logger: {wandb: {project: p}, use_tb_logger: false}", "logger.wandb: needs use_tb_logger"),
    # datasets.train
    ("datasets: {train: {batch_size_per_gpu: 0}}", "datasets.train.batch_size_per_gpu: expected at least 1, got 0"),
    ("datasets: {train: {dataset_enlarge_ratio: 0}}", "datasets.train.dataset_enlarge_ratio: expected at least 1"),
    ("datasets: {train: {num_worker_per_gpu: -1}}", "datasets.train.num_worker_per_gpu: expected at least 0, got -1"),
    ("datasets: {train: {lq_size: 8.5}}", "datasets.train.lq_size: expected a whole number, got 8.5"),
    ("datasets: {train: {num_queries: 65}}", "datasets.train.num_queries: expected 1 to lq_size squared (64), got 65"),
    ("datasets: {train: {num_queries: 0}}", "datasets.train.num_queries: expected 1 to"),
    ("datasets: {train: {seed: -1}}", "datasets.train.seed: expected 0 to 2^32 - 1, got -1"),
    ("datasets: {train: {persistent_workers: true}}", "datasets.train.persistent_workers: needs num_worker_per_gpu"),
    ("datasets: {train: {degradation: null}}", "datasets.train.degradation: missing; say how LR is made from HR"),
    ("datasets: {train: {degradation: matlap}}", "datasets.train.degradation: expected"),
    (
        "datasets: {train: {dataroot_lq: x, degradation: pil}}",
        "datasets.train.degradation: LR is read from dataroot_lq, not made",
    ),
    ("datasets: {train: {filename_tmpl: x2}}", "datasets.train.filename_tmpl: expected one '{}' in the name, got 'x2'"),
    (
        "datasets: {train: {io_backend: {type: zip}}}",
        "datasets.train.io_backend: expected {type: disk} or {type: lmdb}",
    ),
    ("datasets: {train: {prefetch_mode: gpu}}", "datasets.train.prefetch_mode: expected"),
    ("datasets: {train: 5}", "datasets.train: expected a mapping, got 5"),
    # datasets.val
    (
        "datasets: {val: {scale: null}}",
        "datasets.val.scale: missing; give a scale such as 2, 3.4 or, as [y, x], [2, 3.5], or LR images",
    ),
    ("datasets: {val: {scale: 0.5}}", "datasets.val.scale: expected at least 1, or [y, x] of at least 1, got 0.5"),
    (
        "datasets: {val: {scale: [2, 0.5]}}",
        "datasets.val.scale: expected at least 1, or [y, x] of at least 1, got [2.0, 0.5]",
    ),
    ("datasets: {val: {scale: [2, 3, 4]}}", "datasets.val.scale: expected a number or [y, x]"),
    ("datasets: {val: {scale: .inf}}", "datasets.val.scale: expected a number or [y, x], got inf"),
    ("datasets: {val: {scale: x4}}", "datasets.val.scale: expected a number or [y, x], got 'x4'"),
    ("datasets: {val: {max_images: 0}}", "datasets.val.max_images: expected at least 1, got 0"),
    # network_g
    ("network_g: {dim: 7}", "network_g.dim: expected a positive multiple of num_heads (2), got 7"),
    ("network_g: {num_heads: 0}", "network_g.dim: expected a positive multiple of num_heads (0)"),
    (
        "network_g: {local_grid: 4}",
        "network_g.local_grid: expected an odd number, or a pair (height, width) of them, got 4",
    ),
    (
        "network_g: {local_grid: [3, 3, 3]}",
        "network_g.local_grid: expected an odd number, or a pair (height, width) of them",
    ),
    ("network_g: {local_grid: x}", "network_g.local_grid: expected a whole number or a list, got 'x'"),
    ("network_g: {num_branches: 0}", "network_g.num_branches: expected at least 1, got 0"),
    ("network_g: {decoder_hidden: [8, 0]}", "network_g.decoder_hidden: expected positive widths, got [8, 0]"),
    ("network_g: {decoder_hidden: 8}", "network_g.decoder_hidden: expected a list, got 8"),
    ("network_g: {positional_encoding: eq7}", "network_g.positional_encoding: expected one of released, eq6, none"),
    ("network_g: {local_ensemble: 1}", "network_g.local_ensemble: expected true or false, got 1"),
    ("network_g: {discount: .inf}", "network_g.discount: expected a number, got inf"),
    ("network_g: {encoder: RDN}", "network_g.encoder: expected a mapping, got 'RDN'"),
    ("network_g: {encoder: {num_feat: 0}}", "network_g.encoder.num_feat: expected at least 1, got 0"),
    ("network_g: {encoder: {num_feat: 8.5}}", "network_g.encoder.num_feat: expected a whole number, got 8.5"),
    (
        "network_g: {encoder: {_delete_: true, type: BasicSRFeatures, arch: {type: RRDBNet}, layer: a}}",
        "network_g: ",
    ),
    (
        "network_g: {encoder: {_delete_: true, type: BasicSRFeatures, arch: {type: RRDBNet, num_in_ch: 3, "
        "num_out_ch: 3, num_feat: 4, num_block: 1, num_grow_ch: 2}, layer: conv_body, multiple: 0}}",
        "network_g.encoder.multiple: expected at least 1, got 0",
    ),
]


@pytest.mark.parametrize(("text", "message"), BAD_VALUES, ids=[text for text, _ in BAD_VALUES])
def test_a_bad_value_is_refused_with_its_key_and_what_was_expected(refused, text, message):
    assert refused(text).startswith(message)


AS_TEXT = [
    ("train: {total_iter: '1e3'}", "train.total_iter"),
    ("train: {optim_g: {lr: '1e-4'}}", "train.optim_g.lr"),
    ("train: {optim_g: {eps: '1e-8'}}", "train.optim_g.eps"),
    ("train: {scheduler: {milestones: ['2e5', '4e5']}}", "train.scheduler.milestones[0]"),
    ("train: {scheduler: {gamma: '5e-1'}}", "train.scheduler.gamma"),
    ("train: {pixel_opt: {loss_weight: '1e-1'}}", "train.pixel_opt.loss_weight"),
    ("val: {val_freq: '5e3'}", "val.val_freq"),
    ("datasets: {val: {scale: '4'}}", "datasets.val.scale"),
    ("network_g: {discount: '75e-2'}", "network_g.discount"),
]


@pytest.mark.parametrize(("text", "key"), AS_TEXT, ids=[key for _, key in AS_TEXT])
def test_a_number_in_quotes_is_refused_with_a_hint(refused, text, key):
    message = refused(text)
    assert message.startswith(f"{key}: expected ")
    assert HINT in message


def test_a_number_in_quotes_in_the_cosine_scheduler_is_refused_with_a_hint(refused):
    scheduler = "{_delete_: true, type: CosineAnnealingRestartLR, periods: [4], eta_min: '1e-7'}"
    assert HINT in refused(f"train: {{scheduler: {scheduler}}}")


def test_numbers_with_exponents_are_numbers_in_files_and_overrides(good, tmp_path):
    (tmp_path / "good.yml").write_text(yaml.safe_dump(good))
    text = "train: {total_iter: 1e3, scheduler: {milestones: [2e2, 4E2]}, optim_g: {eps: 1e-7}}"
    (tmp_path / "run.yml").write_text(f"_base_: good.yml\n{text}\n")
    train = load_option_file(tmp_path / "run.yml", is_train=True, overrides=["train.optim_g.lr=1e-4"]).options.train
    assert (train.total_iter, train.scheduler["milestones"]) == (1000, [200, 400])
    assert (train.optim_g["lr"], train.optim_g["eps"]) == (1e-4, 1e-7)


def test_periods_that_end_before_the_training_are_refused(refused):
    """BasicSR would fail at the step behind their end."""
    scheduler = "{_delete_: true, type: CosineAnnealingRestartLR, periods: [2, 1], restart_weights: [1, 1]}"
    message = refused(f"train: {{total_iter: 4, scheduler: {scheduler}}}")
    assert message == "train.scheduler.periods: their sum is 3, less than train.total_iter, 4"


def test_periods_that_last_as_long_as_the_training_are_accepted(good):
    good["train"]["scheduler"] = {"type": "CosineAnnealingRestartLR", "periods": [3, 1], "restart_weights": [1, 0.5]}
    assert check_options(good, is_train=True).train.total_iter == 4


@pytest.mark.parametrize(
    "value", ["5", "[]", "[[]]", "[[1, 4]]", "[[[1]]]", "[[[1, 4, 5]]]", "[[[4, 1]]]", "[[[0.5, 1]]]", "[[[1, .inf]]]"]
)
def test_scale_ranges_of_another_shape_are_refused_with_an_example(refused, value):
    message = refused(f"datasets: {{train: {{scale_ranges: {value}}}}}")
    assert message.startswith("datasets.train.scale_ranges: expected a list")
    assert "got" in message


def test_fewer_scales_than_branches_are_refused(refused):
    assert refused("network_g: {num_branches: 2}").startswith(
        "datasets.train.scale_ranges: the longest alternative lists 1 scale(s), but network_g.num_branches is 2"
    )


def test_more_scales_than_branches_are_refused(refused):
    message = refused("datasets: {train: {scale_ranges: [[[1, 4]], [[1, 4], [1, 4]]]}}")
    assert "lists 2 scale(s), but network_g.num_branches is 1" in message


def test_a_test_without_weights_is_refused(good):
    del good["datasets"]["train"]
    with pytest.raises(UserError, match=r"^path\.pretrain_network_g: missing"):
        check_options(good, is_train=False)


def test_a_test_without_sets_is_refused(good):
    good["datasets"] = {}
    with pytest.raises(UserError, match=r"^datasets: expected at least one set"):
        check_options(good, is_train=False)


def test_the_file_is_named_once_in_an_error_of_its_yaml(tmp_path):
    (tmp_path / "bad.yml").write_text("a: 1\na: 2\n")
    with pytest.raises(UserError) as caught:
        load_option_file(tmp_path / "bad.yml", is_train=True)
    assert str(caught.value).count("bad.yml") == 1


def test_an_override_is_checked_as_the_file_is(refused):
    assert refused("", "train.total_itr=5") == "train.total_itr: unknown key; did you mean total_iter?"
