"""The pages of ``clit report``."""

import pytest
from evaluation_helpers import result_files, results, rewrite
from PIL import Image

from clit_plugin.commands.cli import main


def test_the_report_has_our_row_and_the_papers_and_escapes_names(place, set5):
    assert main(["report", "results", "-o", "out", "--title", "<script>alert(1)</script>"]) == 0
    html, markdown = (set5 / "report.html").read_text(), (set5 / "report.md").read_text()
    assert "<script" not in html and "&lt;script&gt;" in html
    assert "http://" not in html.replace("http://www.w3.org", "") and "https://" not in html.split("</style>")[0]
    for text in (html, markdown):
        assert "RDN-LIIF" in text and "38.17" in text  # Table 2, x2
        assert f"{results(place, 'bicubic')['Set5_x2']['metrics']['psnr']:.2f}" in text
    assert "0001" in markdown  # worst and best images


def test_a_report_has_only_columns_with_results_and_explains_its_marks(set5):
    html, markdown = (set5 / "report.html").read_text(), (set5 / "report.md").read_text()
    assert "| Method | Set5 ×2 | Set5 ×3 |\n" in markdown
    assert "**bold**: the best, *italic*: the second best of a column among the rows of one encoder" in markdown
    assert '<span class="first">bold</span>: the best, <span class="second">underlined</span>' in html
    # Of bicubic interpolation the paper has no row, so that no difference may be announced.
    assert "difference from the paper" not in html


def test_a_difference_from_the_paper_is_announced_where_there_is_one(place, set5):
    def as_rdn_liif(result):
        result["options"]["network_g"] = {"type": "LIIF", "encoder": {"type": "RDN"}}
        result["weights"] = {"path": "w.pth", "sha256": "0" * 64, "param_key": "params_ema"}

    for file in result_files(place, "bicubic"):
        rewrite(file, as_rdn_liif)
    assert main(["report", "results", "-o", "out"]) == 0
    markdown = (set5 / "report.md").read_text()
    ours = round(results(place, "bicubic")["Set5_x2"]["metrics"]["psnr"], 2)
    assert "below each of our figures is its difference from the paper's" in markdown
    assert f"| ours: bicubic | **{ours:.2f}** ({ours - 38.17:+.2f}) |" in markdown  # RDN-LIIF's in Table 2
    assert "| bicubic | params\\_ema | Set5 | ×2 |" in markdown


def test_the_worst_and_the_best_image_are_shown(place, set5):
    result = results(place, "bicubic")["Set5_x2"]
    ordered = sorted(result["images"], key=lambda image: image["metrics"]["psnr"])
    kept = {file.stem for file in (place / "results/bicubic/crops").glob("Set5_x2-*/*.png")}
    assert kept == {ordered[0]["image"], ordered[-1]["image"]}
    html, markdown = (set5 / "report.html").read_text(), (set5 / "report.md").read_text()
    for word, image in (("worst", ordered[0]), ("best", ordered[-1])):
        assert f"bicubic, Set5 ×2, {word}: {image['image']}, {image['metrics']['psnr']:.2f} dB" in html
        name = f"{word}_bicubic_Set5_x2_{result['fingerprint']}.png"
        assert f"({name})" in markdown and Image.open(set5 / name).width > 3 * 38
    assert html.count("data:image/png;base64,") == 4


def test_results_of_earlier_versions_are_reported_with_their_missing_fields_left_out(place, set5):
    def as_earlier_version(result):
        del result["parameters"], result["multiply_adds"], result["device"]
        for image in result["images"]:
            del image["seconds"]

    for file in result_files(place, "bicubic"):
        rewrite(file, as_earlier_version)
    assert main(["report", "results", "-o", "out"]) == 0
    assert "| 5 | 2 | - | - | - |" in (set5 / "report.md").read_text()


def test_a_report_of_a_missing_folder_is_refused_in_one_line(place, capsys):
    assert main(["report", "nowhere"]) == 2
    assert "nowhere: no such file or folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    "change",
    [
        lambda result: result.update(images=[]),
        lambda result: result["images"][0].pop("shave"),
        lambda result: result.pop("data_sha256"),
        lambda result: result["options"]["network_g"].update(encoder="EDSR"),
        lambda result: result["images"][1]["metrics"].clear(),
        lambda result: result["images"][0].update(lq_size=[3]),
    ],
)
def test_a_damaged_result_is_one_line_in_a_report(place, capsys, change):
    assert main(["test", "-opt", "test.yml"]) == 0
    (file,) = result_files(place)
    rewrite(file, change)
    capsys.readouterr()
    assert main(["report", "results", "-o", "out"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and file.name in error and "damaged" in error


def test_a_file_that_is_not_a_result_is_named_without_its_content(place, capsys):
    assert main(["report", str(place / "hr" / "0001.png")]) == 2
    error = capsys.readouterr().err
    assert "0001.png: not a result of 'clit test'" in error and len(error) < 300
