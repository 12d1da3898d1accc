"""What is kept of a command that fails or is interrupted, and how to continue."""

from clit_plugin.basicsr_bridge import CHECKPOINTS_KEPT

AFTER_INTERRUPTION = {
    "train": CHECKPOINTS_KEPT,
    "test": "stored results are kept, the same command continues from them",
    "upscale": "finished images are kept, and the same command continues a video",
    "prepare": "run the same command again to continue",
    "benchmark": "finished cases are printed and written",
}
