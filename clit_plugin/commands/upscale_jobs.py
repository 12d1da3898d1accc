"""Which images ``clit upscale`` reads and which files it writes, checked before the first one is computed."""

import argparse
import glob
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from clit_plugin.utils.console import say
from clit_plugin.utils.errors import UserError
from clit_plugin.utils.output_files import check_replaces_none, check_writable

FORMATS = ("png", "jpg", "webp", "tiff")
VIDEOS = (
    *(".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".ts", ".m2ts", ".mts"),
    *(".mpg", ".mpeg", ".m2v", ".vob", ".mxf", ".dv", ".asf", ".wmv", ".flv", ".f4v", ".3gp", ".3g2", ".ogv", ".y4m"),
)
_SAME = {".jpeg": ".jpg", ".tif": ".tiff"}
_NOT_SEARCHED = (".gif", ".avif", ".heic", ".heif", ".jxl", ".jp2", ".ppm", ".pgm", *VIDEOS)


class Job(NamedTuple):
    """An image and the file to write."""

    source: Path
    output: Path


def format_name(text: str) -> str:
    """One of ``FORMATS`` for its usual spellings; other texts as they are."""
    suffix = f".{text.lower().lstrip('.')}"
    return _SAME.get(suffix, suffix)[1:]


def is_video(images: Sequence[str]) -> bool:
    """Whether the input is a video, by its name.

    Raises:
        UserError: There is a video among several, or a pattern of videos.
    """
    videos = [name for name in images if Path(name).suffix.lower() in VIDEOS and not Path(name).is_dir()]
    if videos and len(images) > 1:
        raise UserError(f"{videos[0]}: give one video at a time, and nothing beside it")
    if videos and _is_pattern(Path(videos[0]).expanduser()):
        raise UserError(f"{videos[0]}: give one video at a time, by its name")
    return bool(videos)


def find_jobs(args: argparse.Namespace) -> list[Job]:
    """Every image with the file to write.

    Args:
        args: The command's arguments.

    Raises:
        UserError: No such image, a format that cannot be written, or an output that exists, is one of the inputs or
            another image's output, or cannot be written.
    """
    jobs = list(dict.fromkeys(_named(args)))
    owners: dict[Path, Path] = {}
    for source, output in jobs:
        if not source.is_file():
            raise UserError(f"{source}: no such image or folder")
        if (other := owners.setdefault(output, source)) is not source:
            raise UserError(
                f"{source} and {other} would both be written to {output}; rename one, or upscale each to its own -o"
            )
        if output.is_dir():
            raise UserError(f"{output}: is a folder")
    inputs: list[tuple[str, str | Path | None]] = [("image", source) for source, _ in jobs]
    check_replaces_none(owners, [*inputs, ("weights file", args.weights), ("option file", args.opt)])
    for output in {output.parent: output for output in owners}.values():  # one per folder
        check_writable(output)
    there = {output for _, output in jobs if output.exists()}
    if args.skip_existing:
        if there:
            say(f"{len(there)} of {len(jobs)} outputs exist already and are skipped")
        return [job for job in jobs if job.output not in there]
    if there and not args.overwrite:
        exist = f" and {len(there) - 1} more already exist" if len(there) > 1 else ": already exists"
        raise UserError(f"{min(there)}{exist}; --overwrite replaces existing files, --skip-existing skips them")
    return jobs


def _named(args: argparse.Namespace) -> list[Job]:
    from clit_plugin.data.image_io import IMAGE_SUFFIXES
    from clit_plugin.inference.picture_files import check_output_format, is_lossy

    out = Path(args.output).expanduser()
    paths = [Path(name).expanduser() for name in args.images]
    one = len(paths) == 1 and not paths[0].is_dir() and not _is_pattern(paths[0]) and not out.is_dir()
    suffix = out.suffix.lower()
    if one and suffix in IMAGE_SUFFIXES:
        if args.format and _SAME.get(suffix, suffix) != f".{args.format}":
            raise UserError(f"--format {args.format}: {out} has another suffix; remove one of the two")
        jobs = [Job(paths[0], out)]
    elif one and suffix:
        check_output_format(out)
    elif suffix in IMAGE_SUFFIXES and not out.is_dir():
        raise UserError(f"{out}: is an image file, but several images are to be written; give a folder")
    else:
        ending = f".{args.format or 'png'}"
        jobs = [Job(source, out / relative.with_suffix(ending)) for source, relative in _sources(paths, out)]
    if args.quality is not None and jobs and not any(is_lossy(job.output) for job in jobs):
        raise UserError("--quality: for .jpg and .webp files only; --format jpg or webp writes them")
    return jobs


def _sources(paths: Sequence[Path], out: Path) -> Iterator[tuple[Path, Path]]:
    """Images with their paths relative to the folder, or to the part before the first wildcard, or their names."""
    from clit_plugin.data.lmdb_files.sources import find_images

    for path in paths:
        if path.is_dir():
            _check_outside(out, path)
            for name in find_images(path):
                yield path / name, Path(name)
            _say_what_is_left_out(path)
        elif _is_pattern(path):
            yield from _matches(path, out)
        else:
            yield path, Path(path.name)


def _say_what_is_left_out(folder: Path) -> None:
    from clit_plugin.data.image_io import IMAGE_SUFFIXES

    others = (path for path in folder.rglob("[!.]*") if path.suffix.lower() in _NOT_SEARCHED and path.is_file())
    if names := sorted(path.relative_to(folder).as_posix() for path in others):
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        say(f"{folder}: left out {names[0]}{more}; folders are searched for {', '.join(IMAGE_SUFFIXES)}")


def _matches(pattern: Path, out: Path) -> Iterator[tuple[Path, Path]]:
    from clit_plugin.data.image_io import IMAGE_SUFFIXES

    fixed = next(i for i, part in enumerate(pattern.parts) if glob.has_magic(part))
    root = Path(*pattern.parts[:fixed])
    found = [Path(name) for name in sorted(glob.glob(str(pattern), recursive=True))]
    suffixes = {*IMAGE_SUFFIXES, pattern.suffix.lower()} - {""}  # *.avif asks for such files
    found = [path for path in found if path.suffix.lower() in suffixes and path.is_file()]
    if not found:
        raise UserError(f"{pattern}: no image matches")
    if "**" in pattern.parts:
        _check_outside(out, root)
    for path in found:
        yield path, path.relative_to(root)


def _is_pattern(path: Path) -> bool:
    """Whether a path is a wildcard pattern, and not the name of an existing file with brackets."""
    return glob.has_magic(str(path)) and not path.exists()


def _check_outside(out: Path, folder: Path) -> None:
    if out.resolve() == folder.resolve():
        raise UserError(f"{out}: is the folder of the images itself; give another -o")
    if out.resolve().is_relative_to(folder.resolve()):
        raise UserError(f"{out}: is inside {folder}, so its images would be upscaled again; give another -o")
