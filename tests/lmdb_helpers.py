"""Images to prepare, the command that does, and what BasicSR reads afterwards."""

import cv2
import numpy as np

from clit_plugin.commands.cli import main
from clit_plugin.data.image_io import decode_rgb


def write_image(path, *, seed=0, shape=(9, 7, 3), dtype=np.uint8):
    """Write random samples; return them, colours as RGB."""
    image = np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(path.suffix, image)[1].tobytes())
    return image[..., ::-1] if len(shape) == 3 else image  # RGB


def write_images(folder, count, **options):
    """Write 0000.png, 0001.png and so on; return the images by key."""
    return {
        f"{number:04d}": write_image(folder / f"{number:04d}.png", seed=number, **options) for number in range(count)
    }


def read_image(output, key):
    """An image of an LMDB, read as BasicSR reads it."""
    from basicsr.utils import FileClient  # only after clit_plugin, which repairs it

    client = FileClient("lmdb", db_paths=[str(output)], client_keys=["gt"])
    return decode_rgb(client.get(key, "gt"), key)


def run_prepare(folder, output, *options):
    """Exit status of ``clit prepare``."""
    return main(["prepare", str(folder), "-o", str(output), *options])
