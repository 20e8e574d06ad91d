"""What ``smapd status`` shows first: what runs, and what does not, in a screenful.

Everything is taken with care: the daemon may be another version, and lack a section.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from .peer import printable

_WIDTH: Final = 11
_MOST: Final = 20
"""Lines of one kind of trouble."""
_WELL: Final = frozenset({"running", "ready", "idle", "sending", "connected", "paused", "removed"})


def summary(found: Mapping[str, Any]) -> Iterator[str]:
    """The lines; ``found``: what /status answers."""
    yield from _daemon(_dict(found, "daemon"))
    tree, journal = _dict(found, "tree"), _dict(found, "journal")
    lost = f", {tree['dropped']} dropped" if tree.get("dropped") else ""
    refused = f", {tree['refused']} refused" if tree.get("refused") else ""
    yield _line("tree", f"{tree.get('nodes', 0)} nodes, {tree.get('readings', 0)} readings" + lost)
    if refused:
        yield _more(refused.removeprefix(", ") + "; the log says which")
    if journal.get("error"):
        yield _line("journal", f"the disk takes nothing: {journal['error']}")
    yield from _states("drivers", _list(found, "drivers"), "path", ("error",))
    yield from _reports(_list(found, "reports"))
    assets = _dict(found, "assets")
    if assets.get("assets"):
        yield _line("assets", f"{assets['assets']}, {assets.get('connected', 0)} things connected")
    yield from _followers(_list(assets, "sessions"))
    yield from _states("things", _list(found, "things"), "section", ("why", "error"))
    yield from _connectors(_list(found, "connectors"))
    yield from _desired(_dict(found, "desired"))
    yield from _late(_dict(found, "late"))
    yield from _faults(_list(found, "faults"))


def _daemon(daemon: Mapping[str, Any]) -> Iterator[str]:
    up = ""
    if isinstance(daemon.get("now_ms"), int) and isinstance(daemon.get("started_ms"), int):
        up = f", up {_span((daemon['now_ms'] - daemon['started_ms']) / 1000)}"
    ready = daemon.get("not_ready") or "ready"
    yield _line("smapd", f"{daemon.get('version')}, pid {daemon.get('pid')}{up}; {ready}")
    if daemon.get("config"):
        yield _line("config", daemon["config"])
    if daemon.get("data_dir"):
        yield _line("data", daemon["data_dir"])


def _states(
    name: str, parts: Sequence[Mapping[str, Any]], key: str, why: Sequence[str]
) -> Iterator[str]:
    if not parts:
        return
    states = Counter(str(one.get("state")) for one in parts)
    yield _line(name, ", ".join(f"{n} {state}" for state, n in states.most_common()))
    bad = [
        one
        for one in parts
        if str(one.get("state")) not in _WELL or any(one.get(reason) for reason in why)
    ]
    for one in bad[:_MOST]:
        told = next((str(one[reason]) for reason in why if one.get(reason)), "")
        place = str(one.get(key, one.get("name", "")))
        shown = told if place in told else f"{place}: {told or one.get('state')}"
        yield _more(shown)
    yield from _rest(len(bad))


def _reports(reports: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    if not reports:
        return
    states = Counter(str(one.get("state")) for one in reports)
    yield _line("reports", ", ".join(f"{n} {state}" for state, n in states.most_common()))
    shown = [one for one in reports if str(one.get("state")) not in _WELL or one.get("gaps")]
    for one in shown[:_MOST]:
        gaps = one.get("gaps")
        lost = sum(gaps.values()) if isinstance(gaps, dict) else 0
        hours = one.get("hours_until_loss")
        parts = [f"{one.get('waiting', 0)} readings wait"]
        if hours is not None:
            parts.append(f"the first is lost in {hours:g} h")
        if lost:
            parts.append(f"{lost} lost")
        why = f": {one['why']}" if one.get("why") else ""
        where = f" to {one['to']}" if one.get("to") else ""
        yield _more(f"{one.get('name', one.get('uuid'))}{where}{why}; {', '.join(parts)}")
    yield from _rest(len(shown))


def _followers(sessions: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Those that stand still: events wait, and none that they have is acknowledged."""
    followers = [(one.get("name"), _dict(_dict(one, "roles"), "follower")) for one in sessions]
    bad = [(name, state) for name, state in followers if state.get("standing_still")]
    if not bad:
        return
    yield _line(
        "followers",
        f"{len(bad)} of {sum(bool(f) for _, f in followers)} stand{'s' * (len(bad) == 1)} still",
    )
    shown = [(name, one) for name, state in bad for one in _list(state, "still")]
    for name, one in shown[:_MOST]:
        for_s = float(one.get("for_s") or 0)
        yield _more(
            f"{name} at asset {one.get('asset')}: none of {one.get('unacked')} events acknowledged"
            f" for {_span(for_s)}, {one.get('waiting')} more wait"
        )
    count = sum(int(state["standing_still"]) for _, state in bad)
    if count > min(len(shown), _MOST):
        yield _more(f"and at {count - min(len(shown), _MOST)} more assets")


def _connectors(connectors: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """A line for all sources; one for each connector or source that does not do well."""
    if not connectors:
        return
    states: Counter[str] = Counter()
    bad: list[str] = []
    for connector in connectors:
        name, sources = connector.get("name"), _list(connector, "sources")
        if connector.get("problem"):
            bad.append(f"{name}: {connector['problem']}")
        if not sources:
            removed = connector.get("type") == "removed"
            states["removed" if removed else "not open"] += 1
        for one in sources:
            state = str(one.get("state"))
            states[state] += 1
            readings, events = _dict(one, "readings"), _dict(one, "events")
            lost = sum(_dict(readings, "gaps").values())
            if state in _WELL and not lost and not one.get("problem"):
                continue
            parts = [f"{readings['waiting']} readings wait"] if "waiting" in readings else []
            if "waiting" in events:
                parts.append(f"{events['waiting']} events wait")
            if readings.get("hours_until_loss") is not None:
                parts.append(f"the first reading is lost in {readings['hours_until_loss']:g} h")
            if lost:
                parts.append(f"{lost} lost")
            why = one.get("problem") or one.get("why") or (state if state not in _WELL else "")
            where = f" to {one['server']}" if one.get("server") else ""
            told = "; ".join([f": {why}" if why else "", ", ".join(parts)]).removesuffix("; ")
            bad.append(f"{name}, source {one.get('source')}{where}{told}")
    yield _line("connectors", ", ".join(f"{n} {state}" for state, n in states.most_common()))
    yield from map(_more, bad[:_MOST])
    yield from _rest(len(bad))


def _desired(desired: Mapping[str, Any]) -> Iterator[str]:
    deploy = desired.get("deploy")
    if not desired.get("versions") and not deploy:
        return
    text = f"{desired.get('versions')} versions"
    if isinstance(deploy, dict):
        counts = deploy.get("counts")
        told = ", ".join(f"{n} {state}" for state, n in counts.items()) if counts else ""
        text += f"; version {deploy.get('version')} deployed" + (f": {told}" if told else "")
    yield _line("desired", text)


def _late(late: Mapping[str, Any]) -> Iterator[str]:
    for n, (name, why) in enumerate(list(late.items())[:_MOST]):
        text = f"[{name}] {why}"
        yield _line("not yet", text) if n == 0 else _more(text)
    yield from _rest(len(late))


def _faults(faults: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for n, one in enumerate(list(reversed(faults))[:_MOST]):
        times = one.get("count", 1)
        often = f"{times} times, " if times != 1 else ""
        text = f"{one.get('text')} ({often}for {_span(float(one.get('for_s') or 0))})"
        yield _line("trouble", text) if n == 0 else _more(text)
    yield from _rest(len(faults))


def _rest(count: int) -> Iterator[str]:
    if count > _MOST:
        yield _more(f"and {count - _MOST} more")


def _span(seconds: float) -> str:
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 0.0):.0f} s"


def _line(name: str, text: object) -> str:
    return f"  {name:<{_WIDTH}}{printable(str(text))}"


def _more(text: str) -> str:
    return "  " + " " * _WIDTH + printable(text)


def _dict(found: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = found.get(key)
    return value if isinstance(value, dict) else {}


def _list(found: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    value = found.get(key)
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []
