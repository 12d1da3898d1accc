import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

OPTION_FILES = [str(file) for file in sorted(Path("options").rglob("*.yml"))]


class BuildWithOptions(build_py):
    """A wheel has the option files inside the package; a checkout, or an editable install of it, in options/."""

    def run(self) -> None:
        super().run()
        for name in [] if self.editable_mode else OPTION_FILES:
            target = Path(self.build_lib, "clit_plugin", "option_files", *Path(name).parts[1:])
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(name, target)

    def get_source_files(self) -> list[str]:
        return [*super().get_source_files(), *OPTION_FILES]


setup(
    name="clit_plugin",
    version="0.1.0",
    description="Arbitrary-scale super-resolution (LIT, CLIT) as a BasicSR plugin",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    # BasicSR 1.4.2 does not build on 3.13 (its issues 749 and 692).
    python_requires=">=3.10,<3.13",
    cmdclass={"build_py": BuildWithOptions},
    packages=find_packages(include=["clit_plugin", "clit_plugin.*"]),
    package_data={
        "clit_plugin": ["weights/*"],
        "clit_plugin.evaluation.report": ["paper_figures.yml"],
        "clit_plugin.web": ["page/*"],
    },
    install_requires=[
        "torch>=2.4",
        "torchvision>=0.19",
        "basicsr==1.4.2",
        "mmengine>=0.10,<0.11",
        "lmdb>=1.4",
        "opencv-python>=4.8",
        "numpy>=1.24",
        "addict>=2.4",
        "matplotlib>=3.7",
        "pillow>=10",
        "pyyaml>=6",
        "safetensors>=0.4",
        "tifffile>=2023.4",
        "tqdm>=4.60",
    ],
    extras_require={
        "dev": [
            "pytest>=8",
            "pytest-xdist>=3",
            "ruff>=0.6",
            "mypy>=1.10",
            "import-linter>=2",
            "types-PyYAML",
            "types-tqdm",
            "onnx>=1.16",
            "onnxruntime>=1.17",
            "onnxscript>=0.3",
            "spandrel>=0.4",
            "aiohttp>=3.9",
            "av>=14",
            "playwright>=1.40",  # drives an installed Chromium; brings none
        ],
        "onnx": ["onnx>=1.16", "onnxruntime>=1.17", "onnxscript>=0.3"],  # torch's exporter needs the last
        "spandrel": ["spandrel>=0.4"],
        "web": ["aiohttp>=3.9"],
        "video": ["av>=14"],
        "gpu": ["triton>=3; platform_system == 'Linux'"],  # comes with torch's CUDA builds
    },
    entry_points={"console_scripts": ["clit=clit_plugin.commands.cli:main"]},
)
