"""Takes readings that come from outside, in the form of a report's body.

::

    {"/hall/t": {"uuid": "…", "Readings": [[ms, value], [ms, value, seqno], …],
                 "NonFinite": [[i, "NaN"], …], "Quality": [[level, reason, …], …]}}

``uuid``, ``NonFinite`` and ``Quality`` may be missing. A stream is found by its uuid when that is
known, wherever it stands; else by its path, if the body names no uuid there. ``NonFinite`` says
what a null at place i stands for, ``Quality`` runs parallel to Readings; both as GET gives them.

An object without Readings, a collection or what has news of its metadata alone, is passed over: so
a whole report is a body. Of what else GET shows, unit and ReadingType must be the stream's own
where they are given, and the rest is not looked at. A key that GET does not know is refused where
it may be a misspelt one: in an object without Readings, or close to a key that counts here.

A time is any number of milliseconds that has 64 bits, its fraction cut off: negative before 1970,
and however far ahead, beyond year 2262 too. No bound would part a wrong clock from a right one.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any, Final

from zope.interface import implementer

from smapd.errors import BadRequest, Busy, NoSuchPath
from smapd.interfaces import IIntake
from smapd.options import nearest
from smapd.values import GOOD, Level, Quality

from .batches import WIDTH
from .fitting import Unfit, described, fit_quality, fit_seqno
from .instance import SmapInstance
from .nodes import Timeseries
from .paths import shown, squash
from .times import from_milliseconds
from .uuids import text_as_uuid
from .wire import NON_FINITE

_LEVELS = {level.label: level for level in Level}
_COUNTING: Final = ("Readings", "uuid", "NonFinite", "Quality", "Properties")
_KNOWN: Final = frozenset(_COUNTING) | {
    "Actuator",
    "Contents",
    "Description",
    "Error",
    "Gaps",
    "Metadata",
    "Next",
}
_OWN: Final = ("UnitofMeasure", "ReadingType")
_MOST_LOOKED_AT: Final = 64
"""Strange keys of one body that are compared with those we know; it takes 0.1 ms each."""


@implementer(IIntake)
class Intake:
    """Adds bodies of readings to one tree; on its home thread."""

    def __init__(self, tree: SmapInstance) -> None:
        self._tree = tree

    def take(self, body: Any) -> int:
        """Check the whole body, then add it all, or nothing; the number of readings taken.

        They are in the tree when it returns.

        :raises BadRequest: naming the path and the place in the body.
        :raises NoSuchPath: for a stream that is not in the tree.
        :raises Busy: if the queue has no room for it all.
        """
        if not isinstance(body, Mapping):
            raise BadRequest(
                'The body is an object like {"/path": {"Readings": [[ms, value]]}}, '
                f"not {_told(body)}."
            )
        items: list[Any] = []
        passed: set[str] = set()
        for path, node in body.items():
            where = shown(squash(str(path)))
            if not isinstance(node, Mapping):
                raise BadRequest(f"{where}: a node is an object with Readings, not {_told(node)}.")
            if not node.keys() <= _KNOWN:
                _check_keys(where, node, passed)
            if "Readings" in node:
                stream = self._stream(where, str(path), node)
                if "Properties" in node:
                    _check_properties(where, stream, node["Properties"])
                self._read(where, stream, node, items)
        inbox = self._tree._inbox
        readings = len(items) // WIDTH
        if not inbox.has_room(readings):
            raise Busy(f"{readings} readings are more than the queue has room for.")
        inbox.put_checked(items)
        self._tree.drain()
        return readings

    def _stream(self, where: str, path: str, node: Mapping[str, Any]) -> Timeseries:
        given = node.get("uuid")
        if given is not None:
            uuid = text_as_uuid(given) if isinstance(given, str) else None
            if uuid is None:
                raise BadRequest(f"{where}: uuid: {_told(given)} is no uuid.")
            stream = self._tree.by_uuid(uuid)
            if stream is not None:
                return stream
        found = self._tree.get(path)
        if found is None:
            raise NoSuchPath(f"No such timeseries or collection: {where}")
        if not isinstance(found, Timeseries):
            raise BadRequest(f"{where}: a collection takes no readings.")
        if given is not None:
            raise BadRequest(
                f"{where}: its uuid is {found.uuid}, not {uuid}, which no other stream has either.",
                hint="Leave the uuid out to add by path.",
            )
        return found

    def _read(
        self,
        where: str,
        stream: Timeseries,
        node: Mapping[str, Any],
        items: list[Any],
    ) -> None:
        rows = node["Readings"]
        if not isinstance(rows, list):
            raise BadRequest(f"{where}: Readings is a list, not {_told(rows)}.")
        unsaid = _non_finite(where, node.get("NonFinite"), rows)
        told = _qualities(where, node.get("Quality"), len(rows))
        fit = stream._shape.fit
        for i, row in enumerate(rows):
            if not isinstance(row, list) or not 2 <= len(row) <= 3:
                raise BadRequest(
                    f"{where}: Readings[{i}]: a reading is [ms, value] or [ms, value, seqno]."
                )
            try:
                ms = _ms(row[0])
                quality = told[i] if told else None
                if quality is not None and quality.level is Level.BAD:
                    value = None
                elif row[1] is None and i in unsaid:
                    value = fit(unsaid[i])
                elif row[1] is None:
                    raise Unfit("null needs a place in NonFinite, or a bad Quality")
                else:
                    value = fit(row[1])
                seqno = fit_seqno(row[2]) if len(row) == 3 and row[2] is not None else None
            except Unfit as unfit:
                raise BadRequest(f"{where}: Readings[{i}]: {unfit}.") from None
            items += (stream, (ms, seqno) if seqno else ms, value, quality)


def _ms(time: Any) -> int:
    if time.__class__ is int or (time.__class__ is float and isfinite(time)):
        return from_milliseconds(time)
    raise Unfit(f"a time is a number of milliseconds, not {_told(time)}")


def _told(value: Any) -> str:
    """A value in a few words, those of JSON."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    return "an object" if isinstance(value, Mapping) else described(value)


def _check_keys(where: str, node: Mapping[str, Any], passed: set[str]) -> None:
    """:raises BadRequest: if a key of this node may be a misspelt one."""
    is_stream = "Readings" in node
    for key in map(str, node):
        if key in _KNOWN or (is_stream and (key in passed or len(passed) >= _MOST_LOOKED_AT)):
            continue
        close = nearest(key, _COUNTING if is_stream else sorted(_KNOWN))
        if close is not None or not is_stream:
            hint = f" Did you mean {close}?" if close else ""
            raise BadRequest(f"{where}: no such key of a node: {shown(key)}.{hint}")
        passed.add(key)


def _check_properties(where: str, stream: Timeseries, given: Any) -> None:
    """:raises BadRequest: if these are of a stream that measures something else."""
    if given is None:
        return
    if not isinstance(given, Mapping):
        raise BadRequest(f"{where}: Properties is an object, not {_told(given)}.")
    own = stream.properties
    for key in _OWN:
        if key in given and given[key] != own.get(key):
            raise BadRequest(
                f"{where}: Properties: {key} is {_told(given[key])}, "
                f"but {shown(stream.path)} has {_told(own[key]) if key in own else 'none'}."
            )


def _non_finite(where: str, given: Any, rows: list[Any]) -> dict[int, float]:
    if given is None:
        return {}
    if isinstance(given, list):
        try:
            found = {i: NON_FINITE[word] for i, word in given if i.__class__ is int}
        except (TypeError, ValueError, KeyError):
            found = {}
        if len(found) == len(given) and all(0 <= i < len(rows) for i in found):
            for i in found:
                row = rows[i]
                if isinstance(row, list) and len(row) > 1 and row[1] is not None:
                    raise BadRequest(
                        f"{where}: Readings[{i}]: NonFinite says what a null stands for, "
                        f"but this is {_told(row[1])}."
                    )
            return found
    raise BadRequest(
        f'{where}: NonFinite is a list of [place in Readings, "NaN", "Infinity" or "-Infinity"].'
    )


def _qualities(where: str, given: Any, size: int) -> list[Quality | None]:
    if given is None:
        return []
    if isinstance(given, list) and len(given) == size:
        try:
            told = [fit_quality(Quality(_LEVELS[row[0]], row[1])) for row in given]
            return [None if quality == GOOD else quality for quality in told]
        except (TypeError, ValueError, KeyError, IndexError):
            pass
    raise BadRequest(
        f"{where}: Quality is a list as long as Readings, of [good, uncertain or bad, reason]."
    )
