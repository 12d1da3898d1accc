"""The shipped option files have the paper's settings."""

from pathlib import Path

import pytest

from clit_plugin.config.option_checks import load_option_file

ROOT = Path(__file__).parents[2]
TRAIN_FILES = sorted((ROOT / "options" / "train").glob("*.yml"))
TEST_FILES = sorted((ROOT / "options" / "test").glob("*.yml"))
# The nine runs of the paper: epochs and the epochs at which the rate is halved, by stage (section 4.1).
PAPER_EPOCHS = {1: (1000, [200, 400, 600, 800]), 2: (1000, [200, 400, 600, 800]), 3: (1500, [300, 600, 900, 1200])}
PAPER_RUNS = [(encoder, stage) for encoder in ("edsr", "rdn", "swinir") for stage in PAPER_EPOCHS]


def test_every_run_of_clit_itself_and_of_the_demo_is_shipped():
    names = {f"{encoder}_stage{stage}" for encoder, stage in PAPER_RUNS} | {"demo_stage1", "demo_stage2"}
    assert {file.stem for file in TRAIN_FILES} >= names
    assert {file.stem for file in TEST_FILES} == {"bicubic", "edsr", "rdn", "swinir"}


@pytest.fixture(scope="module")
def shipped():
    """Every shipped file, loaded once: by folder and stem."""
    loaded = {("train", file.stem): load_option_file(file, is_train=True).options for file in TRAIN_FILES}
    return loaded | {("test", file.stem): load_option_file(file, is_train=False).options for file in TEST_FILES}


@pytest.mark.parametrize(("encoder", "stage"), PAPER_RUNS)
def test_a_run_of_the_paper_has_its_length_and_milestones(shipped, encoder, stage):
    options = shipped["train", f"{encoder}_stage{stage}"]
    data = options.datasets.train
    per_epoch = 800 * data.dataset_enlarge_ratio // data.batch_size_per_gpu  # DIV2K has 800 images
    epochs, milestones = PAPER_EPOCHS[stage]
    assert per_epoch == 1000
    assert options.train.total_iter == epochs * per_epoch
    assert options.train.scheduler == {
        "type": "MultiStepLR",
        "milestones": [epoch * per_epoch for epoch in milestones],
        "gamma": 0.5,
    }


@pytest.mark.parametrize(("encoder", "stage"), PAPER_RUNS)
def test_a_run_of_the_paper_has_its_batch_samples_and_optimiser(shipped, encoder, stage):
    options = shipped["train", f"{encoder}_stage{stage}"]
    data = options.datasets.train
    assert (data.batch_size_per_gpu, data.lq_size, data.num_queries) == (32, 48, None)
    assert (data.degradation, data.use_hflip, data.use_vflip, data.use_rot) == ("pil", True, True, True)
    assert options.train.optim_g["lr"] == 1e-4
    assert options.train.pixel_opt["type"] == "L1Loss"


@pytest.mark.parametrize(("encoder", "stage"), PAPER_RUNS)
def test_a_run_of_the_paper_has_its_network_and_scales(shipped, encoder, stage):
    options = shipped["train", f"{encoder}_stage{stage}"]
    network = options.network_g
    assert network["encoder"] == {"type": {"edsr": "EDSRBaseline", "rdn": "RDN", "swinir": "SwinIR"}[encoder]}
    assert (network["num_branches"], network["dim"], network["num_heads"], network["local_grid"]) == (stage, 256, 8, 7)
    assert (network["decoder_hidden"], network["discount"]) == ([256] * 4, 0.75)
    third = [[1, 4], [1, 4], [1, 2]]  # the third range is the released code's
    assert options.datasets.train.scale_ranges == [third[:n] for n in range(1, stage + 1)]


@pytest.mark.parametrize(("encoder", "stage"), PAPER_RUNS)
def test_a_stage_of_the_paper_starts_from_the_one_before(shipped, encoder, stage):
    start = shipped["train", f"{encoder}_stage{stage}"].path.pretrain_network_g
    before = f"experiments/{encoder}_stage{stage - 1}/models/net_g_latest.pth"
    assert start == (None if stage == 1 else before)


@pytest.mark.parametrize("file", TRAIN_FILES, ids=lambda file: file.stem)
def test_a_shipped_run_is_named_as_its_file(shipped, file):
    assert shipped["train", file.stem].name == file.stem


@pytest.mark.parametrize("file", TEST_FILES, ids=lambda file: file.stem)
def test_a_shipped_test_has_the_sets_and_scales_of_the_tables(shipped, file):
    sets = shipped["test", file.stem].datasets.by_key.values()
    scales = {"DIV2K": [2, 3, 4, 6, 12, 18, 24, 30]}
    scales |= {name: [2, 3, 4, 6, 8] for name in ("Set5", "Set14", "B100", "Urban100")}
    found: dict[str, list[float]] = {}
    for dataset in sets:
        name, _, scale = dataset.name.partition("_x")
        assert float(scale) == dataset.scale
        assert dataset.protocol == ("div2k" if name == "DIV2K" else "benchmark")
        found.setdefault(name, []).append(dataset.scale)
    assert found == scales


@pytest.mark.parametrize("file", [f for f in TEST_FILES if f.stem != "bicubic"], ids=lambda file: file.stem)
def test_a_shipped_test_fits_the_third_stage(shipped, file):
    options, trained = shipped["test", file.stem], shipped["train", f"{file.stem}_stage3"]
    weights = f"experiments/{trained.name}/models/net_g_latest.pth"
    assert options.path.pretrain_network_g == weights
    assert options.network_g["encoder"] == trained.network_g["encoder"]
    assert options.network_g["num_branches"] == trained.network_g["num_branches"]


@pytest.mark.parametrize("file", TRAIN_FILES, ids=lambda file: file.stem)
def test_names_of_the_sets_of_a_shipped_run_differ(shipped, file):
    names = [dataset.name for dataset in shipped["train", file.stem].datasets.by_key.values()]
    assert len(set(names)) == len(names)
