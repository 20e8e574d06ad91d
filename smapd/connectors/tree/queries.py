"""Queries that the tree answers. What a query says, and what it is answered:

``{"path": P}``
    the node there: ``{"path", …}`` as GET shows it; an actuator's device is asked. ``P/+``: the
    node and all below it, one row each
``{"path": P, "from": T, "to": T, "limit": N}``
    readings of that timeseries that the journal keeps, oldest first: rows ``{"path", "time",
    "value"}``, with ``"quality"`` and ``"reason"`` where it is not good; times are ms UTC, or ISO
    8601 with a zone; one of ``from`` and ``to`` is enough, or ``limit`` alone
``{"asset": A}``
    the asset: ``{"id", "path", "origin", "created_ms", "base", "next"}``
``{"asset": A, "type": Y, "data": …, "mime": M, "timeout": S}``
    a type 2 request of that asset: a row ``{"mime", "data"}`` a chunk, as it comes; data is text
    where the mime type says so, else the row has ``"base64"``. ``data`` of the query is a text,
    or any JSON; ``"base64"`` in its place are bytes
"""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import orjson

from smapd.errors import BadRequest, NoSuchPath, SmapError
from smapd.interfaces import IAccess, IActuators, INode, IReadings, ITimeseries, ITree, ITwin
from smapd.values import (
    GOOD,
    LONG_MAX,
    Action,
    ActuationRequest,
    Json,
    Principal,
    Reading,
)

from .peer import Reply, Row
from .request import Asking

PAGE_NODES: Final = 200
PAGE_READINGS: Final = 1_000
PAGE_TEXTS: Final = 50
"""Readings of a row's page where each may have 64 KiB."""
USUAL_READINGS: Final = 10_000
MOST_READINGS: Final = 1_000_000

USUAL_TIMEOUT_S: Final = 30.0
MOST_TIMEOUT_S: Final = 590.0

_PATH_KEYS: Final = frozenset({"path", "from", "to", "limit"})
_ASSET_KEYS: Final = frozenset({"asset", "type", "data", "base64", "mime", "timeout"})
_BYTES: Final = "application/octet-stream"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class TreeQueries:
    """Answers queries of one connector; on the reactor's thread.

    ``of_tree``, ``of_assets``: whether it answers such at all.
    """

    def __init__(
        self,
        who: Principal,
        *,
        of_tree: bool,
        of_assets: bool,
        tree: ITree,
        readings: IReadings,
        actuators: IActuators,
        twin: ITwin,
        access: IAccess,
    ) -> None:
        self.answered = self.refused = 0
        self._who, self._of_tree, self._of_assets = who, of_tree, of_assets
        self._tree, self._readings, self._actuators = tree, readings, actuators
        self._twin, self._access = twin, access

    async def answer(self, message: Mapping[str, Json], reply: Reply) -> None:
        """Answer one.

        :raises SmapError: what is wrong with it, or why there is no (further) answer.
        """
        try:
            await self._answer(message, reply)
        except SmapError:
            self.refused += 1
            raise
        self.answered += 1

    async def _answer(self, message: Mapping[str, Json], reply: Reply) -> None:
        if "path" in message and self._of_tree:
            _check_keys(message, _PATH_KEYS)
            await self._of_path(message, reply)
        elif "asset" in message and self._of_assets:
            _check_keys(message, _ASSET_KEYS)
            await self._of_asset(message, reply)
        else:
            known = ["path, from, to and limit"] * self._of_tree
            known += ["asset, type and data"] * self._of_assets
            raise BadRequest(f"A query here has {', or '.join(known) or 'no meaning'}.")

    # --- the tree

    async def _of_path(self, message: Mapping[str, Json], reply: Reply) -> None:
        path = message["path"]
        if not isinstance(path, str) or not path.startswith("/"):
            raise BadRequest("path: not a path. Write one like /hall/temperature.")
        names = [name for name in path.split("/") if name]
        is_below = bool(names) and names[-1] == "+"
        where = "/" + "/".join(names[:-1] if is_below else names)
        self._access.decide(self._who, Action.READ, where)
        node = self._tree.get(where)
        if node is None:
            raise NoSuchPath(f"No such timeseries or collection: {where[:200]}")
        if any(key in message for key in ("from", "to", "limit")):
            if is_below:
                raise BadRequest("from, to and limit are of one timeseries, not of many.")
            await self._past(node, message, reply)
        elif is_below:
            await self._below(where, reply)
        else:
            await reply.complete([{"path": node.path, **await self._now(node)}])

    async def _now(self, node: INode) -> dict[str, Json]:
        if getattr(node, "actuator", None) is None:
            return node.as_json()
        stream: ITimeseries = node  # type: ignore[assignment]
        reading = await self._actuators.get(node.path, self._asked(node.path))
        return stream.showing(reading)

    async def _below(self, path: str, reply: Reply) -> None:
        asked: Mapping[str, tuple[Reading | None, str]] = {}
        if self._tree.actuators(path):
            asked = await self._actuators.survey(path)
        rows: list[Row] = []
        for relative, node in self._tree.walk(path):
            found = asked.get(relative)
            if found is None or getattr(node, "actuator", None) is None:
                shown = node.as_json()
            else:
                stream: ITimeseries = node  # type: ignore[assignment]
                shown = stream.showing(*found)
            rows.append({"path": node.path, **shown})
            if len(rows) >= PAGE_NODES:
                await reply.partial(rows)
                rows = []
        await reply.complete(rows)

    async def _past(self, node: INode, message: Mapping[str, Json], reply: Reply) -> None:
        """The readings of a range, page by page, as fast as they are taken.

        Readings of one millisecond are not parted by a page, unless it holds nothing else.
        """
        if not ITimeseries.providedBy(node):
            raise BadRequest(f"{node.path} is a collection; only a timeseries has a past.")
        stream: ITimeseries = node
        from_ms = time_ms(message.get("from"), "from", -LONG_MAX)
        to_ms = time_ms(message.get("to"), "to", LONG_MAX)
        if from_ms >= to_ms:
            raise BadRequest("from is not before to; the range is empty.")
        left = _whole(message.get("limit"), "limit", USUAL_READINGS, MOST_READINGS)
        usual = PAGE_TEXTS if stream.data_type == "string" else PAGE_READINGS
        rows: list[Row] = []
        while True:
            page = min(usual, left)
            found, _gaps = await self._readings.read_range(stream.uuid, from_ms, to_ms, page + 1)
            shown = found
            if len(found) > page:
                edge = found[page].ms
                shown = [reading for reading in found[:page] if reading.ms != edge]
                if not shown:
                    shown, edge = found[:page], edge + 1
                from_ms = edge
            if rows:
                await reply.partial(rows)
            rows = [_row(stream.path, reading) for reading in shown]
            left -= len(rows)
            if len(found) <= page or left <= 0:
                break
        await reply.complete(rows)

    # --- assets

    async def _of_asset(self, message: Mapping[str, Json], reply: Reply) -> None:
        asset = _text(message, "asset")
        if "type" not in message:
            self._access.decide(self._who, Action.READ, asset)
            await reply.complete([self._twin.asset(asset)])
            return
        type_ = _text(message, "type")
        self._access.decide(self._who, Action.REQUEST, asset)
        data, mime = _data(message)
        timeout_s = _seconds(message.get("timeout"))
        await Asking(self._twin.exchanges, reply).ask(asset, type_, data, mime, timeout_s)

    def _asked(self, path: str) -> ActuationRequest:
        return ActuationRequest("GET", path, {}, self._who)


def time_ms(value: Json, key: str, default: int) -> int:
    """ms UTC of a number of ms, or of ISO 8601 with a zone.

    :raises BadRequest: if it is neither.
    """
    if value is None:
        return default
    if type(value) is int and -LONG_MAX <= value <= LONG_MAX:
        return value
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    if isinstance(value, str) and len(value) <= 40:
        try:
            when = datetime.fromisoformat(value)
        except ValueError:
            when = None
        if when is not None and when.tzinfo is not None:
            return (when - _EPOCH) // timedelta(milliseconds=1)
    raise BadRequest(
        f"{key}: not a time. Write ms since 1970, or a text like 2026-03-01T12:00:00Z."
    )


def _check_keys(message: Mapping[str, Json], known: frozenset[str]) -> None:
    for key in message:
        if key not in known:
            raise BadRequest(f"{key[:100]}: no such key of a query; {', '.join(sorted(known))}.")


def _text(message: Mapping[str, Json], key: str) -> str:
    value = message.get(key)
    if not isinstance(value, str) or not 0 < len(value) <= 200:
        raise BadRequest(f"{key}: not a text of 1 to 200 letters.")
    return value


def _whole(value: Json, key: str, default: int, most: int) -> int:
    if value is None:
        return default
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if type(value) is not int or not 1 <= value <= most:
        raise BadRequest(f"{key}: not a whole number from 1 to {most}.")
    return value


def _seconds(value: Json) -> float:
    if value is None:
        return USUAL_TIMEOUT_S
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadRequest("timeout: not a number of seconds.")
    if not 0 < value <= MOST_TIMEOUT_S:
        raise BadRequest(f"timeout: not above 0 and at most {MOST_TIMEOUT_S:g} seconds.")
    return float(value)


def _data(message: Mapping[str, Json]) -> tuple[bytes, str]:
    """The data of a request and its mime type."""
    mime = message.get("mime")
    if mime is not None and not isinstance(mime, str):
        raise BadRequest("mime: not a text.")
    if "base64" in message:
        if "data" in message:
            raise BadRequest("data and base64: only one of the two.")
        try:
            return b64decode(_bytes_text(message), validate=True), mime or _BYTES
        except (binascii.Error, ValueError):
            raise BadRequest("base64: not base64.") from None
    data = message.get("data")
    if data is None:
        return b"", mime or _BYTES
    if isinstance(data, str):
        return data.encode("utf-8", "replace"), mime or "text/plain; charset=utf-8"
    return orjson.dumps(data), mime or "application/json"


def _bytes_text(message: Mapping[str, Json]) -> str:
    value = message["base64"]
    if not isinstance(value, str):
        raise BadRequest("base64: not a text.")
    return value


def _row(path: str, reading: Reading) -> Row:
    value: Any = reading.value
    row: Row = {"path": path, "time": reading.ms, "value": value}
    if value.__class__ is float and value - value != 0.0:
        row["value"] = None
        row["nonfinite"] = "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"
    if reading.quality != GOOD:
        row |= {"quality": reading.quality.level.label, "reason": reading.quality.reason}
    return row
