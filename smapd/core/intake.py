"""Takes readings that come from outside, in the form of a report's body.

::

    {"/hall/t": {"uuid": "…", "Readings": [[ms, value], [ms, value, seqno], …],
                 "NonFinite": [[i, "NaN"], …], "Quality": [[level, reason, …], …]}}

``uuid``, ``NonFinite`` and ``Quality`` may be missing. A stream is found by its uuid when that is
known, else by its path. ``NonFinite`` says what a null at place i stands for, ``Quality`` runs
parallel to Readings; both as GET gives them. What else an object holds is not looked at, and one
without Readings, a collection, is passed over: so a whole report is a body.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any

from zope.interface import implementer

from smapd.errors import BadRequest, Busy, NoSuchPath
from smapd.interfaces import IIntake
from smapd.values import GOOD, Level, Quality

from .batches import WIDTH
from .fitting import Unfit, described, fit_quality, fit_seqno, kind_of
from .instance import SmapInstance
from .nodes import Timeseries
from .paths import shown, squash
from .times import from_milliseconds
from .uuids import text_as_uuid
from .wire import NON_FINITE

_LEVELS = {level.label: level for level in Level}


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
                f"not {kind_of(body)}."
            )
        items: list[Any] = []
        for path, node in body.items():
            where = shown(str(path))
            if not isinstance(node, Mapping):
                raise BadRequest(
                    f"{where}: a node is an object with Readings, not {kind_of(node)}."
                )
            if "Readings" in node:
                self._read(where, self._stream(str(path), node), node, items)
        inbox = self._tree._inbox
        readings = len(items) // WIDTH
        if not inbox.has_room(readings):
            raise Busy(f"{readings} readings are more than the queue has room for.")
        inbox.put_checked(items)
        self._tree.drain()
        return readings

    def _stream(self, path: str, node: Mapping[str, Any]) -> Timeseries:
        given = node.get("uuid")
        if given is not None:
            uuid = text_as_uuid(given) if isinstance(given, str) else None
            if uuid is None:
                raise BadRequest(f"{shown(path)}: uuid: {described(given)} is no uuid.")
            stream = self._tree.by_uuid(uuid)
            if stream is not None:
                return stream
        found = self._tree.get(path)
        if isinstance(found, Timeseries):
            return found
        if found is not None:
            raise BadRequest(f"{shown(path)}: a collection takes no readings.")
        raise NoSuchPath(f"No such timeseries or collection: {shown(squash(path))}")

    def _read(
        self,
        where: str,
        stream: Timeseries,
        node: Mapping[str, Any],
        items: list[Any],
    ) -> None:
        rows = node["Readings"]
        if not isinstance(rows, list):
            raise BadRequest(f"{where}: Readings is a list, not {kind_of(rows)}.")
        unsaid = _non_finite(where, node.get("NonFinite"), len(rows))
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
    raise Unfit(f"a time is a number of milliseconds, not {described(time)}")


def _non_finite(where: str, given: Any, size: int) -> dict[int, float]:
    if given is None:
        return {}
    if isinstance(given, list):
        try:
            found = {i: NON_FINITE[word] for i, word in given if i.__class__ is int}
        except (TypeError, ValueError, KeyError):
            found = {}
        if len(found) == len(given) and all(0 <= i < size for i in found):
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
