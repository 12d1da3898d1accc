"""``clit doctor``: what is installed, whether it works together, and how to fix what does not."""

import argparse
import importlib
import importlib.util
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

from clit_plugin.utils.byte_sizes import byte_size

NEEDS_PLUGIN = False  # the plugin's imports are one of the checks
SUPPORTED_PYTHON = ((3, 10), (3, 12))
_PACKAGES = {
    "numpy": "numpy",
    "cv2": "opencv-python",
    "PIL": "pillow",
    "tifffile": "tifffile",
    "mmengine": "mmengine",
    "yaml": "pyyaml",
    "matplotlib": "matplotlib",
    "tqdm": "tqdm",
    "addict": "addict",
}
_OPTIONAL = {
    "clit web": ["aiohttp"],
    "clit upscale of videos": ["av"],
    "clit export to ONNX": ["onnx", "onnxscript", "onnxruntime"],
    "spandrel and ComfyUI": ["spandrel"],
}
_PAIR = "pip install --force-reinstall torch torchvision, in one command, so that their builds match"

DESCRIPTION = """\
Check what is installed and whether it works together: Python, torch and torchvision, optional packages, BasicSR, the
GPU, threads, LMDB, what is registered and by which module, and the weights of the package. Every problem is reported
with its remedy.

example:
  clit doctor

exit status: 0 all is well, 1 something is wrong"""


class Finding(NamedTuple):
    """A line of the report: what was found, and the remedy where that is a problem."""

    text: str
    remedy: str | None = None


Check = Callable[[], Iterator[Finding]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Do nothing: the command has no arguments."""


def run(args: argparse.Namespace) -> int:
    """Print the report; returns 1 if there is a problem."""
    problems = 0
    for check in CHECKS:
        for finding in _findings(check):
            problems += finding.remedy is not None
            sys.stdout.write(f"{'ok   ' if finding.remedy is None else 'WRONG'}  {finding.text}\n")
            if finding.remedy is not None:
                sys.stdout.write(f"       remedy: {finding.remedy}\n")
            sys.stdout.flush()
    plural = "s" * (problems > 1)
    sys.stdout.write("All is well.\n" if not problems else f"{problems} problem{plural}; see the remedies above.\n")
    return 1 if problems else 0


def _findings(check: Check) -> Iterator[Finding]:
    """The findings of a check; an exception in it is a finding, too."""
    try:
        yield from check()
    except Exception as error:  # a broken installation may raise anything
        name = check.__name__.removeprefix("check_").replace("_", " ")
        yield Finding(f"{name}: {_one_line(error)}", "fix the problems listed above it first, or run scripts/setup.sh")


def check_python(supported: Sequence[tuple[int, int]] = SUPPORTED_PYTHON) -> Iterator[Finding]:
    """The version of Python against the oldest and the newest ``supported`` one."""
    text = f"Python {platform.python_version()} ({sys.executable}), clit_plugin {_version('clit_plugin')}"
    oldest, newest = (".".join(map(str, each)) for each in supported)
    remedy = f"create the environment with Python {oldest} to {newest}: BasicSR does not build on other versions"
    yield Finding(text, None if supported[0] <= sys.version_info[:2] <= supported[1] else remedy)


def check_torch() -> Iterator[Finding]:
    try:
        torch = importlib.import_module("torch")
    except Exception as error:
        yield Finding(f"torch: does not import ({_one_line(error)})", _PAIR)
        return
    yield Finding(f"torch {torch.__version__}, built for {_built_for(torch)}")
    try:
        torchvision = importlib.import_module("torchvision")
        torchvision.ops.nms(torch.zeros(1, 4), torch.zeros(1), 0.5)
    except Exception as error:  # "operator torchvision::nms does not exist" if their builds differ
        found = f"torchvision {_version('torchvision')}: does not work with torch {torch.__version__}"
        yield Finding(f"{found} ({_one_line(error)})", _PAIR)
        return
    yield Finding(f"torchvision {torchvision.__version__}, matches torch")


def check_packages() -> Iterator[Finding]:
    found = []
    for module, package in _PACKAGES.items():
        try:
            importlib.import_module(module)
            found.append(f"{package} {_version(package)}")
        except Exception as error:
            libraries = "libGL" in str(error) or "libgthread" in str(error)
            remedy = "apt install libgl1 libglib2.0-0" if libraries else f"pip install --upgrade {package}"
            yield Finding(f"{package}: does not import ({_one_line(error)})", remedy)
    yield Finding(", ".join(found))


def check_optional_packages() -> Iterator[Finding]:
    """The packages that only some commands need; their absence is no problem."""
    for purpose, packages in _OPTIONAL.items():
        if absent := [package for package in packages if importlib.util.find_spec(package) is None]:
            yield Finding(f"for {purpose}: not installed, optional (pip install {' '.join(absent)})")
            continue
        try:
            for package in packages:
                importlib.import_module(package)
        except Exception as error:
            remedy = f"pip install --upgrade {' '.join(packages)}"
            yield Finding(f"for {purpose}: {package} does not import ({_one_line(error)})", remedy)
        else:
            yield Finding(f"for {purpose}: {', '.join(f'{package} {_version(package)}' for package in packages)}")


def check_basicsr() -> Iterator[Finding]:
    try:
        importlib.import_module("clit_plugin.plugin")
    except Exception as error:
        remedy = "bash scripts/setup.sh, or pip install --no-build-isolation basicsr==1.4.2 once torch imports"
        yield Finding(f"basicsr {_version('basicsr')}: the plugin does not import ({_one_line(error)})", remedy)
        return
    yield Finding(f"basicsr {_version('basicsr')}, imports with the plugin")


def check_device() -> Iterator[Finding]:
    torch = importlib.import_module("torch")
    if torch.cuda.is_available():
        for i in range(torch.cuda.device_count()):
            free, total = torch.cuda.mem_get_info(i)
            (torch.ones(8, 8, device=f"cuda:{i}") @ torch.ones(8, 8, device=f"cuda:{i}")).sum().item()
            name = torch.cuda.get_device_name(i)
            yield Finding(f"GPU cuda:{i}: {name}, {byte_size(free)} of {byte_size(total)} free")
    elif Path("/dev/nvidia0").exists():
        remedy = "install a driver recent enough for this torch, or a torch built for the driver's CUDA version"
        yield Finding(f"GPU: there is an NVIDIA device, but torch ({_built_for(torch)}) cannot use it", remedy)
    elif torch.backends.mps.is_available():
        yield Finding("GPU: Apple's, as --device mps")
    else:
        yield Finding("GPU: none; everything runs on the CPU")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = torch.get_num_threads()
    limit = os.environ.get("OMP_NUM_THREADS")
    why = f" (OMP_NUM_THREADS={limit}; unset it to use all)" if limit is not None and threads < cores else ""
    yield Finding(f"CPU: {threads} threads on {cores} cores{why}")


def check_lmdb() -> Iterator[Finding]:
    lmdb = importlib.import_module("lmdb")
    with tempfile.TemporaryDirectory() as folder, lmdb.open(folder, map_size=2**20) as environment:
        with environment.begin(write=True) as transaction:
            transaction.put(b"key", b"value")
        with environment.begin() as transaction:
            intact = transaction.get(b"key") == b"value"
    remedy = f"pip install --upgrade lmdb, or set TMPDIR to a local disk (LMDB cannot use {tempfile.gettempdir()})"
    yield Finding(f"lmdb {_version('lmdb')}, writes and reads", None if intact else remedy)


def check_registries() -> Iterator[Finding]:
    registries = importlib.import_module("basicsr.utils.registry")
    encoders = importlib.import_module("clit_plugin.archs.encoders").ENCODER_REGISTRY
    expected = {"arch": "CLIT", "dataset": "ArbitraryScalePairedDataset", "model": "CumulativeScaleModel"}
    named = {kind: getattr(registries, f"{kind.upper()}_REGISTRY") for kind in ("arch", "dataset", "model", "metric")}
    for kind, registry in {**named, "encoder": encoders}.items():
        missing = kind in expected and expected[kind] not in registry
        remedy = "another package has broken the registration: import clit_plugin before it" if missing else None
        yield Finding(f"registered {kind}s: {_registered(registry)}", remedy)


def _registered(registry: Any) -> str:
    """Names by the module that registered them; BasicSR's are only counted."""
    by_module: dict[str, list[str]] = {}
    for name, kind in registry:
        package = kind.__module__.partition(".")[0]
        by_module.setdefault("basicsr" if package == "basicsr" else kind.__module__, []).append(name)
    parts = [
        f"{len(names)} of basicsr" if module == "basicsr" else f"{', '.join(sorted(names))} ({module})"
        for module, names in sorted(by_module.items())
    ]
    return "; ".join(parts)


def check_weights() -> Iterator[Finding]:
    from clit_plugin.inference.shipped import DEFAULT, damaged_weights

    damaged = damaged_weights()
    for name, what in damaged.items():
        yield Finding(f"weights of the package, {name}: {what}", "install the package again, or git checkout the file")
    if not damaged:
        yield Finding(f"weights of the package: intact ({DEFAULT.parent})")


CHECKS: list[Check] = [
    check_python,
    check_torch,
    check_packages,
    check_optional_packages,
    check_basicsr,
    check_device,
    check_lmdb,
    check_registries,
    check_weights,
]


def _built_for(torch: Any) -> str:
    return f"CUDA {torch.version.cuda}" if torch.version.cuda else "the CPU"


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "(not installed)"


def _one_line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]
