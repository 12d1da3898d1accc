"""Whether the fused kernels agree with torch on this GPU."""

import math
import time

from gpu_steps.commands import card
from gpu_steps.timing import Step, measured


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
            roofline = row_of(case, CARDS[card()], torch.bfloat16 if amp else None)

            def upscale(amp: bool = amp) -> None:
                with torch.autocast("cuda", torch.bfloat16, enabled=amp):
                    net.upscale(lq, (1356, 2040))

            beside = f"{roofline['work'] * 1e3:.1f} | {roofline['launches'] * 1e3:.1f}"
            cells = measured(upscale, count=5)
            print(f"| {'bfloat16' if amp else 'float32'} | {mode} | {cells} | {beside} |", flush=True)
