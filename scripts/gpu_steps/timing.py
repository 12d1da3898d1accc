"""What a training step takes."""

import statistics
import time
from collections.abc import Callable

from gpu_steps.commands import card


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


def measured(run: Callable[[], object], *, count: int) -> str:
    """Two cells of a table: milliseconds, the median of ``count`` runs without the first two; and peak memory in GB."""
    import torch

    times = []
    for i in range(count):
        if i == 2:
            torch.cuda.reset_peak_memory_stats()
        torch.cuda.synchronize()
        start = time.perf_counter()
        run()
        torch.cuda.synchronize()
        times.append(1e3 * (time.perf_counter() - start))
    return f"{statistics.median(times[2:]):.1f} | {torch.cuda.max_memory_allocated() / 1e9:.1f}"


def row(case: object, amp: bool, mode: str, network: dict, path: str | None = None) -> str:
    """A line of a table: median of five steps after two, and the most memory of one."""
    from clit_plugin.fast.fused_choice import set_fused

    set_fused(mode)
    head = f"| {case.name} | {'bfloat16' if amp else 'float32'} | {path or mode}"
    try:
        step = Step(case, amp=amp, network=network)
        return f"{head} | {measured(step, count=7)} |"
    except Exception as error:
        return f"{head} | {type(error).__name__}: {' '.join(str(error).split())[:100]} | - |"


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
            roofline = row_of(
                RooflineCase(name, "CLIT", size, factors, batch), CARDS[card()], torch.bfloat16 if amp else None
            )
            beside = f" {roofline['work'] * 1e3:.1f} | {roofline['launches'] * 1e3:.1f} | {roofline['kernels']} "
            beside += f"| {roofline['bytes'] / 1e9:.1f} |"
            for mode in ("auto", "off") if amp else ("auto", "tf32", "off"):
                print(row(case, amp, mode, {}) + (beside if mode == "auto" else " - | - | - | - |"), flush=True)


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
