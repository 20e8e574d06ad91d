"""Waiting, for commands that have no reactor."""

from __future__ import annotations

import select


def pause(seconds: float) -> None:
    """Wait so long; Ctrl-C ends it."""
    select.select([], [], [], max(seconds, 0.0))
