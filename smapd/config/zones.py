"""Whether a timezone exists on this machine."""

from __future__ import annotations

from functools import lru_cache
from zoneinfo import ZoneInfo


@lru_cache(maxsize=256)
def is_zone(name: str) -> bool:
    """Whether there is such a zone; True for any on a machine without a zone database."""
    return _exists(name) or not _exists("UTC")


def _exists(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (OSError, ValueError, KeyError):  # a directory, a path out of the database, none
        return False
    return True
