"""The desired state of a running daemon: export a model, look what it changes, deploy it."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from typing import Any, Final

from smapd.errors import NoSuchVersion

from . import peer
from .bar import Bar, counted
from .desired_text import (
    Paint,
    absence_lines,
    action_lines,
    difference_lines,
    result_line,
    stamp,
    table,
)
from .exits import FAILED, OK
from .pause import pause
from .peer import Peer, printable
from .status import lines
from .subcommands import subcommands

LOOK_EACH_S: Final = 0.3
PAGE: Final = 1_000
_BAD: Final = ("failed", "skipped", "unavailable")


def arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``desired``."""

    def common(one: argparse.ArgumentParser) -> None:
        peer.arguments(one)
        one.add_argument("--json", action="store_true", help="as the daemon gives it")

    add = subcommands(parser, common)

    def with_version(one: argparse.ArgumentParser) -> argparse.ArgumentParser:
        one.add_argument(
            "version", nargs="?", type=_number, metavar="N", help="number of a version; the newest"
        )
        return one

    from . import desired_agent, desired_export

    desired_export.arguments(add("export", "make a version of a model, a Python file"))
    plan = with_version(add("plan", "what a version changes beside the one that is deployed"))
    plan.add_argument("--from", dest="other", type=int, metavar="M", help="beside this one")
    deployed = with_version(add("deploy", "deploy a version, and tell what comes of it"))
    deployed.add_argument(
        "--dry-run", action="store_true", help="only look at each resource, and change nothing"
    )
    rolled = add("rollback", "make a new version that is as an old one, and deploy it")
    rolled.add_argument("version", type=_number, metavar="N", help="number of the old version")
    for one in (deployed, rolled):
        one.add_argument("--no-wait", action="store_true", help="end when it has begun")
    add("status", "what is deployed, and what of it is not as it should be")
    shown = add("show", "a version, or all that is known of a resource")
    shown.add_argument(
        "what_of", type=_given, metavar="N|ID", help="number of a version, or id of a resource"
    )
    past = add("history", "the versions and deploys, or what was done to a resource")
    past.add_argument("resource", nargs="?", type=_given, metavar="ID", help="id of a resource")
    past.add_argument("--level", default="debug", help="log records of at least this level")
    past.add_argument("--limit", type=_number, default=20, help="so many actions, the newest")
    add("agents", "the agents, and what each does")
    desired_agent.arguments(
        add("agent", "serve as an agent: do the work of a daemon here, until it is ended")
    )


def run(args: argparse.Namespace) -> int:
    """Do it; 1 if a resource could not be brought about.

    :raises NotRunning: if no daemon answers.
    :raises SmapError: with the daemon's sentence.
    """
    if args.what == "export":
        from . import desired_export

        return desired_export.run(args)
    if args.what == "agent":
        from . import desired_agent

        return desired_agent.run(args)
    daemon = peer.find(args)
    step = {
        "plan": _plan,
        "deploy": _deploy,
        "rollback": _rollback,
        "status": _status,
        "show": _show,
        "history": _history,
        "agents": _agents,
    }[args.what]
    return step(daemon, args)


# --- to look


def _plan(daemon: Peer, args: argparse.Namespace) -> int:
    n = _version(daemon, args.version)
    query = None if args.other is None else {"from": args.other}
    found = daemon.get(f"/desired/versions/{n}/difference", query)
    if args.json:
        return _print(found)
    paint = Paint.for_stdout()
    for line in difference_lines(found, paint):
        print(line)
    print("No device was asked; `smapd desired deploy --dry-run` does that.")
    return OK


def _status(daemon: Peer, args: argparse.Namespace) -> int:
    found = daemon.get("/desired/resources", {"state": ",".join(_BAD), "limit": PAGE})
    if args.json:
        return _print(found)
    if found["version"] is None:
        print("Nothing is deployed.")
        return OK
    paint, counts = Paint.for_stdout(), found["counts"]
    told = ", ".join(f"{n} {paint.state(state)}" for state, n in counts.items())
    print(f"version {found['version']}: {told}")
    for one in found["resources"]:
        print(result_line({"resource": one["resource"], **(one["result"] or {})}, paint))
    if "next" in found:
        print(f"and more; only the first {PAGE} are shown")
    return FAILED if any(state in counts for state in _BAD) else OK


def _show(daemon: Peer, args: argparse.Namespace) -> int:
    if args.what_of.isdigit():
        found = _whole_version(daemon, int(args.what_of))
    else:
        found = daemon.get(f"/desired/resources/{args.what_of}")
    if args.json:
        return _print(found)
    for line in lines(found):
        print(line)
    return OK


def _whole_version(daemon: Peer, n: int) -> dict[str, Any]:
    found: dict[str, Any] = daemon.get(f"/desired/versions/{n}", {"limit": PAGE})
    page = found
    while "next" in page:
        page = daemon.get(f"/desired/versions/{n}", {"limit": PAGE, "after": page["next"]})
        found["resources"] += page["resources"]
    found.pop("next", None)
    return found


def _history(daemon: Peer, args: argparse.Namespace) -> int:
    if args.resource is not None:
        query = {"limit": args.limit, "level": args.level}
        found = daemon.get(f"/desired/resources/{args.resource}/actions", query)["actions"]
        if args.json:
            return _print(found)
        paint = Paint.for_stdout()
        for action in reversed(found):
            for line in action_lines(action, paint):
                print(line)
        return OK
    versions = daemon.get("/desired/versions")["versions"]
    deploys = daemon.get("/desired/deploys")["deploys"]
    if args.json:
        return _print({"versions": versions, "deploys": deploys})
    rows: list[tuple[str, ...]] = [("VERSION", "MADE", "RESOURCES", "NOTE")]
    for one in versions:
        mark = "*" if one["is_deployed"] else ""
        rows.append(
            (f"{one['version']}{mark}", stamp(one["made_ms"]), str(one["count"]), one["note"])
        )
    for line in table(rows):
        print(line)
    print()
    rows = [("DEPLOY", "VERSION", "BEGAN", "STATE", "CHANGED", "RESULT")]
    for one in deploys:
        rows.append(
            (
                f"{one['deploy']}{' (dry run)' if one['dry_run'] else ''}",
                str(one["version"]),
                stamp(one.get("began_ms")),
                one["state"],
                str(one.get("changed", "")),
                ", ".join(f"{n} {state}" for state, n in one.get("counts", {}).items()),
            )
        )
    for line in table(rows):
        print(line)
    return OK


def _agents(daemon: Peer, args: argparse.Namespace) -> int:
    found = daemon.get("/desired/agents")["agents"]
    if args.json:
        return _print(found)
    rows = [("AGENT", "SERVES", "WHERE", "UNDER WAY", "DONE")]
    for one in found:
        rows.append(
            (
                one["name"],
                ", ".join(one["names"]),
                "elsewhere" if one["elsewhere"] else "in the daemon",
                str(one["under_way"]),
                str(one["done"]),
            )
        )
    for line in table(rows):
        print(line)
    return OK


# --- to do


def _deploy(daemon: Peer, args: argparse.Namespace) -> int:
    n = _version(daemon, args.version)
    begun = daemon.post(f"/desired/versions/{n}/deploy", {"dry_run": args.dry_run})
    return follow(daemon, begun, args)


def _rollback(daemon: Peer, args: argparse.Namespace) -> int:
    made = daemon.post("/desired/versions", {"from": args.version})["version"]
    if not args.json:
        print(f"version {made} is as version {args.version}")
    begun = daemon.post(f"/desired/versions/{made}/deploy", {"dry_run": False})
    return follow(daemon, begun, args)


def follow(daemon: Peer, begun: Mapping[str, Any], args: argparse.Namespace) -> int:
    """Tell what comes of a deploy until it is over; 1 if not all of it is as it should be."""
    d = begun["deploy"]
    if args.no_wait:
        if args.json:
            return _print(begun)
        print(f"deploy {d} of version {begun['version']} has begun")
        return OK
    paint, bar, after = Paint.for_stdout(), Bar(None), 0
    results: list[Any] = []
    is_absence_told = args.json
    while True:
        found = daemon.get(f"/desired/deploys/{d}", {"after": after, "limit": PAGE})
        if found["state"] != "waiting" and not is_absence_told:
            is_absence_told = True
            for line in absence_lines(found):
                print(line)
        if not after:
            bar = Bar(found["count"])
        for one in found["results"]:
            if args.json:
                results.append(one)
            elif _is_news(one):
                bar.end()
                print(result_line(one, paint))
        sys.stdout.flush()
        after = found["next"]
        bar.at(after, f"{after} of {counted(found['count'], 'resource')}")
        if found["state"] in ("done", "overtaken") and not found["results"]:
            break
        if not found["results"]:
            pause(LOOK_EACH_S)
    bar.end()
    if args.json:
        _print({**found, "results": results})
    else:
        _tell_end(found, paint)
    is_bad = found["state"] != "done" or any(word in found["counts"] for word in _BAD)
    return FAILED if is_bad else OK


def _tell_end(found: Mapping[str, Any], paint: Paint) -> None:
    what = "dry run" if found["dry_run"] else "deploy"
    told = ", ".join(f"{n} {paint.state(state)}" for state, n in found["counts"].items())
    end = "is done" if found["state"] == "done" else "was overtaken by a newer deploy"
    would = "would change" if found["dry_run"] else "changed"
    rest = f"; {found['changed']} {would}"
    print(
        f"{what} {found['deploy']} of version {found['version']} {end}: {told or 'nothing'}{rest}"
    )
    for one in found.get("unseen", ()):
        reason = f": {printable(one['reason'])}" if one["reason"] else ""
        print(f"not looked at: {printable(one['resource'])}{reason}")


def _is_news(one: Mapping[str, Any]) -> bool:
    return bool(one["changes"]) or one["change"] != "nochange" or one["status"] in _BAD


def _version(daemon: Peer, given: int | None) -> int:
    if given is not None:
        return given
    found = daemon.get("/desired/versions")["versions"]
    if not found:
        raise NoSuchVersion(
            "There is no version yet.", hint="Make one with: smapd desired export MODEL.py"
        )
    return int(found[-1]["version"])


def _number(text: str) -> int:
    """:raises argparse.ArgumentTypeError: if that is no number from 1 on."""
    if not text.isdecimal() or not text.isascii() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: write a number from 1 on")
    return int(text)


def _given(text: str) -> str:
    """:raises argparse.ArgumentTypeError: if there is nothing in it."""
    if not text.strip():
        raise argparse.ArgumentTypeError("it is empty")
    return text


def _print(value: Any) -> int:
    print(json.dumps(value, indent=2, sort_keys=True))
    return OK
