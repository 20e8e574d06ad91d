"""Makes, lists and deletes the assets of a running daemon."""

from __future__ import annotations

import argparse
import json
from datetime import UTC, datetime
from typing import Any

from smapd.errors import BadRequest

from . import peer
from .peer import Peer, printable, stranger
from .subcommands import subcommands


def arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``asset``."""
    add = subcommands(parser, peer.arguments)
    made = add("add", "make an asset; it is on the disk when its path is printed")
    made.add_argument("asset", metavar="ID", help="letters, digits, and . _ : -")
    made.add_argument("--path", help="where in the tree it stands; else the daemon chooses")
    made.add_argument("--description", metavar="TEXT", help="what it is")
    made.add_argument(
        "--metadata",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="a line of its metadata, like Location/Room=42",
    )
    listed = add("list", "every asset: its id, its place, and how many events it has")
    listed.add_argument("--json", action="store_true", help="as the daemon gives it")
    removed = add("remove", "delete an asset that was made so; its events are gone")
    removed.add_argument("asset", metavar="ID", help="its id")


def run(args: argparse.Namespace) -> int:
    """Do it.

    :raises NotRunning: if no daemon answers.
    :raises SmapError: with the daemon's sentence.
    """
    daemon = peer.find(args)
    {"add": _add, "list": _list, "remove": _remove}[args.what](daemon, args)
    return 0


def _add(daemon: Peer, args: argparse.Namespace) -> None:
    body: dict[str, Any] = {"id": args.asset}
    if args.path is not None:
        body["path"] = args.path
    if args.description is not None:
        body["Description"] = args.description
    for given in args.metadata:
        key, equals, value = given.partition("=")
        if not equals or not key:
            raise BadRequest(f"--metadata {given}: not KEY=VALUE.")
        body.setdefault("Metadata", {})[key] = value
    made = daemon.post("/assets", body)
    print(printable(str(made.get("path", ""))) if isinstance(made, dict) else args.asset)


def _list(daemon: Peer, args: argparse.Namespace) -> None:
    answer = daemon.get("/assets")
    found = answer.get("assets") if isinstance(answer, dict) else None
    if not isinstance(found, list):
        raise stranger(daemon.url, "it tells of no assets")
    if args.json:
        print(json.dumps(found, indent=2, sort_keys=True))
        return
    rows = [("ASSET", "PATH", "FROM", "MADE", "EVENTS")]
    for one in found:
        events = int(one.get("next", 0)) - int(one.get("base", 0))
        made = one.get("created_ms")
        rows.append(
            (
                str(one.get("id")),
                str(one.get("path") or "(not there yet)"),
                str(one.get("origin", "")),
                "" if made is None else when(made),
                str(events),
            )
        )
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        cells = [printable(text).ljust(width) for text, width in zip(row, widths, strict=True)]
        print("  ".join(cells).rstrip())


def _remove(daemon: Peer, args: argparse.Namespace) -> None:
    daemon.delete(f"/assets/{args.asset}")
    print(f"{args.asset} is deleted.")


def when(ms: Any) -> str:
    """A time in ms as people write it, in UTC; as it is if it is none."""
    try:
        return datetime.fromtimestamp(ms / 1000, UTC).isoformat(" ", "milliseconds")[:-6]
    except (TypeError, OverflowError, ValueError, OSError):
        return str(ms)
