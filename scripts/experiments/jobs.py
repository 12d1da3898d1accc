"""Reads the list of jobs, jobs.yml."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).resolve().parent
STAGE_KEYS = {"steps", "scale_ranges", "network_g", "train", "datasets"}
# held_out: the held-out photographs; benchmarks: these and the four sets; realistic: held out, LR as from the web.
TESTS = {"held_out", "benchmarks", "realistic"}
JOB_KEYS = {"base", "seeds", "test", "studies", "stages", "network", "start"}


@dataclass(frozen=True)
class Job:
    """One training with one seed.

    Attributes:
        system: The name in jobs.yml.
        seed: ``manual_seed`` of every stage.
        base: The option file that its stages inherit from.
        studies: Tables of the report in which it appears.
        test: The test sets, of ``TESTS``.
        stages: Options of each stage; empty for a network without weights.
        network: ``network_g`` of a network without weights.
        start: Weights from which the first stage starts.
    """

    system: str
    seed: int
    base: Path
    studies: list[str]
    test: list[str]
    stages: list[dict[str, Any]] = field(default_factory=list)
    network: dict[str, Any] | None = None
    start: Path | None = None

    @property
    def name(self) -> str:
        return f"{self.system}_{self.seed}"

    @property
    def steps(self) -> int:
        return sum(stage["steps"] for stage in self.stages)

    def stage_name(self, number: int) -> str:
        return f"{self.name}_stage{number + 1}"

    def stage_options(self, number: int) -> dict[str, Any]:
        """The option file of a stage."""
        stage = self.stages[number]
        options: dict[str, Any] = {"_base_": str(self.base), "name": self.stage_name(number), "manual_seed": self.seed}
        train = {"total_iter": stage["steps"], "scheduler": {"periods": [stage["steps"]]}}
        options["train"] = _merged(train, stage.get("train", {}))
        datasets: dict[str, Any] = stage.get("datasets", {})
        if "scale_ranges" in stage:
            datasets = _merged(datasets, {"train": {"scale_ranges": stage["scale_ranges"]}})
        options["datasets"] = datasets
        options["network_g"] = stage.get("network_g", {})
        options["val"] = {"val_freq": stage["steps"]}
        return options


def read_jobs(path: Path = HERE / "jobs.yml") -> list[Job]:
    """All jobs; the first seed of every system comes before any second seed.

    Raises:
        ValueError: An unknown key, or an unknown test.
    """
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    jobs = []
    for system, own in content["jobs"].items():
        options = {**content["defaults"], **own}
        _check(options, JOB_KEYS, system)
        _check(options["test"], TESTS, f"{system}.test")
        for stage in options.get("stages", []):
            _check(stage, STAGE_KEYS, f"{system}.stages")
        base = path.parent / options.pop("base")
        if "start" in options:
            options["start"] = path.parent / options["start"]
        jobs += [
            (rank, Job(system=system, seed=seed, base=base, **options))
            for rank, seed in enumerate(options.pop("seeds"))
        ]
    return [job for _, job in sorted(jobs, key=lambda each: each[0])]


def _check(options: Iterable[str], known: set[str], where: str) -> None:
    for key in options:
        if key not in known:
            raise ValueError(f"{where}: unknown {key}; known are {', '.join(sorted(known))}")


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        merged[key] = _merged(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return merged
