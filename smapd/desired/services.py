"""What the daemon has for handlers: its actuators and its reports, to be called from any thread.

``services`` makes what an agent is given; a handler finds it in ``self._agent.services``, or by
``service(handler, name)``. Each call goes to the reactor's thread, and waits for what comes of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar, cast
from uuid import UUID

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.python.failure import Failure

from smapd.errors import NoSuchPath, NotAnActuator, NotReady
from smapd.interfaces import IActuators, IReports, IThreads, ITree
from smapd.runtime.program import Reply
from smapd.values import Json, Reading

from .handler import CRUDHandler

ACTUATORS: Final = "actuators"
REPORTS: Final = "reports"
LIMIT_S: Final = 600.0
"""No answer takes so long; past it the daemon is on its way down."""

T = TypeVar("T")
S = TypeVar("S")


def services(
    threads: IThreads, actuators: IActuators, reports: IReports, tree: ITree
) -> dict[str, Any]:
    """The services of the agents in this daemon, by name."""
    return {
        ACTUATORS: ActuatorService(threads, actuators, tree),
        REPORTS: ReportService(threads, reports),
    }


def service(handler: CRUDHandler, name: str, kind: type[S]) -> S | None:
    """What the handler's agent has under that name; None if it has none, as one elsewhere."""
    found = getattr(handler._agent, "services", {}).get(name)
    return found if isinstance(found, kind) else None


class ActuatorService:
    """The actuators of the tree, by the one way that leads to them; any thread but the reactor's.

    They raise what ``IActuators`` fails with.
    """

    def __init__(self, threads: IThreads, actuators: IActuators, tree: ITree) -> None:
        self._threads, self._actuators, self._tree = threads, actuators, tree

    def get(self, path: str) -> Reading:
        """The state that the device has."""
        return _await(self._threads, lambda: self._actuators.get(path))

    def set(self, path: str, text: str) -> Reading:
        """Set it; the state that is read back."""
        return _await(self._threads, lambda: self._actuators.set(path, text))

    def about(self, path: str) -> Mapping[str, Json]:
        """What kind of states it has, as GET shows it at ``Actuator``.

        :raises NoSuchPath: if there is nothing.
        :raises NotAnActuator: if it cannot be set.
        """
        return _ask(self._threads, self._about, path)

    def tolerance(self, path: str) -> float | None:
        """How far a state that was set may be off; None: what the type of its readings allows."""
        return _ask(self._threads, self._tolerance, path)

    def _about(self, path: str) -> Mapping[str, Json]:
        return self._find(path).as_json(None)  # type: ignore[no-any-return]

    def _tolerance(self, path: str) -> float | None:
        found = getattr(self._find(path), "tolerance", None)
        return None if found is None else float(found)

    def _find(self, path: str) -> Any:
        node: Any = self._tree.get(path)
        if node is None:
            raise NoSuchPath(f"There is nothing at {path}.")
        actuator = getattr(node, "actuator", None)
        if actuator is None:
            raise NotAnActuator(f"{path} is not an actuator.")
        return actuator


class ReportService:
    """The reports; any thread but the reactor's. They raise what ``IReports`` fails with.

    ``shown``: the keys beside resource and location that ``get`` gives.
    """

    shown: Final = frozenset(
        {"MinPeriod", "MaxPeriod", "ExpireTime", "Format", "MaxAge", "MaxReadings", "MaxBytes"}
        | {"Keep", "KeepBytes", "CatchUpRate", "BytesPerDay", "Order", "Sequence", "Gaps"}
        | {"Quality"}
    )

    def __init__(self, threads: IThreads, reports: IReports) -> None:
        self._threads, self._reports = threads, reports

    def get(self, uuid: UUID) -> dict[str, Json]:
        """One report, with every key that a body may have.

        :raises NoSuchReport: if there is none.
        """
        return _ask(self._threads, self._reports.body, uuid)

    def put(self, uuid: UUID, body: Mapping[str, Json]) -> bool:
        """Make it so, with what ``body`` says: whether it was made. Durable when it returns."""
        return _await(self._threads, lambda: self._reports.update(uuid, dict(body)))

    def delete(self, uuid: UUID) -> bool:
        """Remove it with what is pending: whether there was one."""
        return _await(self._threads, lambda: self._reports.delete(uuid))


def _await(threads: IThreads, f: Callable[[], Deferred[T]]) -> T:
    """What the Deferred gives that ``f()``, called on the reactor's thread, returns.

    :raises NotReady: if that takes for ever.
    """
    reply: Reply[T] = Reply()

    def failed(failure: Failure) -> None:
        reply.fail(failure.value or NotReady())

    def begin() -> None:
        maybeDeferred(f).addCallbacks(reply.give, failed)

    threads.to_reactor(begin, wait=False)
    try:
        return reply.take(LIMIT_S)
    except TimeoutError:
        raise NotReady("smapd gave no answer to one of its own handlers.") from None


def _ask(threads: IThreads, f: Callable[..., T], *a: Any) -> T:
    """What ``f(*a)`` returns on the reactor's thread."""
    return cast("T", threads.to_reactor(f, *a))
