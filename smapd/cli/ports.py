"""A TCP port as an argument of a command."""

from __future__ import annotations

import argparse


def port(text: str) -> int:
    """The number, 0 to 65535.

    :raises argparse.ArgumentTypeError: if it is none.
    """
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and int(text) <= 65535):
        raise argparse.ArgumentTypeError(f"{text!r} is not a port; write a number up to 65535")
    return int(text)
