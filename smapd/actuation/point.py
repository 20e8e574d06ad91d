"""What is known of one actuator while the daemon runs, and how its states become readings."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf
from typing import Any, Final

from twisted.internet.defer import Deferred, DeferredLock

from smapd.core import Actuator, Timeseries
from smapd.errors import DeviceFailed, SmapError
from smapd.values import Reading, Value

NEAR: Final = 1e-6
"""How far a double that is read back may be off, relative to it: a float of 32 bits is."""


@dataclass(eq=False, slots=True)
class Point:
    """One actuator's recent past.

    ``lock``: held by the one call that may be under way. ``last``: what was read last, and
    ``error`` why nothing newer was, if so. ``read_s``, ``set_s``: when the device was last asked
    and set. ``joined``: who waits for the reading that is under way; None if none is.
    """

    lock: DeferredLock = field(default_factory=DeferredLock)
    last: Reading | None = None
    error: SmapError | None = None
    read_s: float = -inf
    set_s: float = -inf
    joined: list[Deferred[Reading]] | None = None

    def cached(self) -> Reading:
        """What the last reading was, or raised."""
        if self.error is not None:
            raise self.error.with_traceback(None)
        assert self.last is not None
        return self.last


def point_of(actuator: Actuator) -> Point:
    """The point of an actuator; made when it is asked for first."""
    if actuator.point is None:
        actuator.point = Point()
    point: Point = actuator.point
    return point


def value_of(stream: Timeseries, state: Any) -> Value:
    """A state as a reading of this stream has it.

    :raises ValueError: if it does not fit.
    """
    if hasattr(state, "dtype") and getattr(state, "ndim", 1) == 0:
        state = state.item()
    is_whole = isinstance(state, bool) or (isinstance(state, float) and state.is_integer())
    if is_whole and stream.data_type == "long":
        state = int(state)
    return stream.fitted(state)


def read_value(stream: Timeseries, state: Any) -> Value:
    """A state that ``get_state`` gave.

    :raises DeviceFailed: if it is none.
    """
    if state is None:
        raise DeviceFailed(f"get_state of {stream.path} gave None, which is no state.")
    try:
        return value_of(stream, state)
    except ValueError as error:
        raise DeviceFailed(f"get_state of {stream.path} gave no state: {error}.") from error


def is_near(wanted: Value, found: Value, tolerance: float | None) -> bool:
    """Whether what was read back is what was set."""
    if isinstance(wanted, str) or isinstance(found, str) or wanted is None or found is None:
        return wanted == found
    if tolerance is None:
        is_double = isinstance(wanted, float) or isinstance(found, float)
        tolerance = NEAR * max(abs(wanted), abs(found)) if is_double else 0
    return wanted == found or abs(wanted - found) <= tolerance
