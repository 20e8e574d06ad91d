"""A directory as an argument of a command."""

from __future__ import annotations

import argparse


def directory(text: str) -> str:
    """Its name; it need not be there.

    An empty one is most often a variable that is not set, and no directory is meant by it.

    :raises argparse.ArgumentTypeError: if it is empty.
    """
    if not text.strip():
        raise argparse.ArgumentTypeError("it is empty; write the name of a directory")
    return text
