"""What a handler of this package raises."""

from __future__ import annotations


class NotDone(Exception):
    """The resource cannot be looked at, or brought about; the text says why, in one sentence."""
