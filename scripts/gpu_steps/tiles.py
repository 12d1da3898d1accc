"""Other tile sizes of the kernels."""

import math

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
