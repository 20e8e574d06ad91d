"""``smap::Actuator``: the state of an actuator of this daemon's tree.

Its fields:

- ``path``: of the actuator, like /hall/lamp.
- ``state``: a number, a text, or true and false for 1 and 0; the words of its states do too, "on".
- ``tolerance``: how far what it reads may be off before it is set again; None: what its driver
  allows. Nearer than that it cannot be set.
- ``managed``: not so: the model leaves it alone.

It is asked and set as by PUT: checked, one call at a time, read back and added to its stream; one
that reads otherwise after it was set has failed. There is nothing to create or to purge.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any, Final, NoReturn

from smapd.errors import Busy, NotReady, RateLimited, ShutdownRequested
from smapd.values import Json, Reading

from ..context import HandlerContext
from ..handler import CRUDHandler, SkipResource, provider
from ..services import ACTUATORS, ActuatorService, service
from .notdone import NotDone

_FOR_NOW: Final = (Busy, NotReady, RateLimited, ShutdownRequested)
_NEAR: Final = 1e-6
"""As where an actuator is read back: a float of 32 bits is off by less, relative to it."""


@provider("smap::Actuator", name="smap_actuator")
class ActuatorHandler(CRUDHandler):
    """Asks and sets through ``ActuatorService``, which only an agent in the daemon has."""

    def available(self, resource: Any) -> bool:
        """Whether the agent has actuators."""
        return self._service() is not None

    def pre(self, ctx: HandlerContext, resource: Any) -> None:
        """:raises NotDone: if a field cannot be."""
        if not isinstance(resource.path, str) or not resource.path.startswith("/"):
            raise NotDone(f"path = {resource.path!r} is no path: write one that begins with /.")
        state, tolerance = resource.state, resource.tolerance
        if not isinstance(state, str | int | float) or (
            isinstance(state, float) and not isfinite(state)
        ):
            raise NotDone(f"state = {state!r} is none: write a number or a text.")
        if tolerance is not None and not (_is_number(tolerance) and 0 <= tolerance < float("inf")):
            raise NotDone(f"tolerance = {tolerance!r} is none: write a number of at least 0.")

    def read_resource(self, ctx: HandlerContext, resource: Any) -> None:
        """Ask the device. A state that is near enough keeps the words in which it is desired."""
        actuators = self._actuators()
        try:
            about = actuators.about(resource.path)
            tolerance = resource.tolerance
            if tolerance is None:
                tolerance = actuators.tolerance(resource.path)
            reading = actuators.get(resource.path)
        except _FOR_NOW as error:
            _skip(error)
        ctx.set("reading", reading)
        ctx.debug("%(path)s reads %(state)s", path=resource.path, state=reading.value)
        wanted = _wanted(resource.path, resource.state, about, reading.value)
        if not _is_near(wanted, reading.value, tolerance):
            resource.state = reading.value

    def update_resource(
        self, ctx: HandlerContext, changes: dict[str, dict[str, Any]], resource: Any
    ) -> None:
        """Set it, and believe what is read back.

        :raises SkipResource: if it cannot be set just now.
        """
        text = _text(resource.state)
        try:
            reading = self._actuators().set(resource.path, text)
        except _FOR_NOW as error:
            _skip(error)
        ctx.info(
            "%(path)s was set to %(state)s, and reads %(found)s",
            path=resource.path,
            state=text,
            found=reading.value,
        )
        ctx.set_updated()

    def facts(self, ctx: HandlerContext, resource: Any) -> Mapping[str, Json]:
        """What it reads, and since when that is known."""
        reading: Reading = self._actuators().get(resource.path)
        return {"state": reading.value, "read_ms": reading.ms}

    def _service(self) -> ActuatorService | None:
        return service(self, ACTUATORS, ActuatorService)

    def _actuators(self) -> ActuatorService:
        found = self._service()
        if found is None:
            raise NotDone("This agent reaches no actuators: let one of the daemon serve it.")
        return found


def _skip(error: Exception) -> NoReturn:
    """It is not for this resource: another time it may do."""
    raise SkipResource(str(error)) from error


def _wanted(path: str, state: Any, about: Mapping[str, Json], found: Any) -> float | str:
    """What a stream reads whose actuator is in that state.

    :raises NotDone: for a text that nothing can be compared with.
    """
    if not isinstance(state, str):
        return int(state) if isinstance(state, bool) else state
    if isinstance(found, str):
        return state if state in (about.get("Values") or ()) else state.strip()
    word = state.strip().lower()
    for names in about.get("States") or ():
        if isinstance(names, list) and word in names:
            word = names[0]
            break
    try:
        return int(word)
    except ValueError:
        pass
    try:
        return float(word)
    except ValueError:
        raise NotDone(
            f"state = {state!r} cannot be told from what {path} reads, {found}: write the number."
        ) from None


def _is_near(wanted: float | str, found: Any, tolerance: float | None) -> bool:
    if isinstance(wanted, str) or not _is_number(found):
        return bool(wanted == found)
    if tolerance is None:
        is_double = isinstance(wanted, float) or isinstance(found, float)
        tolerance = _NEAR * max(abs(wanted), abs(found)) if is_double else 0
    return bool(wanted == found or abs(wanted - found) <= tolerance)


def _text(state: Any) -> str:
    """As a PUT has it. A whole number is written as one: some actuators take nothing else."""
    if isinstance(state, bool) or (isinstance(state, float) and state.is_integer()):
        return str(int(state))
    return str(state)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
