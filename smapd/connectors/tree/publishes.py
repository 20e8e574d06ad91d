"""Publishes that change something here. What one says, and what it does:

``{"path": P, "state": S}``
    sets an actuator, through the one way that there is; S is a text, a number or a boolean
``{"path": P, "release": true}``
    lets go of a state that was set
``{"asset": A, "name": N, "data": …, "version": V, "time": T, "id": I}``
    publishes an event of an asset; version, time (ms UTC, or ISO 8601 with a zone) and id may be
    left out. A second one of the same id does nothing

The protocol has no answer to a publish: what fails is logged, and counted.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Final

from smapd.errors import BadRequest, ShutdownRequested, SmapError
from smapd.interfaces import IAccess, IActuators, IClock, IFaults, ITwin
from smapd.values import Action, ActuationRequest, Json, Principal

from .queries import time_ms

_STATE_KEYS: Final = frozenset({"path", "state", "release"})
_EVENT_KEYS: Final = frozenset({"asset", "name", "data", "version", "time", "id"})
_MOST_TEXT: Final = 200
OVER_S: Final = 60.0


class TreePublishes:
    """Does what the publishes of one source say; on the reactor's thread.

    ``who``: decides what is allowed, and is the source of the events. ``label``: names the source
    in the log. ``sets``, ``events``: whether it does such at all.
    """

    def __init__(
        self,
        who: Principal,
        label: str,
        *,
        sets: bool,
        events: bool,
        actuators: IActuators,
        twin: ITwin,
        access: IAccess,
        clock: IClock,
        faults: IFaults,
    ) -> None:
        self.actuated = self.published = self.failed = self.unknown = 0
        self.last_error = ""
        self.last_error_ms = 0
        self._who, self._label = who, label
        self._sets, self._events = sets, events
        self._actuators, self._twin, self._access = actuators, twin, access
        self._clock, self._faults = clock, faults
        self._wrong: dict[Hashable, float] = {}

    async def take(self, message: Mapping[str, Json]) -> bool:
        """Do it: whether it was one of these. What fails is logged and counted."""
        is_set = self._sets and "path" in message
        is_event = self._events and not is_set and "asset" in message
        if not is_set and not is_event:
            return False
        try:
            if is_set:
                await self._set(message)
                self.actuated += 1
            else:
                await self._publish(message)
                self.published += 1
            self._is_well()
        except ShutdownRequested:
            self.failed += 1
        except SmapError as error:
            self._note(error, self._what(message))
        return True

    def is_unknown(self, message: Mapping[str, Json]) -> None:
        """Nobody takes it."""
        self.unknown += 1
        known = [", ".join(sorted(_STATE_KEYS))] * self._sets
        known += [", ".join(sorted(_EVENT_KEYS))] * self._events
        means = f"; what means something has {' or '.join(known)}" if known else ""
        self._fault(
            "unknown",
            f"{self._label}: a publish with {', '.join(sorted(message))[:200] or 'no keys'} means "
            f"nothing here{means}.",
        )

    def status(self) -> dict[str, Json]:
        """For /status."""
        return {
            "actuated": self.actuated,
            "published": self.published,
            "failed": self.failed,
            "unknown": self.unknown,
            "last_error": self.last_error,
            "last_error_ms": self.last_error_ms,
        }

    # --- inside

    async def _set(self, message: Mapping[str, Json]) -> None:
        _check_keys(message, _STATE_KEYS)
        path = _text(message, "path")
        state, release = message.get("state"), message.get("release")
        self._access.decide(self._who, Action.ACTUATE, path)
        if release is True and state is None:
            args = {b"release": [b"1"]}
            await self._actuators.release(path, ActuationRequest("PUT", path, args, self._who))
            return
        if release is not None and release is not False:
            raise BadRequest("either state, or release: true; not both.")
        text = _state(state)
        args = {b"state": [text.encode("utf-8", "replace")]}
        await self._actuators.set(path, text, ActuationRequest("PUT", path, args, self._who))

    async def _publish(self, message: Mapping[str, Json]) -> None:
        _check_keys(message, _EVENT_KEYS)
        asset, name = _text(message, "asset"), _text(message, "name")
        if "data" not in message:
            raise BadRequest("the event has no data.")
        version = message.get("version")
        if version is not None and (type(version) is not int or not 0 <= version < 2**31):
            raise BadRequest("version: not a whole number.")
        dedupe = _text(message, "id") if message.get("id") is not None else None
        self._access.decide(self._who, Action.WRITE, asset)
        when = message.get("time")
        await self._twin.publish(
            asset,
            name,
            message["data"],
            version=version,
            time_ms=None if when is None else time_ms(when, "time", 0),
            source=self._who.name,
            dedupe=None if dedupe is None else f"{self._who.name}/{dedupe}",
        )

    def _what(self, message: Mapping[str, Json]) -> str:
        return str(message.get("path", message.get("asset")))[:200]

    def _note(self, error: SmapError, what: str) -> None:
        self.failed += 1
        self.last_error, self.last_error_ms = f"{what}: {error.message}", self._clock.wall_ms()
        self._fault(error.code, f"{self._label}: a publish to {what} failed: {error.message}")

    def _fault(self, kind: str, text: str) -> None:
        """The server names what it likes: one line for each kind of failure, not each name."""
        key = ("publish", self._label, kind)
        self._wrong[key] = self._clock.seconds()
        self._faults.fault(key, text, same=kind)

    def _is_well(self) -> None:
        """What was not seen for a while is over; sooner, the server could fill the log with it."""
        now_s = self._clock.seconds()
        for key, at_s in list(self._wrong.items()):
            if now_s - at_s >= OVER_S:
                del self._wrong[key]
                self._faults.cleared(key, f"{self._label}: publishes are taken again")


def _check_keys(message: Mapping[str, Json], known: frozenset[str]) -> None:
    for key in message:
        if key not in known:
            raise BadRequest(f"{key[:100]}: no such key; {', '.join(sorted(known))}.")


def _text(message: Mapping[str, Json], key: str) -> str:
    value = message.get(key)
    if not isinstance(value, str) or not 0 < len(value) <= _MOST_TEXT or not value.isprintable():
        raise BadRequest(f"{key}: not a text of 1 to {_MOST_TEXT} printable letters.")
    return value


def _state(state: Json) -> str:
    """A state as the text that a PUT would have."""
    if isinstance(state, bool):
        return "1" if state else "0"
    if isinstance(state, int | str):
        return str(state)
    if isinstance(state, float):
        return str(int(state)) if state.is_integer() and abs(state) < 2**53 else repr(state)
    raise BadRequest("state: missing, or no text, number or boolean.")
