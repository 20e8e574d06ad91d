"""The state models: which states there are, how a text is read as one, and how they are described.

The names are sMAP's, so that a class made from one may also replace one of them. ``parse_state``
takes text or, as drivers use it on what their device says, a number. It gives a state, or None, or
raises ValueError; ``valid_state`` then says whether that is one of this actuator's.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from math import isfinite
from typing import Any, ClassVar

from smapd.values import LONG_MAX, LONG_MIN, Json

from .states import number, whole


class StateModel:
    """One kind of state. ``control_type`` and ``control_description`` are what GET shows.

    ``control_data_type``: the ReadingType of a stream of such states.
    """

    control_type: str | None = None
    control_description: dict[str, Json] = {}
    control_data_type: str = "long"

    def parse_state(self, state: Any) -> Any:
        """The state that a text or a number stands for."""
        raise NotImplementedError(f"{type(self).__name__} has no parse_state")

    def valid_state(self, state: Any) -> bool:
        """Whether that is a state of this actuator."""
        raise NotImplementedError(f"{type(self).__name__} has no valid_state")

    def get_description(self) -> dict[str, Json]:
        """The ``Actuator`` key of a GET."""
        return {"Model": self.control_type, **self.control_description}


class BinaryModel(StateModel):
    """Off and on: 0 and 1, also by these words, in any case."""

    control_type = "binary"
    control_description: dict[str, Json] = {"States": [["0", "off"], ["1", "on"]]}

    def parse_state(self, state: Any) -> int | None:
        """0 or 1, None for any other text; numbers and bools stand for themselves."""
        if not isinstance(state, str):
            return whole(state)
        word = state.strip().lower()
        for names in self.control_description["States"]:
            if word in names:
                return int(names[0])
        return None

    def valid_state(self, state: Any) -> bool:
        """Whether it is 0 or 1."""
        return bool(state == 0 or state == 1)


class NStateModel(StateModel):
    """One of a list of states: whole numbers, or texts."""

    control_type = "discrete"

    def __init__(self, states: Iterable[int | str]) -> None:
        values = [_listed(state) for state in states]
        if not values:
            raise ValueError("A discrete actuator has at least one state.")
        if len({isinstance(value, str) for value in values}) > 1:
            raise ValueError("The states of an actuator are all whole numbers, or all texts.")
        self.control_description = {"Values": values}
        if isinstance(values[0], str):
            self.control_data_type = "string"

    def parse_state(self, state: Any) -> int | str:
        """The number, or the text without blanks around it."""
        values = self.control_description["Values"]
        if isinstance(state, str) and values and isinstance(values[0], str):
            return state if state in values else state.strip()
        return whole(state)

    def valid_state(self, state: Any) -> bool:
        """Whether it is in the list."""
        return state in self.control_description["Values"]

    def translate_state(self, state: Any) -> int | None:
        """The place of a state in the list, None if it is not there."""
        values = self.control_description["Values"]
        return int(values.index(state)) if state in values else None


class ContinuousModel(StateModel):
    """Any number of a range, the ends included."""

    control_type = "continuous"
    control_data_type = "double"

    def __init__(self, range: Sequence[float] = (0, 1)) -> None:
        low, high = _range(range, number)
        self.control_description = {"MinValue": low, "MaxValue": high}

    def parse_state(self, state: Any) -> float:
        """The number as a float."""
        return number(state)

    def valid_state(self, state: Any) -> bool:
        """Whether it is within the range."""
        told = self.control_description
        return bool(told["MinValue"] <= state <= told["MaxValue"])


class ContinuousIntegerModel(StateModel):
    """Any whole number of a range, the ends included."""

    control_type = "continuousInteger"

    def __init__(self, control_range: Sequence[int] = (0, 1)) -> None:
        self.control_description = {"States": list(_range(control_range, whole))}

    def parse_state(self, state: Any) -> int:
        """The whole number."""
        return whole(state)

    def valid_state(self, state: Any) -> bool:
        """Whether it is within the range."""
        low, high = self.control_description["States"]
        return bool(low <= state <= high)


class IntegerModel(StateModel):
    """Any whole number of 64 bits."""

    control_type = "integer"
    _ENDS: ClassVar = (LONG_MIN, LONG_MAX)

    def parse_state(self, state: Any) -> int:
        """The whole number."""
        return whole(state)

    def valid_state(self, state: Any) -> bool:
        """Whether it has 64 bits."""
        low, high = self._ENDS
        return bool(low <= state <= high)


def _listed(state: Any) -> int | str:
    if isinstance(state, str):
        return state
    try:
        return operator.index(state)
    except TypeError:
        raise ValueError(
            f"The states of an actuator are whole numbers or texts, not {state!r:.100}."
        ) from None


def _range(given: Any, read: Any) -> tuple[Any, Any]:
    """Both ends; a number stays the int or float that it is, since GET shows it."""
    try:
        low, high = given
        ends = read(low), read(high)
    except (TypeError, ValueError):
        raise ValueError(
            f"The range of an actuator is (lowest, highest), not {given!r:.100}."
        ) from None
    if not all(map(isfinite, ends)) or ends[0] > ends[1]:
        raise ValueError(f"The range of an actuator goes up, and ends: not {given!r:.100}.")
    return (ends[0] if isinstance(low, str) else low, ends[1] if isinstance(high, str) else high)
