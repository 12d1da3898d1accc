"""Tests of trained weights with bicubic interpolation as the network, and what they store."""

import json
from pathlib import Path

from basicsr.utils.registry import ARCH_REGISTRY

from clit_plugin.archs import Bicubic


@ARCH_REGISTRY.register()
class CountedBicubic(Bicubic):
    """Counts the images that it has upscaled, and is interrupted after ``stop_after`` of them."""

    upscaled = 0
    stop_after: int | None = None

    def upscale(self, *args, **kwargs):
        if CountedBicubic.upscaled == CountedBicubic.stop_after:
            raise KeyboardInterrupt
        CountedBicubic.upscaled += 1
        return super().upscale(*args, **kwargs)


def bicubic_options(images: Path, network: str = "Bicubic", **val) -> dict:
    """Options that score bicubic interpolation on one set."""
    dataset = {"name": "tiny_x2", "dataroot_gt": str(images), "degradation": "pil", "scale": 2, "protocol": "benchmark"}
    metrics = {"psnr": {"type": "psnr_float"}, "ssim": {"type": "ssim_float"}}
    return {
        "name": "run",
        "num_gpu": 0,
        "network_g": {"type": network},
        "val": {"metrics": metrics, "pbar": False, **val},
        "datasets": {"test": dataset},
    }


def result_files(folder: Path, name: str = "run") -> list[Path]:
    """The stored results of a run."""
    return sorted((folder / "results" / name / "metrics").glob("*.json"))


def results(folder: Path, name: str = "run") -> dict[str, dict]:
    """Stored results by set."""
    return {content["set"]: content for content in map(_read, result_files(folder, name))}


def scores(result: dict) -> list[dict]:
    """All that is stored for every image except the time that it took."""
    return [{key: value for key, value in image.items() if key != "seconds"} for image in result["images"]]


def rewrite(file: Path, change) -> None:
    """Change a stored result."""
    content = _read(file)
    change(content)
    file.write_text(json.dumps(content))


def _read(file: Path) -> dict:
    return json.loads(file.read_text())
