"""The worst and the best images of every set: a table, and their pictures."""

from collections.abc import Iterator, Sequence

from clit_plugin.evaluation.csv_tables import degradation_text
from clit_plugin.evaluation.report.document import Cell, Picture, Row, Table
from clit_plugin.evaluation.report.systems import System, psnr_by_image
from clit_plugin.evaluation.results import SetResult

_SHOWN = 3


def extremes_table(systems: Sequence[System]) -> Table:
    """The images with the lowest and the highest PSNR of every set, each with its gain over bicubic."""
    bicubic = {
        _images_of(result): result
        for system in systems
        if system.network[0] == "Bicubic"
        for result in system.results.values()
    }
    rows = []
    for system in systems:
        for i, (place, result) in enumerate(sorted(system.results.items())):
            base = bicubic.get(_images_of(result)) if system.network[0] != "Bicubic" else None
            texts = _with_gains(psnr_by_image(result), {} if base is None else psnr_by_image(base))
            worst, best = texts[:_SHOWN], texts[::-1][:_SHOWN]
            cells = [system.name, f"{place[0]} ×{place[1]:g}", ", ".join(worst), ", ".join(best)]
            rows.append(Row([Cell(text) for text in cells], starts_group=i == 0))
    has_gains = any("(" in row.cells[2].text for row in rows)
    return Table(
        caption="The three images with the lowest and with the highest PSNR (dB) of each set",
        columns=["Run", "Set", "Worst", "Best"],
        rows=rows,
        notes=["In parentheses: gain over bicubic on the same image."] if has_gains else [],
        text_columns=4,
    )


def extreme_pictures(systems: Sequence[System]) -> Iterator[Picture]:
    """Crops of the worst and the best image of every set for which 'clit test' has stored them."""
    for system in systems:
        for (family, scale), result in sorted(system.results.items()):
            psnr = psnr_by_image(result)
            names = list(psnr)
            for word, image in [("worst", names[0]), ("best", names[-1])][: len(names)]:
                if image in result.crops:
                    caption = f"{system.name}, {family} ×{scale:g}, {word}: {image}, {psnr[image]:.2f} dB"
                    name = f"{word}_{system.name}_{family}_x{scale:g}_{result.fingerprint}"
                    yield Picture(name, result.crops[image].read_bytes(), caption)


def _images_of(result: SetResult) -> tuple[object, ...]:
    """The same for results that are about the same LR and HR images."""
    return result.family, degradation_text(result.degradation), result.scale, result.data_sha256


def _with_gains(psnr: dict[str, float], base: dict[str, float]) -> list[str]:
    gains = {name: f" ({value - base[name]:+.2f})" for name, value in psnr.items() if name in base}
    return [f"{name} {value:.2f}{gains.get(name, '')}" for name, value in psnr.items()]
