"""What only a GPU can tell: whether the fused kernels agree there, what a training step takes, the benchmark.

    python scripts/gpu_check.py --out gpu.md

Every step is a process of its own with its own time limit, so that nothing hangs or stops the rest; the page is written
as the steps end. ``--minutes`` bounds the whole: a step that would begin later is left out, and the page says so.
``--step`` runs some steps only. Without a GPU the page has what is counted, and names the steps that are left out.
"""

import argparse
import math
import os
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LIMITS = {
    "counted": 300,
    "tests": 200,
    "agreement": 150,
    "gradients": 100,
    "steps": 200,
    "images": 120,
    "kernels": 60,
    "small": 90,
    "tiles": 120,
    "benchmark": 240,
}
WITHOUT_GPU = ["counted"]
DEFAULT = ["counted", "tests", "agreement", "gradients", "steps", "images", "kernels", "small", "benchmark"]


def counted() -> None:
    """What each case would cost, by ``clit benchmark --roofline``."""
    command = [sys.executable, "-m", "clit_plugin", "benchmark", "--roofline", "--card", card()]
    print(subprocess.run(command, cwd=ROOT, text=True, capture_output=True, check=True).stdout)


def tests() -> None:
    """The tests that use a GPU where there is one."""
    files = ["tests/models/test_captured_step.py", "tests/models/test_guarded_step.py"]
    command = [sys.executable, "-m", "pytest", "-q", *files]
    done = subprocess.run(command, cwd=ROOT, text=True, capture_output=True, check=False)
    print(f"```\n{done.stdout[-1500:]}\n```")
    if done.returncode:
        raise SystemExit(done.returncode)


def card() -> str:
    """The card of ``clit benchmark --roofline`` that is nearest to the GPU."""
    import torch

    return "a100" if torch.cuda.is_available() and "A100" in torch.cuda.get_device_name() else "h100"


def agreement() -> None:
    """Largest difference of each result from torch's operations in float32, relative to its largest value."""
    import torch

    from clit_plugin.fast.fused_attention import FusedAttention
    from clit_plugin.fast.fused_check import largest_differences, tolerance
    from clit_plugin.fast.fused_tiles import Shapes

    device = torch.device("cuda", 0)
    shared = torch.cuda.get_device_properties(device).shared_memory_per_block_optin
    print(f"shared memory of a block: {shared} B\n")
    print("| heads x depth, F, grid | dtype | worst | difference | allowed | s |\n|---|---|---|---|---|---|")
    for shapes in (
        Shapes(8, 32, 256, (7, 7)),
        Shapes(4, 8, 64, (7, 7)),
        Shapes(3, 12, 33, (3, 5)),
        Shapes(1, 256, 256, (1, 1)),
        Shapes(4, 64, 256, (25, 25)),
        Shapes(8, 64, 512, (5, 5)),
    ):
        for dtype, tf32 in (
            (torch.float32, False),
            (torch.float32, True),
            (torch.float16, False),
            (torch.bfloat16, False),
        ):
            name = "tf32" if tf32 else str(dtype)[6:]
            start = time.perf_counter()
            try:
                large = shared >= 227 * 1024
                differences: list[tuple[str, float]] = []
                for crowded in (0.0, math.inf):  # both ways to sum v's gradient
                    fused = FusedAttention(shapes, dtype, tf32=tf32, large=large, crowded=crowded)
                    differences += largest_differences(fused, shapes, dtype, device).items()
                worst, difference = max(differences, key=lambda each: each[1])
                verdict = f"{worst} | {difference:.1e} | {tolerance(dtype, tf32=tf32):.0e}"
            except Exception as error:
                verdict = f"{type(error).__name__}: {' '.join(str(error).split())[-300:]} | - | -"
            what = f"{shapes.heads} x {shapes.depth}, {shapes.features}, {shapes.grid}"
            print(f"| {what} | {name} | {verdict} | {time.perf_counter() - start:.1f} |", flush=True)


def gradients() -> None:
    """A whole network's gradients, fused against not, each relative to its largest value; stages 1 and 2."""
    import torch

    from clit_plugin.commands.benchmark_cases import Case
    from clit_plugin.fast.fused_choice import set_fused

    print("| step | dtype | largest difference | of |\n|---|---|---|---|")
    for case in (Case("stage 1", 24, (4,), batch=2), Case("stage 2", 24, (3, 2), batch=2)):
        for amp in (False, True):
            step = Step(case, amp=amp, network={})
            results = []
            for mode in ("off", "auto"):
                set_fused(mode)
                step()
                named = step.run.net.named_parameters()
                results.append({n: p.grad.clone() for n, p in named if p.grad is not None and n != "pos_bias.bias"})
            off, fused = results
            differences = {n: float((fused[n] - off[n]).abs().max() / off[n].abs().max()) for n in off}
            worst = max(differences, key=lambda key: differences[key])
            print(
                f"| {case.name} | {'bfloat16' if amp else 'float32'} | {differences[worst]:.1e} | {worst} |", flush=True
            )
    torch.cuda.synchronize()


def steps() -> None:
    """Forward and backward pass at batch 32, 48 x 48 patches, EDSR-baseline, the paper's sizes; beside it the count."""
    import torch

    from clit_plugin.commands.benchmark_cases import Case
    from clit_plugin.commands.benchmark_roofline import CARDS, RooflineCase, row_of

    print("| stage | dtype | fused | step, ms | peak, GB | counted: work, ms | launches, ms | kernels | GB |")
    print("|---|---|---|---|---|---|---|---|---|")
    for case in (
        Case("1, x4", 48, (4,), batch=32),
        Case("2, x3 x2", 48, (3, 2), batch=32),
        Case("3, x3 x3 x1.5", 48, (3, 3, 1.5), batch=32),
    ):
        for amp in (True, False):
            name, size, factors, batch = case.name, (case.lq_size, case.lq_size), case.factors, case.batch
            bill = row_of(
                RooflineCase(name, "CLIT", size, factors, batch), CARDS[card()], torch.bfloat16 if amp else None
            )
            beside = f" {bill['work'] * 1e3:.1f} | {bill['launches'] * 1e3:.1f} | {bill['kernels']} "
            beside += f"| {bill['bytes'] / 1e9:.1f} |"
            for mode in ("auto", "off") if amp else ("auto", "tf32", "off"):
                print(row(case, amp, mode, {}) + (beside if mode == "auto" else " - | - | - | - |"), flush=True)


def images() -> None:
    """Whole images: kernels against torch's operations; then x4 of 510 x 339 pixels, the paper's sizes."""
    import torch

    from clit_plugin.archs.build import build_network
    from clit_plugin.commands.benchmark_roofline import CARDS, RooflineCase, row_of
    from clit_plugin.fast.fused_choice import set_fused
    from clit_plugin.fast.fused_grid import FusedGrid
    from clit_plugin.fast.fused_grid_choice import compare
    from clit_plugin.fast.fused_tiles import Shapes

    device = torch.device("cuda", 0)
    print("| heads x depth, F, grid | scale | dtype | difference | fused, ms | torch, ms |\n|---|---|---|---|---|---|")
    for shapes in (Shapes(8, 32, 256, (7, 7)), Shapes(4, 8, 64, (7, 7)), Shapes(4, 64, 100, (5, 3))):
        for dtype in (torch.float32, torch.float16, torch.bfloat16):
            for scale in (2, 4, 5, 8):
                what = (
                    f"| {shapes.heads} x {shapes.depth}, {shapes.features}, {shapes.grid} | {scale} | {str(dtype)[6:]}"
                )
                try:
                    fused = FusedGrid(shapes, dtype, tf32=False)
                    difference, times = compare(fused, device, torch.cuda.synchronize, scale=scale)
                    print(f"{what} | {difference:.1e} | {1e3 * times[0]:.1f} | {1e3 * times[1]:.1f} |", flush=True)
                except Exception as error:
                    print(f"{what} | {type(error).__name__}: {' '.join(str(error).split())[-300:]} | - | - |")
    print("\n| dtype | fused | image, ms | peak, GB | counted: work, ms | launches, ms |\n|---|---|---|---|---|---|")
    net = build_network({"type": "CLIT", "encoder": {"type": "EDSRBaseline"}}).to(device).eval()
    lq = torch.rand(1, 3, 339, 510, device=device)
    for amp in (True, False):
        for mode in ("auto", "off"):
            set_fused(mode)
            case = RooflineCase("x4", "CLIT", (339, 510), (4,))
            bill = row_of(case, CARDS[card()], torch.bfloat16 if amp else None)
            times = []
            for i in range(5):
                if i == 2:
                    torch.cuda.reset_peak_memory_stats()
                torch.cuda.synchronize()
                start = time.perf_counter()
                with torch.autocast("cuda", torch.bfloat16, enabled=amp):
                    net.upscale(lq, (1356, 2040))
                torch.cuda.synchronize()
                times.append(1e3 * (time.perf_counter() - start))
            measured = f"{statistics.median(times[2:]):.1f} | {torch.cuda.max_memory_allocated() / 1e9:.1f}"
            beside = f"{bill['work'] * 1e3:.1f} | {bill['launches'] * 1e3:.1f}"
            print(f"| {'bfloat16' if amp else 'float32'} | {mode} | {measured} | {beside} |", flush=True)


def small() -> None:
    """A small network at batch 16: the reference path, the fused path, and torch's chunks."""
    from clit_plugin.commands.benchmark_cases import Case
    from clit_plugin.fast import sample

    network = {"encoder": {"type": "EDSRBaseline", "num_feat": 32, "num_block": 4}, "dim": 32, "num_heads": 4}
    network["decoder_hidden"] = [64, 64]
    print("dim 32, 4 heads, decoder 64 64\n")
    print("| stage | dtype | path | step, ms | peak, GB |\n|---|---|---|---|---|")
    reference_bytes = sample.REFERENCE_BYTES
    for case in (Case("1", 48, (4,), batch=16), Case("2", 48, (3, 2), batch=16)):
        for amp in (True, False):
            sample.REFERENCE_BYTES = reference_bytes
            print(row(case, amp, "off", network, path="as chosen with fused off"), flush=True)
            sample.REFERENCE_BYTES = 0
            print(row(case, amp, "auto", network, path="fused"), flush=True)
            print(row(case, amp, "off", network, path="chunks"), flush=True)


def kernels() -> None:
    """Where the time of a stage 1 step at batch 32 goes, fused."""
    import torch
    from torch.profiler import ProfilerActivity, profile

    from clit_plugin.commands.benchmark_cases import Case

    for amp in (True, False):
        step = Step(Case("1, x4", 48, (4,), batch=32), amp=amp, network={})
        for _ in range(2):
            step()
        torch.cuda.synchronize()
        with profile(activities=[ProfilerActivity.CUDA]) as profiler:
            step()
            torch.cuda.synchronize()
        events = [e for e in profiler.key_averages() if e.self_device_time_total > 0]
        events.sort(key=lambda e: -e.self_device_time_total)
        total = sum(e.self_device_time_total for e in events) / 1e3
        count = sum(e.count for e in events)
        print(f"{'bfloat16' if amp else 'float32'}: {count} kernels, {total:.1f} ms\n")
        print("| kernel | calls | ms |\n|---|---|---|")
        for event in events[:14]:
            print(f"| {event.key[:60].replace('|', '/')} | {event.count} | {event.self_device_time_total / 1e3:.2f} |")
        print(flush=True)


def tiles() -> None:
    """Other tile sizes of each kernel at the paper's sizes, 73,728 queries in 32 maps of 48 x 48; ms."""
    import torch

    from clit_plugin.fast.arithmetic import Chunk, Totals
    from clit_plugin.fast.fused_attention import FusedAttention
    from clit_plugin.fast.fused_tiles import Shapes
    from clit_plugin.fast.tile_tables import Tables

    shapes, device = Shapes(8, 32, 256, (7, 7)), torch.device("cuda", 0)
    n, width = 73728, 54
    image, place = torch.arange(n, device=device) // 2304, torch.randint(48, (2, n), device=device) + 3
    centre = image * width * width + place[0] * width + place[1]
    print("| dtype | kernel | tile | ms |\n|---|---|---|---|")
    for dtype in (torch.bfloat16, torch.float32):
        tables = Tables(*(torch.randn(32 * width * width, 256, device=device).to(dtype) for _ in range(3)))
        hat = torch.rand(n, 9, device=device)
        bias = [torch.randn(n, 7, 8, device=device) for _ in range(2)]
        weight = (torch.randn(256, 49 * 256, device=device) / 112).to(dtype)
        grad = torch.randn(n, 256, device=device).to(dtype)
        totals = Totals(*(torch.zeros_like(tensor, dtype=torch.float32) for tensor in (*tables, weight)))
        arguments = (tables, Chunk(centre, width, hat, *bias), weight)

        def timed(kernel: str, tile: dict[str, int]) -> float:
            crowded = math.inf if kernel == "values_backward" else 0.0
            fused = FusedAttention(shapes, dtype, tf32=False, large=True, crowded=crowded)  # noqa: B023
            fused.tiles = fused.tiles._replace(**{kernel: tile})
            events: list[tuple[torch.cuda.Event, torch.cuda.Event]] = []
            fused.kernels = Timed(fused.kernels, kernel + "_kernel", events)
            for _ in range(3):
                _, kept = fused.forward(*arguments)  # noqa: B023
                if kernel not in ("logits", "hidden"):
                    fused.backward(*arguments, grad, totals, kept)  # noqa: B023
            torch.cuda.synchronize()
            return min(start.elapsed_time(stop) for start, stop in events)

        chosen = FusedAttention(shapes, dtype, tf32=False, large=True).tiles
        for kernel, tile in chosen._asdict().items():
            for other in [{}, *OTHERS.get(kernel, [])]:
                try:
                    result = f"{timed(kernel, {**tile, **other}):.2f}"
                except Exception as error:
                    result = f"{type(error).__name__}: {' '.join(str(error).split())[:60]}"
                print(f"| {str(dtype)[6:]} | {kernel} | {other or tile} | {result} |", flush=True)


OTHERS = {
    "logits": [{"num_warps": 4}, {"block": 8, "num_warps": 4}, {"num_stages": 3}],
    "hidden": [
        {"channels_tile": 32},
        {"num_stages": 2},
        {"num_stages": 4},
        {"block": 64, "num_warps": 4},
        {"block": 64, "features_tile": 128, "num_warps": 4},
        {"block": 64, "features_tile": 256},
    ],
    "values_backward": [
        {"num_stages": 3},
        {"num_stages": 1},
        {"block": 64, "num_warps": 4},
        {"num_warps": 4},
        {"block": 128, "features_tile": 64},
        {"block": 64, "features_tile": 32, "num_warps": 4},
    ],
    "values_by_pixel": [
        {"queries_tile": 64},
        {"block": 64, "queries_tile": 64, "num_warps": 4},
        {"num_stages": 3},
        {"num_warps": 4},
    ],
    "logits_backward": [{"num_warps": 4}, {"block": 8, "num_warps": 4}, {"num_stages": 3}],
    "weight_grad": [
        {"num_stages": 2},
        {"block": 32},
        {"channels_tile": 64},
        {"block": 128, "num_stages": 2},
        {"features_tile": 128, "num_warps": 4},
    ],
}


class Timed:
    """The kernels' module, with one kernel's launches timed."""

    def __init__(self, module: object, name: str, events: list) -> None:
        self.module, self.name, self.events = module, name, events

    def __getattr__(self, name: str) -> object:
        kernel = getattr(self.module, name)
        return _Launches(kernel, self.events) if name == self.name else kernel


class _Launches:
    def __init__(self, kernel: object, events: list) -> None:
        self.kernel, self.events = kernel, events

    def __getitem__(self, grid: tuple[int, ...]) -> object:
        import torch

        def launch(*args: object, **options: object) -> None:
            start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            start.record()
            self.kernel[grid](*args, **options)
            stop.record()
            self.events.append((start, stop))

        return launch


def benchmark() -> None:
    """``clit benchmark --device cuda``."""
    command = [sys.executable, "-m", "clit_plugin", "benchmark", "--device", "cuda"]
    done = subprocess.run(command, cwd=ROOT, text=True, capture_output=True, check=False)
    print(done.stdout + (done.stderr[-600:] if done.returncode else ""))


class Step:
    """Forward and backward pass of a training step."""

    def __init__(self, case: object, *, amp: bool, network: dict) -> None:
        import torch

        from clit_plugin.commands.benchmark_runs import TimedCase

        self.run = TimedCase(case, reference=False, device=torch.device("cuda", 0), network=network)
        self.amp = amp

    def __call__(self) -> None:
        import torch

        run = self.run
        run.net.zero_grad(set_to_none=True)
        with torch.autocast("cuda", torch.bfloat16, enabled=self.amp):
            output = run.net(run.lq, run.coord, run.cell, run.case.stage_sizes)
        torch.nn.functional.l1_loss(output.float(), run.gt).backward()


def row(case: object, amp: bool, mode: str, network: dict, path: str | None = None) -> str:
    """A line of a table: median of five steps after two, and the most memory of one."""
    import torch

    from clit_plugin.fast.fused_choice import set_fused

    set_fused(mode)
    head = f"| {case.name} | {'bfloat16' if amp else 'float32'} | {path or mode}"
    try:
        step = Step(case, amp=amp, network=network)
        times = []
        for i in range(7):
            if i == 2:
                torch.cuda.reset_peak_memory_stats()
            torch.cuda.synchronize()
            start = time.perf_counter()
            step()
            torch.cuda.synchronize()
            times.append(1e3 * (time.perf_counter() - start))
        return f"{head} | {statistics.median(times[2:]):.1f} | {torch.cuda.max_memory_allocated() / 1e9:.1f} |"
    except Exception as error:
        return f"{head} | {type(error).__name__}: {' '.join(str(error).split())[:100]} | - |"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("gpu_check.md"), help="the page (default: gpu_check.md)")
    parser.add_argument("--minutes", type=float, default=15.0, help="for all steps (default: 15)")
    parser.add_argument("--step", nargs="+", choices=list(LIMITS), default=DEFAULT, help="default: all but tiles")
    parser.add_argument("--child", choices=list(LIMITS), help=argparse.SUPPRESS)
    args = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    if args.child:
        import logging

        logging.basicConfig(level=logging.WARNING, stream=sys.stdout, format="%(message)s\n")
        globals()[args.child]()
        return 0
    import torch

    gpu = torch.cuda.is_available()
    end = time.monotonic() + 60 * args.minutes
    page = f"# {torch.cuda.get_device_name() if gpu else 'No GPU: counted only'}, torch {torch.__version__}\n"
    failed = False
    left_out = [] if gpu else [name for name in args.step if name not in WITHOUT_GPU]
    if left_out:
        page += f"\nLeft out, as torch finds no GPU: {', '.join(left_out)}\n"
        print(page, flush=True)
    for name in [name for name in args.step if name not in left_out]:
        limit = min(LIMITS[name], end - time.monotonic())
        page += f"\n## {name}\n\n{globals()[name].__doc__}\n\n"
        start = time.monotonic()
        if limit < 15:
            page, failed = page + "left out: no time left\n", True
        else:
            output, status = child(name, limit)
            failed |= status != "done"
            page += f"{output.strip()}\n\n({status}, {time.monotonic() - start:.0f} s)\n"
        args.out.write_text(page, encoding="utf-8")
        print(page[page.rindex("\n## ") :], flush=True)
    args.out.write_text(page, encoding="utf-8")
    return int(failed or bool(left_out))


def child(name: str, limit: float) -> tuple[str, str]:
    """What a step prints, and how it ended."""
    command = [sys.executable, "-u", str(Path(__file__).resolve()), "--child", name]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "start_new_session": True}
    with subprocess.Popen(command, cwd=ROOT, text=True, **pipes) as process:
        try:
            output, errors = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # with the processes that it has started
            output, errors = process.communicate()
            return output, f"stopped after {limit:.0f} s"
    if process.returncode:
        return f"{output}\n```\n{errors[-1500:]}\n```", f"failed with {process.returncode}"
    return output, "done"


if __name__ == "__main__":
    sys.exit(main())
