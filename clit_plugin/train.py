"""``python -m clit_plugin.train`` is ``clit train``, also under torchrun."""

import sys

from clit_plugin.commands.cli import run_command

if __name__ == "__main__":
    sys.exit(run_command("train"))
