"""Copy photographs that ship with scikit-image to OUT/train and OUT/val, the demo's training and held-out sets.

usage: python scripts/demo_data.py OUT

The held-out set was chosen by subject, before any training: a portrait, an animal, a still life and a machine, the
kinds of picture that people enlarge. Both images of the stereo pair are in the same set, so that the sets share no
scene.
"""

import sys
from pathlib import Path

import skimage.data

TRAIN = """
brick.png camera.png cell.png clock_motion.png coins.png color.png grass.png gravel.png hubble_deep_field.jpg ihc.png
moon.png motorcycle_left.png motorcycle_right.png page.png retina.jpg text.png
""".split()
VAL = "astronaut.png chelsea.png coffee.png rocket.jpg".split()


def main(folder: Path) -> None:
    """Copy both sets below ``folder``."""
    source = Path(skimage.data.__file__).parent
    for name, files in (("train", TRAIN), ("val", VAL)):
        target = folder / name
        target.mkdir(parents=True, exist_ok=True)
        for file in files:
            if not (source / file).is_file():
                sys.exit(f"demo: {source / file} is missing; reinstall scikit-image")
            if not (target / file).is_file():
                (target / file).write_bytes((source / file).read_bytes())
        print(f"{len(files)} photographs in {target}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
