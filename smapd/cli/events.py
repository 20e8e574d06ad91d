"""Shows the events of an asset, or follows them as they come."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from typing import Any, Final

from smapd.errors import NotRunning

from . import peer
from .asset import when
from .pause import pause
from .peer import Answered, Peer, printable, stranger

_PAGE: Final = 1_000
_SILENCE_S: Final = 45.0
"""A daemon says something every 15 s to who follows."""
_AGAIN_S: Final = (1.0, 2.0, 5.0, 10.0, 30.0)


def arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``events``."""
    peer.arguments(parser)
    parser.add_argument("asset", metavar="ASSET", help="its id")
    parser.add_argument("--from", dest="start", type=int, metavar="N", help="the first offset")
    parser.add_argument("--limit", type=int, metavar="K", help="at most so many")
    parser.add_argument(
        "--follow", action="store_true", help="wait for new ones; without --from, only for those"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a line")


def run(args: argparse.Namespace) -> int:
    """Print them; with --follow until it is interrupted.

    :raises NotRunning: if no daemon answers.
    :raises SmapError: with the daemon's sentence.
    """
    if args.start is not None and args.start < 0:
        raise Answered(f"--from {args.start}: offsets begin with 0.")
    if args.limit is not None and args.limit < 1:
        raise Answered(f"--limit {args.limit}: at least 1.")
    daemon = peer.find(args)
    found = _following(daemon, args) if args.follow else _there(daemon, args)
    for told, event in enumerate(found, 1):
        print(json.dumps(event) if args.json else line(event), flush=args.follow)
        if told == args.limit:
            break
    return 0


def line(event: dict[str, Any]) -> str:
    """One event for people."""
    data = printable(json.dumps(event.get("data"), ensure_ascii=False, sort_keys=True))
    name = printable(f"{event.get('name')} v{event.get('version')}")
    source = printable(str(event.get("source") or ""))
    at = when(event.get("time"))
    return f"#{event.get('offset')} {at} {name}{' from ' + source if source else ''} {data}"


def _there(daemon: Peer, args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    offset = args.start or 0
    while True:
        page = min(_PAGE, args.limit or _PAGE)
        answer = daemon.get(f"/assets/{args.asset}/events", {"from": offset, "limit": page})
        if not isinstance(answer, dict) or not isinstance(answer.get("events"), list):
            raise stranger(daemon.url, "it tells of no events")
        yield from answer["events"]
        following = int(answer["next"])
        if following <= offset or not answer["events"]:
            return
        offset = following


def _following(daemon: Peer, args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """As they come; when the connection is lost it goes on behind the last one."""
    following: int | None = args.start
    failures, has_answered = 0, False
    while True:
        try:
            query = None if following is None else {"from": following}
            with daemon.stream(
                "GET",
                f"/assets/{args.asset}/events",
                headers={"Accept": "text/event-stream"},
                query=query,
                silence_s=_SILENCE_S,
            ) as answer:
                has_answered = True
                for name, data in _messages(answer):
                    failures = 0
                    if name == "end":
                        return
                    if name == "event":
                        following = int(data["offset"]) + 1
                        yield data
        except NotRunning:
            if not has_answered:
                raise
        pause(_AGAIN_S[min(failures, len(_AGAIN_S) - 1)])
        failures += 1


def _messages(answer: Any) -> Iterator[tuple[str, Any]]:
    name = data = ""
    for raw in answer:
        text = raw.decode("utf-8", "replace").rstrip("\r\n")
        if not text:
            if data:
                yield name, json.loads(data)
            name = data = ""
            continue
        field, _, value = text.partition(":")
        value = value.removeprefix(" ")
        if field == "event":
            name = value
        elif field == "data":
            data += value
