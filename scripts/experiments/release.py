"""Turn the final weights of a job into a file that ships with the package.

usage: python scripts/experiments/release.py OUTPUT JOB     (such as experiments_output clit_small_0)

Writes clit_plugin/weights/SYSTEM.pth: the averaged weights, network_g, and metadata for users.
"""

import hashlib
import math
import sys
from pathlib import Path

import torch
from jobs import HERE, read_jobs

WEIGHTS = HERE.parents[1] / "clit_plugin" / "weights"
MAX_BYTES = 4_000_000


def main(output: Path, name: str) -> None:
    """Write the file and print its size."""
    job = next((job for job in read_jobs() if job.name == name), None)
    if job is None:
        sys.exit(f"release.py: {name}: no such job in jobs.yml")
    last = len(job.stages) - 1
    source = output / "experiments" / job.stage_name(last) / "models/net_g_latest.pth"
    if not source.is_file():
        sys.exit(f"release.py: {source}: does not exist; run.sh --only {name} trains it")
    checkpoint = torch.load(source, map_location="cpu", weights_only=True)
    options = job.stages[last]
    ranges = options["scale_ranges"]
    degradation = options.get("datasets", {}).get("train", {}).get("degradation", "pil")
    content = {
        "params": checkpoint["params_ema"],
        "network_g": checkpoint["network_g"],
        "iter": checkpoint["iter"],
        "about": {
            "name": job.system,
            "scale_range": [1.0, float(max(math.prod(pair[1] for pair in alternative) for alternative in ranges))],
            "degradation": degradation if isinstance(degradation, str) else degradation["type"],
            "steps": job.steps,
            "licence": "Apache-2.0",
            "card": "clit_plugin/weights/README.md",
        },
    }
    WEIGHTS.mkdir(exist_ok=True)
    target = WEIGHTS / f"{job.system}.pth"
    torch.save(content, target)
    files = sorted(WEIGHTS.glob("*.pth"))
    sums = [f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n" for file in files]
    (WEIGHTS / "SHA256SUMS").write_text("".join(sums), encoding="ascii")
    size = target.stat().st_size
    print(f"{target}: {size} bytes, {sum(value.numel() for value in content['params'].values())} parameters")
    if size > MAX_BYTES:
        sys.exit(f"release.py: {target}: {size} bytes, more than {MAX_BYTES}")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), sys.argv[2])
