"""Texts to states: what of a request, or of a job, is a number, and what is said when it is none.

A refusal begins with ``Invalid state: `` and the state as the original printed it, which is what a
Python 2 ``str`` gives: a float with twelve digits, None for what is no state at all.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping
from math import isfinite
from typing import Any, Final

from smapd.errors import BadState
from smapd.values import LONG_MAX, LONG_MIN, Json

MAX_TEXT: Final = 200
"""Letters of a state."""
_SHOWN_VALUES: Final = 20


def whole(given: Any) -> int:
    """A whole number, from text, or from a number as a device gives it.

    :raises ValueError: in a sentence, for what is none.
    """
    if isinstance(given, str):
        text = given.strip()
        if text.isascii() and "_" not in text and len(text) <= MAX_TEXT:
            try:
                return int(text)
            except ValueError:
                pass
        raise ValueError(f"{described(given)} is not a whole number")
    try:
        return operator.index(given)
    except TypeError:
        pass
    try:
        return int(given)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{described(given)} is not a whole number") from None


def number(given: Any) -> float:
    """A number, from text, or from a number as a device gives it; NaN and infinities too.

    :raises ValueError: in a sentence, for what is none.
    """
    if not isinstance(given, str) or (
        given.isascii() and "_" not in given and len(given) <= MAX_TEXT
    ):
        try:
            return float(given)
        except (TypeError, ValueError, OverflowError):
            pass
    raise ValueError(f"{described(given)} is not a number")


def described(given: Any) -> str:
    """A state that was given, short and printable."""
    if not isinstance(given, str):
        return f"a {type(given).__name__}"
    return ascii(given) if len(given) <= 40 else f"{ascii(given[:40])}…"


def not_a_state(state: Any, description: Mapping[str, Json], why: str = "") -> BadState:
    """The refusal of a state that was read, but is none of this actuator's; says which are."""
    text = f"Invalid state: {_printed(state)}"
    return BadState(f"{text}; {why}" if why else text, hint=_could_be(description))


def not_readable(why: object, description: Mapping[str, Json]) -> BadState:
    """The refusal of a text that is no state of any actuator of this kind."""
    return BadState(f"Invalid state: {_printed(why)}", hint=_could_be(description))


def _printed(state: Any) -> str:
    if state.__class__ is float:
        text = f"{state:.12g}"
        return text if not isfinite(state) or any(c in text for c in ".e") else text + ".0"
    text = str(state)
    return text if len(text) <= MAX_TEXT else text[:MAX_TEXT] + "…"


def _could_be(description: Mapping[str, Json]) -> str:
    """What would do, from the description that GET shows."""
    model, states = description.get("Model"), description.get("States")
    values = description.get("Values")
    if isinstance(values, list) and values:
        shown = ", ".join(map(str, values[:_SHOWN_VALUES]))
        return f"It is one of {shown}{', …' * (len(values) > _SHOWN_VALUES)}."
    if model == "binary" and isinstance(states, list):
        words = [word for pair in states if isinstance(pair, list) for word in map(str, pair)]
        return f"It is one of {', '.join(words[:_SHOWN_VALUES])}."
    if model == "continuousInteger" and isinstance(states, list) and len(states) == 2:
        return f"It is a whole number from {states[0]} to {states[1]}."
    low, high = description.get("MinValue"), description.get("MaxValue")
    if low is not None and high is not None:
        return f"It is a number from {low} to {high}."
    if model == "integer":
        return f"It is a whole number from {LONG_MIN} to {LONG_MAX}."
    return ""
