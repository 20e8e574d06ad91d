"""The interfaces between rooms. Who implements one never imports who calls it; assembly joins them.

Unless a method says otherwise it is called on the tree's home thread: the main thread before the
reactor runs, the reactor's thread after that.
"""

# zope.interface methods have no self.
# mypy: disable-error-code="empty-body"
from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

from zope.interface import Attribute, Interface

from smapd.values import Action, Batch, Json, Principal, Quality, Value

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

T = TypeVar("T")


class INode(Interface):
    """A collection or a timeseries of the tree."""

    path: str = Attribute("absolute path, '/' for the root")
    metadata: dict[str, Json] | None = Attribute("nested, of this node alone; do not change it")
    revision: int = Attribute("the tree's revision at which this node last changed")

    def as_json(quality: bool = False) -> dict[str, Json]:
        """What GET answers for this node: a new dict that orjson can encode."""

    def error() -> str:
        """Why the driver at this place does not run; "" when all is well."""


class ITimeseries(INode):
    """A stream of readings."""

    uuid: UUID = Attribute("names the stream for ever")
    data_type: str = Attribute("long, double or string")
    next_seq: int = Attribute("seq of the next reading taken; moves with each reading")


class ICollection(INode):
    """An inner node of the tree."""

    asset: str | None = Attribute("the id, if this collection is an asset")


class ITreeListener(Interface):
    """Told of every change of the tree: on its home thread, in order; errors are logged.

    ``attach`` replays ``nodes_added`` for what is there, parents first.
    """

    def nodes_added(nodes: Sequence[INode]) -> None:
        """These are in the tree now, parents first."""

    def nodes_removed(nodes: Sequence[INode]) -> None:
        """These are no longer in the tree, children first."""

    def metadata_changed(node: INode) -> None:
        """Metadata was set on this node (what stands below it inherits, and is not named)."""

    def readings_added(batch: Batch) -> None:
        """Readings were taken; once per drained queue."""


class ITree(Interface):
    """The tree as other rooms see it (``core.SmapInstance``)."""

    revision: int = Attribute("grows by one with each change of nodes or metadata")
    taken: int = Attribute("readings taken since the start")
    boot_id: str = Attribute("random, new with each start; makes ETags of two starts differ")

    def get(path: str) -> INode | None:
        """The node of a path (``/a/b``; doubled and trailing slashes are ignored), else None."""

    def by_uuid(uuid: UUID) -> ITimeseries | None:
        """The timeseries of that uuid, else None."""

    def walk(path: str) -> Iterator[tuple[str, INode]]:
        """The node at ``path`` and all below it, parents first, with paths relative to it.

        The place asked for is "/". Lazy: may be drawn in pieces while the tree changes.
        """

    def add(
        path: str,
        time_or_value: Any,
        value: Any = ...,
        seqno: int | None = None,
        quality: Quality | None = None,
    ) -> None:
        """Add one reading; from any thread; see ``core.SmapInstance.add``."""

    def attach(listener: ITreeListener) -> None:
        """Call this listener from now on, first with what is there."""

    def detach(listener: ITreeListener) -> None:
        """Call this listener no more."""


class IThreads(Interface):
    """The three doors between threads (``runtime/threads.py``)."""

    def to_pool(name: str, f: Callable[..., T], *a: Any) -> Deferred[T]:
        """Call ``f(*a)`` on a thread of that pool; from the reactor's thread.

        :raises Busy: (as a failure) if the pool's queue is full.
        """

    def to_reactor(f: Callable[..., T], *a: Any, wait: bool = True) -> T | None:
        """Call ``f(*a)`` on the reactor's thread; from any thread.

        With ``wait`` the result comes back, or its exception. Without, None at once. On the
        reactor's own thread, and before the reactor runs, it calls straight through.
        """

    def to_loop(coro: Coroutine[Any, Any, T]) -> Deferred[T]:
        """Run a coroutine on our asyncio loop; from the reactor's thread."""


class IAccess(Interface):
    """One place decides who may do what."""

    def decide(who: Principal, what: Action, where: str) -> None:
        """Return if it is allowed; in memory, from any thread.

        :raises Unauthorized: if a token would help.
        :raises Forbidden: if not.
        """


class IStatus(Interface):
    """Counters and states that ``/status`` and ``smapd status`` show."""

    def section(name: str, read: Callable[[], Json]) -> None:
        """Show what ``read()`` gives under this name; called on the home thread at each look."""

    def snapshot() -> dict[str, Json]:
        """Everything, ready for JSON. No secret is ever in it."""


class IDriver(Interface):
    """What a driver must have; any class with these two serves."""

    def setup(inst: Any, opts: Mapping[str, Any]) -> None:
        """Make timeseries below ``inst``; no I/O. On a work thread."""

    def start() -> None:
        """Begin to read. On a work thread."""


ReadingsBody = Mapping[str, Mapping[str, Json]]
"""A report's body: {path: {"uuid", "Readings": [[ms, value], …]}}."""


class IIntake(Interface):
    """Takes readings that come from outside (``POST /readings``)."""

    def take(body: Any) -> int:
        """Check the whole body, then add it all, or nothing; the number of readings taken.

        :raises BadRequest: naming the path and the place in the body.
        :raises NoSuchPath: for a stream that is not in the tree.
        """


NO_VALUE: Value = None
