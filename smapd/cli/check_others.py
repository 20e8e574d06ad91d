"""What ``smapd check`` says of the sections that name other people's code: it is imported here.

What cannot be imported stops its section alone when the daemon runs, so it is a warning; what makes
the start fail is an error, as it is there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from smapd.errors import ConfigError, SmapError
from smapd.values import Problem, Severity

if TYPE_CHECKING:
    from smapd.config import Plan
    from smapd.config.plan import OtherSection

_THINGS: Final = ("integrator", "follower", "thing")


def check_others(plan: Plan) -> list[Problem]:
    """The warnings.

    :raises ConfigError: naming all for which the start would fail.
    """
    errors = [*_event_types(plan), *_agents(plan)]
    if errors:
        raise ConfigError(errors)
    return list(_code(plan))


def _event_types(plan: Plan) -> Iterator[Problem]:
    modules = plan.server["EventModules"]
    if not modules:
        return
    from importlib.metadata import EntryPoints

    from smapd.twin.event import EventTypes

    try:
        EventTypes(modules, offers=EntryPoints())
    except ConfigError as e:
        yield from (replace(problem, file=plan.file, section="server") for problem in e.problems)


def _agents(plan: Plan) -> Iterator[Problem]:
    others = {other.name: other for other in plan.others if other.kind == "agent"}
    if not others:
        return
    from smapd.desired.options import agent_from, problems_of

    agents = [
        agent_from(name.removeprefix("agent").strip(), other.options)
        for name, other in others.items()
    ]
    for problem in problems_of(agents):
        other = others.get(problem.section)
        yield replace(problem, file=plan.file, line=other.line if other is not None else 0)


def _code(plan: Plan) -> Iterator[Problem]:
    for other in plan.others:
        if other.kind in _THINGS:
            yield from _tried(plan, other, "type", other.options["type"], _thing)
        elif other.kind == "agent":
            for name in other.options["Handlers"] or ():
                yield from _tried(plan, other, "Handlers", name, _module)
        elif other.kind == "connector" and other.options.get("Handler"):
            yield from _tried(plan, other, "Handler", other.options["Handler"], _handler)


def _thing(name: str) -> None:
    from smapd.twin.embedded import find_thing

    find_thing(name)


def _handler(name: str) -> None:
    from smapd.connectors.tree.handler import find_handler

    find_handler(name, "")


def _module(name: str) -> None:
    from smapd.twin.event.types import look_here

    look_here()
    import_module(name)


def _tried(
    plan: Plan, other: OtherSection, key: str, name: str, find: Callable[[str], Any]
) -> Iterator[Problem]:
    try:
        find(name)
    except ConfigError as e:
        text = "; ".join(problem.text for problem in e.problems)
    except SmapError as e:
        text = e.message
    except ModuleNotFoundError as e:
        text = f"there is no module {e.name}."
    except (Exception, SystemExit) as e:  # noqa: BLE001 - somebody's module may raise anything
        text = f"importing it raises {type(e).__name__}: {' '.join(str(e).split())[:200]}"
    else:
        return
    text += " The daemon starts without this section."
    yield Problem(text, plan.file, other.line, other.name, key, Severity.WARNING, name)
