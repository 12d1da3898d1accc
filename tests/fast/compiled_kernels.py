"""What Triton kernels need of a GPU, from their compilation for one, which needs no GPU."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from clit_plugin.fast.fused_tiles import Shapes

# The most shared memory that a block may have, bytes: Hopper, and what every GPU from 8.0 has.
TARGETS = {"sm_90": (90, True, 227 * 1024), "sm_80": (80, False, 99 * 1024)}


def compiled(
    kernel: Any, shapes: Shapes, tile: dict[str, int], dtype: str, capability: int, folder: Path, **types: str
) -> tuple[int, int, int]:
    """Registers of a thread, bytes of its stack (what does not fit in registers) and a block's shared memory.

    ``types``: of parameters that the kernels do not have in common.
    """
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    dump = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
    if not dump.exists():
        pytest.skip(f"no {dump}, which reads what a kernel needs")
    integers = {
        "centre": "*i64",
        "order": "*i64",
        "starts": "*i64",
        "pixels": "i32",
        "n": "i32",
        "width": "i32",
        "queries": "i32",
        "scale": "fp32",
    }
    typed = dict.fromkeys(("q_table", "k_table", "v_table", "weight", "hidden", "grad", "values"), "*" + dtype)
    typed |= dict.fromkeys(("q_between", "q_grad"), "*" + dtype)
    sizes = {"heads": shapes.heads, "depth": shapes.depth, "features": shapes.features}
    sizes |= {"grid_h": shapes.grid[0], "grid_w": shapes.grid[1], **tile}
    constants = {**sizes, "precision": "ieee" if dtype == "bf16" else "tf32x3"}
    signature, aligned = {}, {}
    for i, parameter in enumerate(kernel.params):
        kind = "constexpr" if parameter.is_constexpr else {**integers, **typed, **types}.get(parameter.name, "*fp32")
        signature[parameter.name] = kind
        if kind.startswith("*"):
            aligned[(i,)] = [["tt.divisibility", 16]]
    used = {key: constants[key] for key, kind in signature.items() if kind == "constexpr"}
    binary = triton.compile(
        ASTSource(fn=kernel, signature=signature, constexprs=used, attrs=aligned),
        target=GPUTarget("cuda", capability, 32),
        options={key: tile[key] for key in ("num_warps", "num_stages")},
    )
    file = folder / f"{kernel.__name__}.cubin"
    file.write_bytes(binary.asm["cubin"])
    usage = subprocess.run([dump, "--dump-resource-usage", file], capture_output=True, text=True, check=True).stdout
    found = {key: int(value) for key, value in re.findall(r"(REG|STACK|LOCAL):(\d+)", usage)}
    return found["REG"], found["STACK"] + found["LOCAL"], binary.metadata.shared
