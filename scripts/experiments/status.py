"""List which jobs of jobs.yml are done, running or left, with an estimate of the hours; see status.sh."""

import argparse
import json
import re
from pathlib import Path

from jobs import Job, read_jobs
from run import RESULTS, locked


def main() -> None:
    parser = argparse.ArgumentParser(prog="status.sh", description=__doc__)
    parser.add_argument("output", type=Path, nargs="?", default=Path("experiments_output"), help="as given to run.sh")
    output = parser.parse_args().output
    jobs = read_jobs()
    done = {job.name: json.loads(file.read_text()) for job in jobs if (file := RESULTS / f"{job.name}.json").exists()}
    trained = {name: result for name, result in done.items() if result["steps"] and result["device"] == "CPU"}
    rates = {name: result["seconds"] / result["steps"] for name, result in trained.items()}
    mean = sum(rates.values()) / len(rates) if rates else None
    left = 0.0
    for job in jobs:
        if job.name in done:
            print(f"done     {job.name:24} {_figures(done[job.name])}")
            continue
        steps = steps_done(job, output)
        rate = next((rate for name, rate in rates.items() if name.rpartition("_")[0] == job.system), mean)
        hours = None if rate is None else rate * (job.steps - steps) / 3600
        left += hours or 0
        state = "running" if is_running(job, output) else "left" if steps == 0 else "stopped"
        print(f"{state:8} {job.name:24} {steps} of {job.steps} steps{'' if hours is None else f', {hours:.1f} h left'}")
    print(f"{len(done)} of {len(jobs)} done; about {left:.1f} h of one CPU core left")


def steps_done(job: Job, output: Path) -> int:
    """Steps of all stages that a resume would not repeat."""
    total = 0
    for number in range(len(job.stages)):
        states = (output / "experiments" / job.stage_name(number) / "training_states").glob("*.state")
        total += max((int(state.stem) for state in states if re.fullmatch(r"\d+", state.stem)), default=0)
    return total


def is_running(job: Job, output: Path) -> bool:
    """Whether a process has locked the job."""
    file = output / "locks" / job.name
    if not file.exists():
        return False
    with locked(file) as free:
        return not free


def _figures(result: dict) -> str:
    name, scores = next(iter(result["psnr"].items()))
    return f"{name} " + " ".join(f"{scale} {value:.2f}" for scale, value in scores.items())


if __name__ == "__main__":
    main()
