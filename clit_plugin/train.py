"""``python -m clit_plugin.train`` is ``clit train``, also under torchrun."""

import sys

from clit_plugin.commands.train import main

if __name__ == "__main__":
    sys.exit(main())
