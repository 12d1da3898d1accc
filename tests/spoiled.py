"""Ways to spoil a good folder, and what a command says then.

A row of a table is a kind of bad input: what changes the folder, the command, and a part of what is said.
"""

import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image

from clit_plugin.commands import cli

Change = Callable[[], object]
TRAIN, UPSCALE = "train -opt own.yml", "upscale hr/0001.png -o out.png --scale 2 --weights"


def snapshot(folder: Path) -> dict[str, bytes | None]:
    """Everything in a folder, links, pipes and empty folders included."""
    return {str(path): path.read_bytes() if path.is_file() else None for path in sorted(folder.rglob("*"))}


def refusal(capsys, command: str, *, status: int = 2) -> str:
    """What a command says, which has to be one line; with status 2 everything is as it was."""
    before = snapshot(Path.cwd())
    try:
        got = cli.main(command.split(" "))
    except SystemExit as stop:  # argparse's
        got = stop.code
    said = capsys.readouterr()
    assert "Traceback" not in said.err and got == status, said.err
    usage, mark, error = said.err.partition(f"clit {command.split(' ')[0]}: error: ")
    assert mark or "clit: error: " in usage, said.err
    assert not usage or usage.startswith("usage: ") or status == 1, said.err
    assert error.count("\n") == (1 if mark else 0) and len(error) < 1500
    after = snapshot(Path.cwd())
    if status == 2:
        assert after == before and said.out == ""
    assert not [path for path in after if path.endswith((".partial", ".new"))]
    return error or usage


def own(text: str, base: str = "base.yml") -> None:
    """Write own.yml, which inherits the good options."""
    Path("own.yml").write_text((f"_base_: {base}\n" if base else "") + text, encoding="utf-8", errors="surrogatepass")


def yml(text: str, base: str = "base.yml") -> Change:
    return lambda: own(text, base)


def write(path: str, content: bytes | str) -> Change:
    return lambda: Path(path).write_bytes(content.encode() if isinstance(content, str) else content)


def replace(path: str, old: str, new: str) -> Change:
    return lambda: Path(path).write_text(Path(path).read_text().replace(old, new))


def cut(path: str, length: int) -> Change:
    return lambda: os.truncate(path, length)


def image(path: str, mode: str = "RGB", size: tuple[int, int] = (44, 40)) -> Change:
    return lambda: Image.new(mode, size).save(path)


def save(content: object, path: str = "bad.pth") -> Change:
    return lambda: torch.save(content, path)


def weights(change: Callable[[dict], object]) -> Change:
    """Good weights, changed."""

    def spoil() -> None:
        content = torch.load("clit.pth", weights_only=True)
        change(content)
        torch.save(content, "bad.pth")

    return spoil


def first(content: dict) -> str:
    return next(iter(content["params"]))


def png(width: int, height: int) -> bytes:
    """A PNG whose header promises more than it has."""
    head = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = b"IDAT" + zlib.compress(b"\0" * 100)
    chunks = [struct.pack(">I", len(part) - 4) + part + struct.pack(">I", zlib.crc32(part)) for part in (head, body)]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def nothing() -> None:
    pass


class Payload:
    """Would write a file if it were unpickled."""

    def __reduce__(self) -> tuple:
        return Path.touch, (Path("PAYLOAD"),)


def of(table: dict) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(("change", "command", "message"), table.values(), ids=table.keys())
