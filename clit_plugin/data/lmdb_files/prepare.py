"""From a folder of images to an LMDB that BasicSR reads, in a work folder that survives interruptions."""

import json
import os
import shutil
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from clit_plugin.data.lmdb_files.sources import encode_source, find_sources
from clit_plugin.data.lmdb_files.writer import (
    COMPRESS_LEVEL,
    JOURNAL,
    EncodedImage,
    LmdbWriter,
    StoredImage,
    check_image,
    storage_errors,
)
from clit_plugin.utils.atomic_files import write_text
from clit_plugin.utils.console import bar, say, written
from clit_plugin.utils.errors import UserError

_FORMAT = 1
_SIGNATURE = "prepare.json"
_FILES = {
    file + ending
    for file in ("data.mdb", "lock.mdb", "meta_info.txt", _SIGNATURE, JOURNAL)
    for ending in ("", ".partial")  # of write_text
}
Item = TypeVar("Item")
Result = TypeVar("Result")


def prepare_lmdb(
    *,
    folder: Path,
    output: Path,
    sub_image: int | None = None,
    step: int | None = None,
    convert: bool = False,
    keep_extension: bool = False,
    overwrite: bool = False,
    workers: int | None = None,
) -> None:
    """Write the images below ``folder`` to the LMDB ``output``; do nothing if it is up to date.

    Images are stored as 8-bit RGB PNG.

    Args:
        folder: Searched recursively.
        output: A folder whose name ends in ``.lmdb``.
        sub_image: Store square crops of this size instead of whole images.
        step: Distance between crops, by default half of ``sub_image``.
        convert: As in ``decode_rgb``.
        keep_extension: As in ``lmdb_key``.
        overwrite: Replace an ``output`` that was made from other images or with other settings.
        workers: Decoding threads, by default the number of CPUs, at most 8.

    Raises:
        UserError: Bad arguments; no images, equal keys or an image that is refused; ``output`` or its ``.partial`` is
            something else; the disk is full. The next call resumes from ``.partial``.
    """
    if not output.name.endswith(".lmdb") or output.name == ".lmdb":
        raise UserError(f"{output}: the output's name must end in .lmdb, as BasicSR requires")
    start = time.monotonic()
    step = _checked_step(sub_image, step)
    sources = find_sources(folder, keep_extension=keep_extension)
    settings = {
        "format": _FORMAT,
        "sub_image": sub_image,
        "step": step,
        "convert": convert,
        "compress_level": COMPRESS_LEVEL,
    }
    if keep_extension:  # absent by default, so that older LMDBs still count as up to date
        settings["keep_extension"] = True
    signature = {"settings": settings, "sources": sources}
    if _is_done(output, signature, overwrite=overwrite):
        say(f"{output}: already prepared")
        return
    partial = output.with_name(output.name + ".partial")
    workers = workers or min(os.cpu_count() or 1, 8)

    def encode(source: str) -> tuple[str, list[EncodedImage]]:
        return source, encode_source(
            folder=folder,
            source=source,
            sub_image=sub_image,
            step=step,
            convert=convert,
            keep_extension=keep_extension,
        )

    with storage_errors(partial):
        _open_partial(partial, signature)
        with LmdbWriter(folder=partial, sources=sources) as writer:
            _say_what_is_done(writer, total=len(sources))
            missing = [source for source in sources if source not in writer.done]
            encoded = _bounded_map(encode, missing, workers=workers)
            with bar(encoded, desc="Writing", total=len(sources), initial=len(writer.done), unit="image") as progress:
                for source, images in progress:
                    writer.add(source=source, images=images)
            writer.commit()
            number = _check_all(writer, workers=workers)
            writer.write_meta_info()
        _publish(partial, output)
    say(written(output, time.monotonic() - start, f"{number} images, from {len(sources)} files"))


def _checked_step(sub_image: int | None, step: int | None) -> int | None:
    if sub_image is None:
        if step is not None:
            raise UserError(f"--step {step} is the distance between sub-images: give --sub-image too")
        return None
    step = max(sub_image // 2, 1) if step is None else step
    if step > sub_image:
        raise UserError(f"--step {step} is larger than --sub-image {sub_image}: pixels between the crops would be lost")
    return step


def _is_done(output: Path, signature: dict[str, Any], *, overwrite: bool) -> bool:
    """Whether ``output`` is up to date. Raises UserError if it is something that must not be replaced."""
    if not output.exists():
        return False
    complete = all((output / name).is_file() for name in ("data.mdb", "meta_info.txt"))
    if complete and _read_signature(output) == signature:
        return True
    if not overwrite:
        raise UserError(
            f"{output}: already exists, made from other images, with other settings or by another tool; "
            "give --overwrite to replace it, or another output"
        )
    if not (output / "data.mdb").is_file():
        raise UserError(f"{output}: not an LMDB (no data.mdb), and therefore not replaced; remove it yourself")
    _check_own(output)
    return False


def _check_own(folder: Path) -> None:
    """Raise UserError if a folder that is to be deleted holds more than the files of an LMDB."""
    if foreign := sorted(path.name for path in folder.iterdir() if path.name not in _FILES):
        more = f" and {len(foreign) - 1} more" if len(foreign) > 1 else ""
        raise UserError(
            f"{folder}: not replaced, as it also holds {foreign[0]}{more}; move that away, or give another output"
        )


def _open_partial(partial: Path, signature: dict[str, Any]) -> None:
    """Create the work folder, or keep the existing one if most of its images can be reused."""
    if partial.exists() and not partial.is_dir() or partial.is_dir() and any(partial.iterdir()):
        if not (partial / _SIGNATURE).is_file():
            raise UserError(f"{partial}: not made by 'clit prepare', which needs this name; move it away")
        earlier = _read_signature(partial)
        stamps = earlier.get("sources", {})
        stamps = stamps if isinstance(stamps, dict) else {}
        unchanged = [source for source, stamp in stamps.items() if signature["sources"].get(source) == stamp]
        # The writer deletes the images of changed files, but deleting most of them would leave a sparse file.
        if earlier.get("settings") != signature["settings"] or len(unchanged) < len(stamps) / 2:
            _check_own(partial)
            say(f"{partial}: made from other images or with other settings, discarded")
            shutil.rmtree(partial)
    partial.mkdir(parents=True, exist_ok=True)
    write_text(partial / _SIGNATURE, json.dumps(signature))


def _read_signature(folder: Path) -> dict[str, Any]:
    try:
        signature = json.loads((folder / _SIGNATURE).read_text(encoding="ascii"))
    except (OSError, ValueError, RecursionError):
        return {}
    return signature if isinstance(signature, dict) else {}


def _say_what_is_done(writer: LmdbWriter, *, total: int) -> None:
    if writer.dropped:
        say(f"{writer.folder}: {writer.dropped} images have changed or are gone, discarded")
    if writer.done:
        say(f"{writer.folder}: resuming, {len(writer.done)} of {total} images are done")


def _check_all(writer: LmdbWriter, *, workers: int) -> int:
    """Read back all images; return their number."""
    stored = [image for images in writer.done.values() for image in images]

    def check(read: tuple[StoredImage, bytes | None]) -> None:
        check_image(image=read[0], content=read[1], folder=writer.folder)

    checks = _bounded_map(check, ((image, writer.read(image.key)) for image in stored), workers=workers)
    with bar(checks, desc="Checking", total=len(stored), unit="image") as progress:
        return sum(1 for _ in progress)


def _publish(partial: Path, output: Path) -> None:
    """Rename the complete LMDB to ``output``; what was there is moved aside first and deleted afterwards."""
    aside = None
    if output.exists():
        aside = tempfile.mkdtemp(prefix=f"{output.name}.old-", dir=output.parent)
        os.replace(output, Path(aside, output.name))
    os.replace(partial, output)
    (output / JOURNAL).unlink()
    if aside is not None:
        shutil.rmtree(aside)


def _bounded_map(function: Callable[[Item], Result], items: Iterable[Item], *, workers: int) -> Iterator[Result]:
    """Map in threads, in order, with few items in memory (OpenCV releases Python's lock)."""
    pool = ThreadPoolExecutor(workers)
    waiting: deque[Future[Result]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > 2 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
