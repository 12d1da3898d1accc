"""Train and score the jobs of jobs.yml that have no result yet; see run.sh."""

import argparse
import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import yaml
from jobs import HERE, Job, read_jobs

RESULTS = HERE / "results"
SCALES = (2, 3, 4, 6, 8, 12)
BENCHMARKS = ("Set5", "Set14", "B100", "Urban20")
# Degraded like photographs from phones and the web, for networks that are trained on them.
REALISTIC = {"type": "realistic"}

DESCRIPTION = """\
Train and score the jobs of jobs.yml that have no result yet, in their order; resumes where the last run stopped.
Results go to scripts/experiments/results, one small JSON per job; weights, logs and states go to OUTPUT.
"""


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="run.sh", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photographs", type=Path, required=True, help="folder made by scripts/photographs.sh")
    parser.add_argument("--benchmarks", type=Path, help="folder with Set5/HR, Set14/HR, B100/HR, Urban20/HR")
    parser.add_argument("--output", type=Path, default=Path("experiments_output"), help="weights, logs and states")
    parser.add_argument("--jobs", type=Path, default=HERE / "jobs.yml", help="the list of jobs")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the results, one JSON per job")
    parser.add_argument("--workers", type=int, default=2, help="DataLoader workers per job on a GPU (default 2)")
    parser.add_argument("--parallel", type=int, default=1, help="jobs at a time, each on one thread (default 1)")
    parser.add_argument("--only", nargs="+", default=["*"], metavar="GLOB", help="names of jobs, such as 'LIT_*'")
    parser.add_argument("--minutes", type=float, help="stop after this time; the next run resumes unfinished jobs")
    return parser.parse_args()


def main() -> int:
    """Run jobs until all are done, the time is up, or Ctrl-C; the exit status is 1 if a job failed."""
    args = arguments()
    args.output.mkdir(parents=True, exist_ok=True)
    link = args.output / "photographs"
    if not link.exists():
        link.symlink_to(args.photographs.resolve())
    jobs = [job for job in read_jobs(args.jobs) if any(fnmatch(job.name, glob) for glob in args.only)]
    runner = Runner(args)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: runner.stop())
    with ThreadPoolExecutor(args.parallel) as pool:
        outcomes = list(pool.map(runner.run, jobs))
    failed = [job.name for job, fine in zip(jobs, outcomes, strict=True) if not fine]
    if failed and not runner.stopping.is_set():
        say(f"failed: {', '.join(failed)}; see {args.output}/logs")
        return 1
    return 130 if runner.stopping.is_set() else 0


class Runner:
    """Runs jobs as processes of ``clit``.

    Args:
        args: See ``arguments``.
    """

    def __init__(self, args: argparse.Namespace) -> None:
        self.output, self.results = args.output.resolve(), args.results.resolve()
        self.benchmarks = args.benchmarks and args.benchmarks.resolve()
        self.options = device_options(args.workers)
        self.stopping = threading.Event()
        self.processes: set[subprocess.Popen[bytes]] = set()
        if args.minutes is not None:
            timer = threading.Timer(60 * args.minutes, self.stop)
            timer.daemon = True
            timer.start()

    def stop(self) -> None:
        """Interrupt the running jobs, which save their step, and start no others."""
        self.stopping.set()
        for process in list(self.processes):
            process.send_signal(signal.SIGINT)

    def run(self, job: Job) -> bool:
        """Train and score one job, unless it is done or another process runs it; returns False if it failed."""
        with locked(self.output / "locks" / job.name) as acquired:
            if self.stopping.is_set() or not acquired or (self.results / f"{job.name}.json").exists():
                return True
            say(f"{job.name}: started")
            start = time.monotonic()
            try:
                if job.stages:
                    self._train(job)
                self._score(job, time.monotonic() - start)
            except subprocess.CalledProcessError:
                if not self.stopping.is_set():
                    say(f"{job.name}: failed, see {self.output / 'logs' / job.name}.log")
                return False
            say(f"{job.name}: done in {time.monotonic() - start:.0f} s")
            return True

    def _train(self, job: Job) -> None:
        files = []
        for number in range(len(job.stages)):
            options = job.stage_options(number)
            if number == 0 and job.start:
                options["path"] = {"pretrain_network_g": str(job.start)}
            files.append(self._write(f"options/{job.stage_name(number)}.yml", options))
        self._clit(job, "train", "--auto_resume", "-opt", *files, "--set", *self.options)

    def _score(self, job: Job, seconds: float) -> None:
        options: dict[str, Any] = {"name": job.name, "manual_seed": 0, "network_g": job.network}
        if job.stages:
            import torch

            weights = self.output / "experiments" / job.stage_name(len(job.stages) - 1) / "models/net_g_latest.pth"
            options["network_g"] = torch.load(weights, map_location="cpu", weights_only=True)["network_g"]
            options["path"] = {"pretrain_network_g": str(weights), "param_key_g": "params_ema"}
        options["val"] = {"metrics": {"psnr": {"type": "psnr_float"}}, "pbar": False}
        options["datasets"] = self._test_sets(job.test)
        self._clit(job, "test", "-opt", self._write(f"options/{job.name}_test.yml", options))
        stored = [
            json.loads(file.read_text()) for file in (self.output / "results" / job.name / "metrics").glob("*.json")
        ]
        psnr: dict[str, dict[str, float]] = {}
        for result in sorted(stored, key=lambda result: (result["family"], result["scale"])):
            psnr.setdefault(result["family"], {})[f"x{result['scale'][0]:g}"] = round(result["metrics"]["psnr"], 4)
        summary = {
            "system": job.system,
            "seed": job.seed,
            "steps": job.steps,
            "studies": job.studies,
            "psnr": psnr,
            "seconds": round(seconds),
            "device": stored[0]["device"],
            "weights": stored[0]["weights"] and {k: stored[0]["weights"][k] for k in ("sha256", "param_key")},
            "degradation": {result["family"]: result["degradation"] for result in stored},
            "data_sha256": {result["family"]: result["data_sha256"] for result in stored},
            "network_g": options["network_g"],
            "versions": stored[0]["versions"],
        }
        self.results.mkdir(parents=True, exist_ok=True)
        (self.results / f"{job.name}.json").write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")

    def _test_sets(self, tests: Sequence[str]) -> dict[str, Any]:
        held_out = self.output / "photographs/held_out.lmdb"
        folders = {"held_out": held_out} if {"held_out", "benchmarks"} & set(tests) else {}
        if "realistic" in tests:
            folders["held_out_realistic"] = held_out
        if "benchmarks" in tests:
            if self.benchmarks is None:
                raise SystemExit("run.sh: --benchmarks FOLDER is needed by these jobs")
            folders |= {name: self.benchmarks / name / "HR" for name in BENCHMARKS}
        sets = {}
        for name, folder in folders.items():
            for scale in SCALES:
                key = f"test_{name.lower()}_x{scale}"
                sets[key] = {"name": f"{name}_x{scale}", "dataroot_gt": str(folder), "scale": scale}
                sets[key] |= {"protocol": "benchmark", "degradation": REALISTIC if "realistic" in name else "pil"}
        return sets

    def _write(self, name: str, options: dict[str, Any]) -> str:
        file = self.output / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(yaml.safe_dump(options, sort_keys=False), encoding="utf-8")
        return str(file)

    def _clit(self, job: Job, command: str, *args: str) -> None:
        """Run one command on one thread, at low priority, logging its output; raises CalledProcessError if it fails."""
        log = self.output / "logs" / f"{job.name}.log"
        log.parent.mkdir(exist_ok=True)
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        with log.open("ab") as output:
            process = subprocess.Popen(
                ["nice", "-n", "19", sys.executable, "-m", "clit_plugin", command, *args],
                cwd=self.output, env=environment, stdout=output, stderr=output, stdin=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C reaches it once, through stop()
            )  # fmt: skip
            self.processes.add(process)
            if self.stopping.is_set():
                process.send_signal(signal.SIGINT)
            status = process.wait()
            self.processes.discard(process)
        if status:
            raise subprocess.CalledProcessError(status, command)


def device_options(workers: int) -> Sequence[str]:
    """Options for the device at hand, which affect results only by rounding."""
    import torch

    if not torch.cuda.is_available():
        return ["num_gpu=0"]
    loader = [f"num_worker_per_gpu={workers}", "persistent_workers=true", "pin_memory=true"]
    return ["num_gpu=1", "train.cuda_graphs=true", *(f"datasets.train.{option}" for option in loader)]


@contextmanager
def locked(file: Path) -> Iterator[bool]:
    """Hold a lock until the block or this process ends; yields False if another process holds it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
