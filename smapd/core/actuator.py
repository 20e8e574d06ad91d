"""What makes a timeseries one that can be set: the driver's object, and how it may be asked.

The tree keeps this beside the stream and shows its ``Actuator`` key; it never calls the device.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from math import isfinite
from typing import Any, Final, TypeVar

from zope.interface import implementer

from smapd.interfaces import IActuator
from smapd.values import DATA_TYPES, ActuationRequest, Json, Reading

T = TypeVar("T")

TIMEOUT_S: Final = 10.0
MAX_TIMEOUT_S: Final = 600.0
MAX_SETTLE_S: Final = 600.0

_NEEDED: Final = ("get_state", "set_state", "parse_state", "valid_state", "get_description")
_PLACES: Final = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


class DriverCalls:
    """How code of one driver is called; the driver's host fills it in. Known by identity.

    ``run(f)``: calls f as code of that driver. ``took(seconds)``: told how long a call held the
    reactor, for a driver that is ``on_reactor``. ``hide(text)``: without its section's secrets.
    """

    __slots__ = ("__weakref__", "hide", "on_reactor", "run", "took")

    def __init__(self) -> None:
        self.on_reactor = False
        self.run: Callable[..., Any] = _straight
        self.took: Callable[[float], None] | None = None
        self.hide: Callable[[str], str] = str


@implementer(IActuator)
class Actuator:
    """The actuator of one stream; immutable but for ``point``.

    Made by ``add_actuator``, on the caller's thread: ``impl`` is asked for its description there,
    once. ``get``, ``set`` and ``release`` call the driver, so they are to be called where its code
    belongs: on a thread, or on the reactor if ``calls.on_reactor``.

    :raises TypeError: if ``impl`` is no actuator, naming what it lacks.
    :raises ValueError: for a description that JSON cannot hold, or a number out of range.
    """

    __slots__ = (
        "_get_takes_request",
        "_release_takes_request",
        "_set_takes_request",
        "_values",
        "autoadd",
        "calls",
        "described",
        "impl",
        "is_async",
        "point",
        "read_limit_s",
        "settle_s",
        "timeout_s",
        "tolerance",
        "write_limit_s",
    )

    def __init__(
        self,
        impl: Any,
        calls: DriverCalls,
        *,
        read_limit: float = 0.0,
        write_limit: float = 0.0,
        settle: float = 0.0,
        tolerance: float | None = None,
        timeout_s: float = TIMEOUT_S,
        autoadd: bool = False,
    ) -> None:
        _check_is_actuator(impl)
        self.impl, self.calls = impl, calls
        self.read_limit_s = _seconds("read_limit", read_limit)
        self.write_limit_s = _seconds("write_limit", write_limit)
        self.settle_s = _seconds("settle", settle, at_most=MAX_SETTLE_S)
        self.tolerance = None if tolerance is None else _seconds("tolerance", tolerance, unit="")
        self.timeout_s = _seconds("timeout_s", timeout_s, at_most=MAX_TIMEOUT_S)
        if not self.timeout_s:
            raise ValueError("An actuator's timeout_s is more than 0.")
        self.autoadd = bool(autoadd)
        self.point: Any = None
        """What the actuation room knows of this actuator; of no use to the tree."""
        self._get_takes_request = _takes_request(impl, "get_state", 0)
        self._set_takes_request = _takes_request(impl, "set_state", 1)
        self._release_takes_request = self.can_release and _takes_request(impl, "release_state", 0)
        named = ["get_state", "set_state"] + ["release_state"] * self.can_release
        self.is_async = frozenset(
            name for name in named if inspect.iscoroutinefunction(getattr(impl, name))
        )
        self.described = _plain(impl)
        values = self.described.get("Values")
        self._values = values if isinstance(values, list) else None

    @property
    def can_release(self) -> bool:
        """Whether the driver can let go of a state that was set: it has ``release_state``."""
        return callable(getattr(self.impl, "release_state", None))

    def data_type(self, given: str | None) -> str:
        """The ReadingType of its stream: as given, else what its states need, else long.

        :raises ValueError: if its states are text, and that type is not.
        """
        own = getattr(self.impl, "control_data_type", None)
        data_type = given or (own if own in DATA_TYPES else "long")
        if data_type != "string" and any(isinstance(value, str) for value in self._values or ()):
            raise ValueError(
                f"The states of {type(self.impl).__name__} are text, which a {data_type} cannot "
                'hold; give data_type="string".'
            )
        return data_type

    def get(self, asked: ActuationRequest | None) -> Any:
        """Call the driver's ``get_state``: what it gives, and raises."""
        return self.impl.get_state(asked) if self._get_takes_request else self.impl.get_state()

    def set(self, asked: ActuationRequest | None, state: Any) -> Any:
        """Call the driver's ``set_state``."""
        if self._set_takes_request:
            return self.impl.set_state(asked, state)
        return self.impl.set_state(state)

    def release(self, asked: ActuationRequest | None) -> Any:
        """Call the driver's ``release_state``; only if ``can_release``."""
        if self._release_takes_request:
            return self.impl.release_state(asked)
        return self.impl.release_state()

    def as_json(self, reading: Reading | None) -> dict[str, Json]:
        """The ``Actuator`` key of a GET; with the index of this reading's value among Values."""
        values = self._values
        if values is None or reading is None or reading.value not in values:
            return self.described
        return self.described | {"Index": values.index(reading.value)}


def _straight(f: Callable[..., T], *args: Any) -> T:
    return f(*args)


def _check_is_actuator(impl: Any) -> None:
    if isinstance(impl, type):
        raise TypeError(
            f"An actuator is an object; {impl.__name__} is a class: write {impl.__name__}()."
        )
    missing = [name for name in _NEEDED if not callable(getattr(impl, name, None))]
    if missing:
        raise TypeError(
            f"{type(impl).__name__} is no actuator: it has no {missing[0]}. "
            "Make it a subclass of one in smapd.actuate."
        )


def _takes_request(impl: Any, name: str, beside: int) -> bool:
    """Whether a method wants the request before its ``beside`` other arguments."""
    method = getattr(impl, name)
    try:
        signature = inspect.signature(method)
    except (TypeError, ValueError):  # written in C: as sMAP calls it
        return True
    parameters = list(signature.parameters.values())
    places = [p for p in parameters if p.kind in _PLACES]
    required = sum(p.default is p.empty for p in places)
    is_open = any(p.kind is p.VAR_POSITIONAL for p in parameters)
    named = any(p.kind is p.KEYWORD_ONLY and p.default is p.empty for p in parameters)
    most = beside + 1 if is_open else len(places)
    if named or required > beside + 1 or most < beside:
        state = ", state" * beside
        wrong = str(signature.replace(return_annotation=signature.empty))[1:-1]
        raise TypeError(
            f"{type(impl).__name__} has {name}(self{', ' * bool(wrong)}{wrong}); an actuator's is "
            f"{name}(self, request{state}) or {name}(self{state})."
        )
    if required == beside + 1 or (is_open and required <= beside):
        return True
    return len(places) > beside and places[0].name == "request"


def _plain(impl: Any) -> dict[str, Json]:
    name = type(impl).__name__
    try:
        told = json.loads(json.dumps(impl.get_description(), allow_nan=False, default=_number))
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"The description of {name} cannot go out as JSON: {error}.") from None
    if not isinstance(told, dict):
        raise ValueError(f"The description of {name} is a dict, not {type(told).__name__}.")
    return told


def _number(value: Any) -> Any:
    """A numpy scalar or array as plain numbers."""
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"a {type(value).__name__}")


def _seconds(
    name: str, given: Any, *, at_most: float | None = None, unit: str = " of seconds"
) -> float:
    is_number = isinstance(given, int | float) and not isinstance(given, bool)
    if not is_number or not isfinite(given) or given < 0:
        raise ValueError(f"An actuator's {name} is a number{unit}, 0 or more, not {given!r:.100}.")
    if at_most is not None and given > at_most:
        raise ValueError(f"An actuator's {name} is at most {at_most:g} seconds, not {given:g}.")
    return float(given)
