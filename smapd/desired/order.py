"""What requires what, checked before anything runs: double names, unknown ones, rings.

Everything that is wrong is said at once, a ring with each of its links.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from smapd.errors import BadModel
from smapd.values import Json

from .ids import Id

MOST_PROBLEMS: Final = 20
_MOST_LINKS: Final = 20


def check_order(resources: Sequence[Mapping[str, Json]]) -> dict[str, list[str]]:
    """The requirements of each resource, by ids without version, each once, in their order.

    ``resources``: in their JSON form; only ``id`` and ``requires`` are looked at.

    :raises BadModel: with a sentence for each thing that is wrong.
    """
    problems: list[str] = []
    requires: dict[str, list[str]] = {}
    for number, resource in enumerate(resources):
        try:
            name, wanted = _read(resource)
        except ValueError as problem:
            problems.append(f"Resource {number}: {problem}.")
            continue
        if name in requires:
            problems.append(f"{name} is there twice: an id names one resource.")
        requires[name] = wanted
    if not problems:
        problems += [
            f"{name} requires {other}, which is not in the model."
            for name, wanted in requires.items()
            for other in wanted
            if other not in requires
        ]
    if not problems:
        problems += [f"A ring of requirements: {_spelled(r)}." for r in rings(requires)]
    if problems:
        more = len(problems) - MOST_PROBLEMS
        if more > 0:
            problems[MOST_PROBLEMS:] = [f"{more} more of that kind."]
        raise BadModel(problems)
    return requires


def rings(requires: Mapping[str, Iterable[str]]) -> Iterator[list[str]]:
    """One ring out of each knot of things that require each other; the first stands last too."""
    for knot in _knots(requires):
        inside = set(knot)
        if len(knot) == 1 and knot[0] not in requires[knot[0]]:
            continue
        path, seen = [knot[0]], {knot[0]: 0}
        while True:
            following = next(other for other in requires[path[-1]] if other in inside)
            path.append(following)
            if following in seen:
                yield path[seen[following] :]
                break
            seen[following] = len(path) - 1


def _knots(requires: Mapping[str, Iterable[str]]) -> Iterator[list[str]]:
    """The strongly connected parts, by Tarjan's way, without recursion: chains may be long."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    on_stack: set[str] = set()
    for root in requires:
        if root in index:
            continue
        work: list[tuple[str, Iterator[str]]] = []
        entered: str | None = root
        while entered is not None or work:
            if entered is not None:
                index[entered] = low[entered] = len(index)
                stack.append(entered)
                on_stack.add(entered)
                work.append((entered, iter(requires[entered])))
                entered = None
            name, others = work[-1]
            for other in others:
                if other not in index:
                    entered = other
                    break
                if other in on_stack:
                    low[name] = min(low[name], index[other])
            if entered is not None:
                continue
            work.pop()
            if work:
                parent = work[-1][0]
                low[parent] = min(low[parent], low[name])
            if low[name] == index[name]:
                knot: list[str] = []
                while not knot or knot[-1] != name:
                    knot.append(stack.pop())
                    on_stack.discard(knot[-1])
                yield knot[::-1]


def _read(resource: Any) -> tuple[str, list[str]]:
    """The name of one resource in JSON, and what it requires."""
    if not isinstance(resource, Mapping):
        raise ValueError("it is not a JSON object")
    if "id" not in resource:
        raise ValueError("it has no id")
    name = Id.parse_id(resource["id"]).resource_str()
    wanted = resource.get("requires", [])
    if not isinstance(wanted, Sequence) or isinstance(wanted, str):
        raise ValueError(f"requires of {name} is not a list of ids")
    try:
        return name, list(dict.fromkeys(Id.parse_id(other).resource_str() for other in wanted))
    except ValueError as problem:
        raise ValueError(f"in requires of {name}, {problem}") from None


def _spelled(ring: Sequence[str]) -> str:
    links = len(ring) - 1
    if links <= _MOST_LINKS:
        return " requires ".join(ring)
    shown = " requires ".join(ring[:_MOST_LINKS])
    return f"{shown} requires … ({links - _MOST_LINKS} more) … requires {ring[-1]}"
