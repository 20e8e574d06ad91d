"""The places that one report may go to: tried in a ring, and kept to where it worked.

A place that failed is tried again after the backoff's pause, or later if it asked for that; the
others need not wait for what it asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Target:
    """One place. ``url`` may hold a key, and is shown nowhere; ``shown`` is what may be shown."""

    url: str = field(repr=False)
    shown: str


class Ring:
    """Which place is next; never empty."""

    def __init__(self, targets: Sequence[Target]) -> None:
        if not targets:
            raise ValueError("a delivery needs at least one place to send to")
        self._targets = tuple(targets)
        self._not_before_s = [0.0] * len(self._targets)
        self._at = 0

    def __len__(self) -> int:
        return len(self._targets)

    @property
    def targets(self) -> tuple[Target, ...]:
        """All of them, the first choice first."""
        return self._targets

    @property
    def current(self) -> Target:
        """Where the next send goes."""
        return self._targets[self._at]

    @property
    def index(self) -> int:
        """The place of ``current`` in ``targets``."""
        return self._at

    def failed(self, now_s: float, pause_s: float, after_s: float | None) -> float:
        """The current place failed: turn to the next one. The seconds until it may be tried.

        ``after_s``: the pause that the place asked for.
        """
        self._not_before_s[self._at] = now_s + max(pause_s, after_s or 0.0)
        due_s = now_s + pause_s
        order = [(self._at + 1 + i) % len(self._targets) for i in range(len(self._targets))]
        free = [i for i in order if self._not_before_s[i] <= due_s]
        self._at = free[0] if free else min(order, key=self._not_before_s.__getitem__)
        return max(pause_s, self._not_before_s[self._at] - now_s)

    def change(self, targets: Sequence[Target]) -> None:
        """From now on these; begins at the first of them, without a pause."""
        if tuple(targets) != self._targets:
            self.__init__(targets)  # type: ignore[misc]
