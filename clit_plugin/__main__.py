"""``python -m clit_plugin COMMAND ...`` is ``clit COMMAND ...``, also under torchrun."""

import sys

from clit_plugin.commands.cli import main

if __name__ == "__main__":
    sys.exit(main())
