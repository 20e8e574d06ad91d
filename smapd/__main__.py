"""``python -m smapd``: the same as the command ``smapd``."""

import sys

from smapd.cli import main

if __name__ == "__main__":
    sys.exit(main())
