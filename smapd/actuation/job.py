"""One job, and how a list of them is read from a request's body.

::

    [{"Name": "evening", "StartTime": 1700000000000,
      "Actions": [{"Path": "/hall/lamp", "State": 1}, …]},
     {"Name": "night", "After": "evening", "Actions": [{"Path": "/hall/lamp", "State": "off"}]}]

Actions are made one after another; the first that fails ends the job. StartTime is in ms, a job
without one runs at once. After is the Name of an earlier job, of this list or one before: it runs
when that has succeeded, and not before its own StartTime if it has one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from smapd.errors import BadRequest
from smapd.values import LONG_MAX, Json

MOST_ACTIONS: Final = 100
MAX_NAME: Final = 200
MAX_AHEAD_MS: Final = 10 * 366 * 86_400_000

_KEYS: Final = ("Name", "StartTime", "After", "Actions")
_IGNORED: Final = frozenset({"uuid", "Async"})


class Action(NamedTuple):
    """One set. ``state``: as text, as a request would have it."""

    path: str
    state: str


class Order(NamedTuple):
    """A job as it was asked for, checked. ``given``: its Actions as they came."""

    name: str | None
    start_ms: int | None
    after: str | None
    actions: tuple[Action, ...]
    given: Sequence[Json]


@dataclass(eq=False, slots=True)
class Job:
    """A job on the list.

    ``state``: waiting, running, done, failed (``error`` says why) or skipped, when the job that it
    waits for did not succeed. ``may``: asked with each path before it is set.
    """

    uuid: str
    order: Order
    previous: Job | None
    may: Callable[[str], None]
    state: str = "waiting"
    error: str = ""
    is_cancelled: bool = False

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come of it."""
        return self.state in ("done", "failed", "skipped")

    def as_json(self, full: bool) -> dict[str, Json]:
        """As GET lists it; ``full``: with what sMAP does not say."""
        order = self.order
        told: dict[str, Json] = {
            "name": order.name,
            "start_time": order.start_ms,
            "after": order.after,
            "actions": order.given,
        }
        if full:
            told |= {"uuid": self.uuid, "State": self.state}
            if self.error:
                told["Error"] = self.error
        return told


def read_orders(body: Any, now_ms: int) -> list[Order]:
    """The jobs of a body.

    :raises BadRequest: naming the place of what is wrong.
    """
    if not isinstance(body, list):
        raise BadRequest(
            'The body is a list of jobs: [{"Actions": [{"Path": "/x", "State": 1}]}], '
            f"not {_kind(body)}."
        )
    return [_order(f"Job {i}", job, now_ms) for i, job in enumerate(body)]


def _order(where: str, job: Any, now_ms: int) -> Order:
    if not isinstance(job, Mapping):
        raise BadRequest(f"{where}: a job is an object with Actions, not {_kind(job)}.")
    for key in job:
        if key not in _KEYS and key not in _IGNORED:
            raise BadRequest(f"{where}: {ascii(key)[:100]} is no key; there are {_list(_KEYS)}.")
    given = job.get("Actions")
    if not isinstance(given, list):
        raise BadRequest(f'{where}: Actions is a list of {{"Path", "State"}}, not {_kind(given)}.')
    if len(given) > MOST_ACTIONS:
        raise BadRequest(f"{where}: a job has at most {MOST_ACTIONS} actions, not {len(given)}.")
    actions = tuple(_action(f"{where}, action {i}", action) for i, action in enumerate(given))
    return Order(
        name=_name(where, "Name", job.get("Name")),
        start_ms=_start(where, job.get("StartTime"), now_ms),
        after=_name(where, "After", job.get("After")),
        actions=actions,
        given=[{"Path": action["Path"], "State": action["State"]} for action in given],
    )


def _action(where: str, action: Any) -> Action:
    if not isinstance(action, Mapping):
        raise BadRequest(f'{where}: an action is {{"Path", "State"}}, not {_kind(action)}.')
    path, state = action.get("Path"), action.get("State")
    if not isinstance(path, str):
        raise BadRequest(f"{where}: Path is text like /hall/lamp, not {_kind(path)}.")
    if isinstance(state, bool) or not isinstance(state, str | int | float):
        raise BadRequest(f"{where}: State is a number or text, not {_kind(state)}.")
    if isinstance(state, float) and state.is_integer() and abs(state) < LONG_MAX:
        state = int(state)
    return Action(path, state if isinstance(state, str) else repr(state))


def _name(where: str, key: str, name: Any) -> str | None:
    if name is None or (isinstance(name, str) and len(name) <= MAX_NAME):
        return name
    raise BadRequest(f"{where}: {key} is text of at most {MAX_NAME} letters, not {_kind(name)}.")


def _start(where: str, start: Any, now_ms: int) -> int | None:
    if start is None:
        return None
    if isinstance(start, float) and start.is_integer():
        start = int(start)
    if isinstance(start, bool) or not isinstance(start, int):
        raise BadRequest(f"{where}: StartTime is a time in ms since 1970, not {_kind(start)}.")
    if start < now_ms // 1000 * 1000:  # sMAP's clock shows whole seconds
        late_s = (now_ms - start) / 1000
        raise BadRequest(f"{where}: StartTime was {late_s:.3g} s ago; it is in ms since 1970.")
    if start > now_ms + MAX_AHEAD_MS:
        raise BadRequest(f"{where}: StartTime is more than ten years ahead; it is in ms.")
    return start


def _kind(value: Any) -> str:
    if value is None:
        return "missing or null"
    name = type(value).__name__
    return f"{'an' if name == 'int' else 'a'} {name}"


def _list(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}"
