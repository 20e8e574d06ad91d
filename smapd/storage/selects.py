"""Which streams a cursor reads."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

Selects: TypeAlias = Callable[[int], bool] | None
"""By a stream's number, on the disk's thread; None for all."""
