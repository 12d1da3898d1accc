import json

import pytest
import torch

from clit_plugin.archs.clit_arch import CLIT
from clit_plugin.commands.benchmark_cases import CASES, Case
from clit_plugin.commands.benchmark_runs import TimedCase, difference, factorised_macs
from clit_plugin.commands.cli import main

SMALL = {"encoder": {"type": "EDSRBaseline", "num_feat": 8, "num_block": 1}, "dim": 8, "num_heads": 2, "local_grid": 3}


def by_name(name: str) -> Case:
    return next(case for case in CASES if case.name == name)


def test_the_benchmark_cases_have_the_papers_sizes():
    assert by_name("x4").out_size == (192, 192)
    assert by_name("x2.7").out_size == (86, 86)
    assert (by_name("x12").stage_sizes, by_name("x12").out_size) == ([(128, 128)], (384, 384))
    assert (by_name("x30").stage_sizes, by_name("x30").out_size) == ([(64, 64), (256, 256)], (480, 480))
    assert (by_name("stage3").stage_sizes, by_name("stage3").out_size) == ([(144, 144), (432, 432)], (648, 648))


def test_the_floor_counts_what_the_factorised_evaluation_multiplies():
    """Per LR pixel 3.2 M + 1.92 M + 1.2 M, per query 0.3 M: 26 G for x4 of 48 x 48."""
    with torch.device("meta"):
        net = CLIT(encoder={"type": "EDSRBaseline"})
    run = TimedCase.__new__(TimedCase)
    run.net, run.case, run.lq = net, by_name("x4"), torch.empty(1, 3, 48, 48, device="meta")
    pixel = 49 * 256 * 256 + 3 * 9 * 256**2 + 9 * 64 * 256 + 9 * 3 * 64 + 33 * 9 * 64**2
    query = 49 * 8 * 256 + 3 * 256**2 + 3 * 256
    assert factorised_macs(run) == 2304 * pixel + 36864 * query
    assert factorised_macs(run) == pytest.approx(26e9, rel=0.02)


def test_the_difference_of_gradients_is_relative_to_the_largest():
    assert difference([torch.tensor([8.0, 1.0])], [torch.tensor([8.0, 3.0])]) == 0.25
    assert difference(torch.tensor([8.0, 1.0]), torch.tensor([8.0, 3.0])) == 2.0


@pytest.mark.parametrize("case", ["x4", pytest.param("stage2", marks=pytest.mark.slow)])
def test_a_report_has_a_row_of_figures_for_every_case(tmp_path, capsys, case):
    file = tmp_path / "figures.json"
    arguments = ["--case", case, "--repeats", "1", "--device", "cpu", "--network", json.dumps(SMALL)]
    assert main(["benchmark", *arguments, "--json", str(file)]) == 0
    (row,) = json.loads(file.read_text())["cases"]
    assert row["case"] == case
    assert row["ratio"] == pytest.approx(row["reference"] / row["fast"])
    assert row["agreement"] < 1e-4
    assert 0 < row["memory"]["fast"] < 2**32
    if case == "x4":
        assert 0 < row["share_of_floor"] < 1.5
    else:
        assert "floor" not in row
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    assert [line.split(" | ")[0] for line in lines[1:]] == [f"| {case}"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--repeats", "0"], "--repeats: expected at least 1, got 0"),
        (["--device", "tpu"], "--device: expected auto, cpu or cuda, got tpu"),
        (["--json", "/nowhere/at/all.json"], "its folder does not exist"),
    ],
)
def test_bad_arguments_are_refused_in_one_line(arguments, message, capsys):
    assert main(["benchmark", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_a_roofline_has_a_row_for_every_case_and_training_steps_do_not_synchronise(tmp_path, capsys, monkeypatch):
    from clit_plugin.commands import benchmark_roofline as roofline

    cases = [case for case in roofline.CASES if case.batch or case.network == "CLIT"][:7:3]
    monkeypatch.setattr(roofline, "CASES", tuple(cases))
    file = tmp_path / "roofline.json"
    assert main(["benchmark", "--roofline", "--card", "a100", "--json", str(file)]) == 0
    report = json.loads(file.read_text())
    assert [row["case"] for row in report["cases"]] == [case.name for case in cases]
    assert all(row["waits"] is None for row in report["cases"])
    stage1 = report["cases"][0]
    assert stage1["pixels_per_second"] == 32 * 48 * 48 / max(stage1["work"], stage1["launches"])
    out = capsys.readouterr().out
    assert "Counted, not measured; A100" in out
    assert sum(line.startswith("| CLIT | ") for line in out.splitlines()) == 2


def test_timed_cases_are_not_cases_of_the_roofline(capsys):
    assert main(["benchmark", "--roofline", "--case", "x4"]) == 2
    assert "--case: not with --roofline" in capsys.readouterr().err
