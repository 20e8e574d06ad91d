"""Lists, shows, makes, pauses and removes the reports of a running daemon."""

from __future__ import annotations

import argparse
import json
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID, uuid4

from smapd.errors import BadRequest, NoSuchReport
from smapd.options import boolean, duration, size

from . import peer
from .peer import Answered, Peer, printable
from .status import lines
from .subcommands import subcommands

_FORMATS: Final = ("json", "gzip-json", "avro", "gzip-avro", "csv")
_SHORTEST: Final = 4
"""Letters of a uuid that may stand for all of it."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``reports``."""
    add = subcommands(parser, peer.arguments)
    listed = add("list", "every report: what it is, where to, and how far it is")
    shown = add("show", "one report with all that is known of it")
    made = add("create", "make a report; it is on the disk when its uuid is printed")
    for one in (listed, shown):
        one.add_argument("--json", action="store_true", help="as the daemon gives it")
    made.add_argument("resource", metavar="RESOURCE", help="/+, /path/+, a path, uuid or condition")
    made.add_argument(
        "location", nargs="+", metavar="URL", help="where to; the others if that fails"
    )
    made.add_argument("--uuid", help="of the report; else a new one")
    made.add_argument("--format", choices=_FORMATS, help="default json")
    made.add_argument("--min-period", metavar="TIME", help="least time between two posts")
    made.add_argument("--max-period", metavar="TIME", help="most time between two posts")
    made.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="any other key of a [report] section, like Sequence=yes or Keep=14d",
    )
    for name, text in (
        ("delete", "remove a report, with what it has not delivered"),
        ("pause", "deliver nothing until it is resumed; what comes is kept"),
        ("resume", "deliver again"),
    ):
        one = add(name, text)
        one.add_argument("report", metavar="REPORT", help="its uuid, or its name in the config")
    shown.add_argument("report", metavar="REPORT", help="its uuid, or its name in the config")


def run(args: argparse.Namespace) -> int:
    """Do it.

    :raises NotRunning: if no daemon answers.
    :raises SmapError: with the daemon's sentence.
    """
    daemon = peer.find(args)
    step = {"list": _list, "show": _show, "create": _create, "delete": _delete}.get(args.what)
    if step is not None:
        step(daemon, args)
    else:
        _pause(daemon, args)
    return 0


def _list(daemon: Peer, args: argparse.Namespace) -> None:
    found = _all(daemon)
    if args.json:
        print(json.dumps(found, indent=2, sort_keys=True))
        return
    rows = [("REPORT", "RESOURCE", "TO", "STATE", "WAITING", "SENT", "LOST")]
    for one in found:
        lost = sum(one.get("gaps", {}).values()) if isinstance(one.get("gaps"), dict) else 0
        rows.append(
            (
                str(one.get("name") or one["uuid"]).removeprefix("report " if _is_own(one) else ""),
                str(one.get("resource", "")),
                str(one.get("to", "")),
                _state(one),
                str(one.get("waiting", "")),
                str(one.get("readings", "")),
                str(lost),
            )
        )
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        cells = [printable(text).ljust(width) for text, width in zip(row, widths, strict=True)]
        print("  ".join(cells).rstrip())


def _show(daemon: Peer, args: argparse.Namespace) -> None:
    uuid = _uuid_of(daemon, args.report)
    found = daemon.get(f"/reports/{uuid}")
    more = next((one for one in _all(daemon) if one["uuid"] == uuid), {})
    told = {**found, **{key: value for key, value in more.items() if key != "uuid"}}
    if args.json:
        print(json.dumps(told, indent=2, sort_keys=True))
        return
    for line in lines({key: _for_people(key, value) for key, value in told.items()}):
        print(line)


def _create(daemon: Peer, args: argparse.Namespace) -> None:
    body: dict[str, Any] = {
        "uuid": _uuid(args.uuid) if args.uuid is not None else str(uuid4()),
        "ReportResource": args.resource,
        "ReportDeliveryLocation": args.location,
    }
    if args.format is not None:
        body["Format"] = args.format
    for key, text in (("MinPeriod", args.min_period), ("MaxPeriod", args.max_period)):
        if text is not None:
            body[key] = _read(key, text)
    for given in args.set:
        key, equals, text = given.partition("=")
        if not equals:
            raise BadRequest(f"--set {given}: not KEY=VALUE.")
        body[key] = _read(key, text)
    daemon.post("/reports", body)
    print(body["uuid"])


def _delete(daemon: Peer, args: argparse.Namespace) -> None:
    uuid = _uuid_of(daemon, args.report)
    daemon.delete(f"/reports/{uuid}")
    print(f"{uuid} is removed.")


def _pause(daemon: Peer, args: argparse.Namespace) -> None:
    uuid = _uuid_of(daemon, args.report)
    daemon.put(f"/reports/{uuid}", {"Paused": args.what == "pause"})
    print(f"{uuid} is {args.what}d.")


# --- what the daemon says


def _all(daemon: Peer) -> list[dict[str, Any]]:
    """Every report, with what /status has of it."""
    uuids = daemon.get("/reports")["Contents"]
    told = daemon.get("/status").get("reports")
    known = {one.get("uuid"): one for one in told} if isinstance(told, list) else {}
    return [known.get(uuid) or {"uuid": uuid, **_plain(daemon, uuid)} for uuid in uuids]


def _plain(daemon: Peer, uuid: str) -> dict[str, Any]:
    try:
        found = daemon.get(f"/reports/{uuid}")
    except Answered:  # it went meanwhile
        return {}
    to = found.get("ReportDeliveryLocation") or [""]
    return {"resource": found.get("ReportResource"), "to": to[0]}


def _uuid_of(daemon: Peer, given: str) -> str:
    """The uuid of a report that is named by it, by its beginning, or by its name."""
    found = _all(daemon)
    word = given.strip("[]").lower()
    names = [one for one in found if word in _names(one)]
    if not names and len(word) >= _SHORTEST:
        names = [one for one in found if str(one["uuid"]).startswith(word)]
    if len(names) > 1:
        raise NoSuchReport(f"{given} may be {' or '.join(str(one['uuid']) for one in names[:5])}.")
    if not names:
        raise NoSuchReport(f"There is no report {given}.", hint="`smapd reports list` lists them.")
    return str(names[0]["uuid"])


def _names(one: dict[str, Any]) -> set[str]:
    name = str(one.get("name", "")).lower()
    return {str(one["uuid"]), name, name.removeprefix("report ")} - {""}


def _is_own(one: dict[str, Any]) -> bool:
    """Whether its name is only its uuid once more."""
    return str(one["uuid"]) in str(one.get("name", ""))


def _state(one: dict[str, Any]) -> str:
    state = str(one.get("state", ""))
    why = one.get("why")
    return f"{state}: {why}" if why and state == "waiting" else state


def _for_people(key: str, value: Any) -> Any:
    if key.endswith("_ms") and isinstance(value, int) and not isinstance(value, bool) and value > 0:
        try:
            return datetime.fromtimestamp(value / 1000, UTC).isoformat(" ", "seconds")
        except (OverflowError, ValueError, OSError):
            return value
    return value


# --- what the user says


def _uuid(text: str) -> str:
    try:
        return str(UUID(text))
    except ValueError:
        raise BadRequest(f"--uuid {text}: no uuid.") from None


_SECONDS: Final = ("MinPeriod", "MaxPeriod", "MaxAge", "Keep")
_SIZES: Final = ("MaxBytes", "KeepBytes", "BytesPerDay")
_FLAGS: Final = ("Sequence", "Gaps", "Quality", "Paused")
_NUMBERS: Final = ("MaxReadings", "CatchUpRate", "ExpireTime")
_TEXTS: Final = ("Order", "Format")


def _read(key: str, text: str) -> Any:
    """A value as a config file has it, to what JSON has for it.

    :raises BadRequest: if there is no such key, or the value does not fit.
    """
    try:
        if key in _SECONDS:
            return duration(text)
        if key in _SIZES:
            return size(text)
        if key in _FLAGS:
            return boolean(text)
        if key in _NUMBERS:
            return int(text) if text.isdigit() else float(text)
    except ValueError as e:
        raise BadRequest(f"{key} = {text}: {e}") from None
    if key in _TEXTS:
        return text
    known = ", ".join(sorted((*_SECONDS, *_SIZES, *_FLAGS, *_NUMBERS, *_TEXTS)))
    raise BadRequest(f"--set {key}: no such key. There are {known}.")
