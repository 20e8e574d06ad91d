"""The tree: `SmapInstance`.

It knows its nodes (`structure`), its listeners and its queue, and nobody else. Whatever changes
nodes or metadata runs on the tree's home thread: called from another one it goes there, and waits.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, TypeVar, cast
from uuid import UUID, uuid4

from zope.interface import implementer

from smapd.errors import BadPath
from smapd.interfaces import INode, ITree, ITreeListener
from smapd.values import Batch, Json, Quality, wall_ms

from .actuator import TIMEOUT_S, Actuator, DriverCalls
from .inbox import QUEUE_LIMIT, Home, Inbox, straight
from .listeners import Fault, Listeners
from .metadata import inherited, spread
from .nodes import Collection, Node, Timeseries
from .paths import ROOT, name_of, normalise, parent_of, squash
from .scope import Scope
from .shape import text
from .structure import Structure
from .uuids import UNICODE_ESCAPE, as_uuid, stream_uuid, text_as_uuid
from .walk import walk_below

DEFAULT_TIMEZONE: Final = "America/Los_Angeles"
UNLOGGED_KEPT: Final = 100

T = TypeVar("T")


@implementer(ITree)
class SmapInstance(Structure):
    """A tree of collections and timeseries; at first the root alone, which carries ``root_uuid``.

    Every method may be called from any thread. Reading answers at once; what changes nodes or
    metadata goes to the home thread and waits; ``add`` and ``add_many`` never wait.

    ``now``: int ms UTC, stamps readings added without a time. ``home``: calls on the home thread,
    as ``IThreads.to_reactor`` does; without it every call goes straight through, which is right
    until there is a reactor (`settle`). ``log``: takes a sentence and an exception or None, on the
    home thread; what comes before there is one is kept for it. ``queue_limit``: readings that may
    wait to be taken; more are lost, counted, and leave a gap in their stream's seq.

    :raises ValueError: if ``root_uuid`` is no uuid.
    """

    def __init__(
        self,
        root_uuid: str | UUID,
        *,
        now: Callable[[], int] = wall_ms,
        home: Home | None = None,
        default_timezone: str = DEFAULT_TIMEZONE,
        queue_limit: int = QUEUE_LIMIT,
        log: Fault | None = None,
        boot_id: str | None = None,
    ) -> None:
        self._log = log
        self._unlogged: deque[tuple[str, BaseException | None]] = deque(maxlen=UNLOGGED_KEPT)
        listeners = Listeners(self._fault)
        inbox = Inbox(now, home or straight, self._deliver, self._fault, queue_limit)
        super().__init__(
            as_uuid(root_uuid, "The root's uuid"),
            text(default_timezone, "A timezone"),
            listeners,
            inbox,
        )
        self.boot_id = boot_id or uuid4().hex[:16]
        self.plan: Any = None
        """The plan this tree was loaded from, for whoever dumps it; of no use to the tree."""
        self.reports: Any = None
        """The tree's reports, a ``reporting.Reporting``, given by whoever loads or serves it."""
        self._calls = DriverCalls()
        self._put = inbox.put  # on the way of every reading
        self._put_qualified = inbox.put_qualified

    # --- reading the tree

    @property
    def queued(self) -> int:
        """Readings, blocks and refusals that wait to be taken; any thread."""
        return self._inbox.waiting()

    @property
    def taken(self) -> int:
        """Readings taken since the start."""
        return self._inbox.taken

    @property
    def refused(self) -> int:
        """Readings that did not fit their stream, since the start; see `refusals`."""
        return self._inbox.refused

    @property
    def dropped(self) -> int:
        """Readings lost since the start: the queue was full, or their stream was removed."""
        return self._inbox.dropped

    def __len__(self) -> int:
        """How many nodes there are, the root among them."""
        return len(self._series) + len(self._collections)

    def __bool__(self) -> bool:
        return True

    def by_uuid(self, uuid: UUID) -> Timeseries | None:
        """The timeseries of that uuid, else None."""
        return self._uuids.get(str(uuid))

    def by_asset(self, asset: str) -> Collection | None:
        """The collection that is the asset of that id, else None."""
        return self._assets.get(asset)

    def get_timeseries(self, path_or_uuid: str | UUID) -> Timeseries | None:
        """The timeseries of a path or a uuid (as such, or as text), else None."""
        if isinstance(path_or_uuid, UUID):
            return self.by_uuid(path_or_uuid)
        found = self._series.get(path_or_uuid) or self._series.get(squash(path_or_uuid))
        if found is None and (uuid := text_as_uuid(path_or_uuid)) is not None:
            return self.by_uuid(uuid)
        return found

    def get_collection(self, path: str) -> Collection | None:
        """The collection of a path, else None."""
        return self._collections.get(path) or self._collections.get(squash(path))

    def lookup(self, path_or_uuid: str | UUID) -> Node | dict[str, Node] | None:
        """The node of a path, or the timeseries of a uuid, else None.

        ``/x/+`` gives ``{path relative to /x: node}`` of ``/x`` and all below it.
        """
        if isinstance(path_or_uuid, str):
            path = squash(path_or_uuid)
            if name_of(path)[:1] == "+":
                place = self.get(parent_of(path))
                return None if place is None else dict(walk_below(place))
            found = self.get(path)
            if found is not None:
                return found
        return self.get_timeseries(path_or_uuid)

    def walk(self, path: str = ROOT) -> Iterator[tuple[str, Node]]:
        """The node at ``path`` and all below it, parents first, with paths relative to it.

        The place asked for is ``/``. Lazy: may be drawn in pieces while the tree changes; what was
        removed meanwhile is left out, what came into a collection already begun too.

        :raises NoSuchPath: at once, if there is no such node.
        """
        return walk_below(self._node(path))

    @property
    def has_actuators(self) -> bool:
        """Whether anything in the tree can be set."""
        return bool(self._actuators)

    def actuators(self, path: str = ROOT) -> list[tuple[str, Timeseries]]:
        """The actuators at ``path`` and below it, with paths relative to it; a new list.

        :raises NoSuchPath: if there is no such node.
        """
        top = self._node(path).path
        below = "/" if top == ROOT else top + "/"
        return [
            (where[len(below) - 1 :] or ROOT, stream)
            for where, stream in tuple(self._actuators.items())
            if where.startswith(below) or where == top
        ]

    def metadata_of(self, path: str) -> dict[str, Json]:
        """All metadata that applies to a node: its own over that of each collection above it.

        :raises NoSuchPath: if there is no such node.
        """
        node = self._node(path)
        return inherited([above.metadata for above in self._ancestors(node)] + [node.metadata])

    def uuid(self, key: str | bytes, namespace: UUID | str | None = None) -> UUID:
        """The uuid that a stream of this key has, in the root's namespace or another one."""
        space = self.uuid_root if namespace is None else as_uuid(namespace, "The namespace")
        return stream_uuid(space, key)

    def stale(self, stream: Timeseries, since: int) -> list[INode]:
        """What a consumer must be sent whole again before this stream's next reading.

        ``since``: the tree's revision at which it was last sent this stream's metadata; 0: never.
        Nothing if metadata of neither the stream nor a collection above it has changed after that;
        else the ancestors, root first, then the stream.
        """
        if since >= stream.meta_revision and since >= self._inherited_revision:
            return []
        ancestors = self._ancestors(stream)
        if stream.meta_revision <= since and all(a.meta_revision <= since for a in ancestors):
            return []
        return [*ancestors, stream]

    def refusals(self) -> dict[str, dict[str, Json]]:
        """Streams that refused readings: ``{path: {"count", "last"}}``, last being the reason."""
        return {
            stream.path: {"count": count, "last": last}
            for stream, (count, last) in tuple(self._inbox.refusals.items())
        }

    # --- adding readings

    def add(
        self,
        path: str,
        time_or_value: Any,
        value: Any = ...,
        seqno: int | None = None,
        quality: Quality | None = None,
    ) -> None:
        """``add(path, value)``, ``add(path, time, value)`` or ``add(path, time, value, seqno)``.

        From any thread; returns at once, the reading is in the tree when the home thread has run.
        Without a time it is stamped now, in ms. ``time``: seconds as int (whole), float (ms are
        kept) or numeric text, or an aware datetime; on a stream with ``milliseconds=True`` numbers
        are ms. ``seqno``: the driver's own number. ``quality``: good if not given; with a bad one
        the value is left out.

        A value or time that does not fit the stream is counted (`refusals`) and logged, the first
        one of each stream; it never raises.

        :raises NoSuchPath: if there is no such timeseries.
        """
        stream = self._series.get(path)
        if stream is None:
            stream = self._stream(path)
        if seqno is None and quality is None:
            self._put(stream, time_or_value, value)
        else:
            self._put_qualified(stream, time_or_value, value, seqno, quality)

    def add_many(self, path: str, times: Any, values: Any, quality: Quality | None = None) -> None:
        """Add a block of readings in two columns: lists, tuples, arrays, numpy arrays.

        As many `add` calls, at a fraction of their price; all share one quality. With a bad one
        ``values`` may be None.

        :raises NoSuchPath: if there is no such timeseries.
        :raises ValueError: if the columns differ in length.
        :raises TypeError: if one is no column.
        """
        stream = self._series.get(path)
        if stream is None:
            stream = self._stream(path)
        self._inbox.put_many(stream, times, values, quality)

    def drain(self) -> int:
        """Take all readings queued; how many. On the home thread; the wake-up calls it."""
        return self._inbox.drain()

    # --- changing the tree

    def add_timeseries(
        self,
        path: str,
        key_or_uuid: str | bytes | UUID | None = None,
        unit: Any = ...,
        *,
        data_type: str = "long",
        timezone: str | None = None,
        buffersz: int = 1,
        milliseconds: bool = False,
        description: str | None = None,
        namespace: UUID | str | None = None,
        uuid: UUID | str | None = None,
        key_encoding: str = UNICODE_ESCAPE,
    ) -> Timeseries:
        """A new timeseries at ``path``; its parents are made.

        Two positional arguments are path and unit: the path, as written, is then the key, as it is
        without a key. A UUID in place of the key, or ``uuid``, is the uuid itself; else it is that
        of the key in ``namespace`` (the root's uuid if not given). ``timezone`` None: the tree's
        default. ``buffersz``: how many readings GET shows. ``key_encoding``: how a key beyond ASCII
        is hashed, ``utf-8`` for one from a config file.

        :raises BadPath: for what is no path, or lies below a timeseries.
        :raises PathExists: if the path or the uuid is taken; names both places.
        :raises ValueError: for an unfit key, unit, data type, timezone or buffer size.
        """
        if unit is ...:
            if isinstance(key_or_uuid, str):
                key_or_uuid, unit = None, key_or_uuid
            else:
                unit = None
        return self._at_home(
            self._add_timeseries,
            path,
            key_or_uuid,
            (unit, data_type, timezone, buffersz, milliseconds),
            description,
            namespace,
            uuid,
            key_encoding,
        )

    def add_actuator(
        self,
        path: str,
        unit: str | None,
        actuator: Any,
        *,
        data_type: str | None = None,
        read_limit: float = 0.0,
        write_limit: float = 0.0,
        settle: float = 0.0,
        tolerance: float | None = None,
        timeout_s: float = TIMEOUT_S,
        autoadd: bool = False,
        timezone: str | None = None,
        buffersz: int = 1,
        milliseconds: bool = False,
        description: str | None = None,
        calls: DriverCalls | None = None,
    ) -> Timeseries:
        """A new timeseries that can be set, by ``actuator``: an object of ``smapd.actuate``.

        Its uuid is that of its path in the root's namespace, also in a driver. ``data_type`` None:
        what its states need. In seconds: a GET within ``read_limit`` of the last reading shows that
        one, a set within ``write_limit`` of the last one is refused; a state is read back
        ``settle`` after it was set, and each call of the device may take ``timeout_s``.
        ``tolerance``: how far what is read back may be off; None: a millionth for a double, else
        nothing. What is read back becomes a reading; with ``autoadd`` what a GET reads does too.
        ``calls``: how code of its driver is called. The rest, and errors, as in `add_timeseries`.

        :raises TypeError: if ``actuator`` is none, naming what it lacks.
        """
        made = Actuator(
            actuator,
            calls or self._calls,
            read_limit=read_limit,
            write_limit=write_limit,
            settle=settle,
            tolerance=tolerance,
            timeout_s=timeout_s,
            autoadd=autoadd,
        )
        path = normalise(path)
        properties = (unit, made.data_type(data_type), timezone, buffersz, milliseconds)
        return self._at_home(
            self._add_timeseries,
            path,
            path,
            properties,
            description,
            None,
            None,
            UNICODE_ESCAPE,
            made,
        )

    def add_collection(self, path: str, *, asset: str | None = None) -> Collection:
        """A new collection at ``path``; its parents are made. ``asset``: its id as an asset.

        :raises BadPath: for what is no path, or lies below a timeseries.
        :raises PathExists: if the path or the asset's id is taken; names both places.
        :raises ValueError: if ``asset`` is no id.
        """
        return self._at_home(self._add_collection, path, asset)

    def set_asset(self, path: str, asset: str | None) -> None:
        """Mark the collection at ``path`` as the asset of that id; None takes the mark off."""
        self._at_home(self._set_asset, path, asset)

    def remove(self, path: str) -> None:
        """Remove the node at ``path`` and all below it. Readings queued before are taken first.

        :raises NoSuchPath: if there is no such node.
        :raises BadPath: for the root.
        """
        self._at_home(self._remove, path)

    def set_metadata(self, path: str, changes: Mapping[str, Any]) -> None:
        """Merge metadata into a node's own: ``{"Extra/Foo": "bar"}`` or nested dicts.

        None as a value takes a key away. Listeners are told, also if nothing is new in it.

        :raises NoSuchPath: if there is no such node.
        :raises ValueError: naming a key that JSON or metadata cannot have.
        """
        self._at_home(self._set_metadata, path, spread(changes))

    def set_description(self, path: str, description: str | None) -> None:
        """Set a node's Description; None takes it away.

        :raises NoSuchPath: if there is no such node.
        """
        if description is not None:
            description = text(description, "A description")
        self._at_home(self._set_description, path, description)

    def set_error(self, path: str, error: str) -> None:
        """Show at a node why its driver does not run; "" when it does.

        :raises NoSuchPath: if there is no such node.
        """
        error = text(error.encode(errors="replace").decode()[:10_000], "An error")
        self._at_home(self._set_error, path, error)

    def set_default_timezone(self, timezone: str) -> None:
        """The zone of timeseries made from now on without one of their own."""
        self._at_home(setattr, self, "default_timezone", text(timezone, "A timezone"))

    def scope(self, path: str, namespace: UUID | str) -> Scope:
        """A driver's view of the tree below ``path``; its keys are hashed in ``namespace``.

        The collection at ``path`` is made if there is none.
        """
        return self._at_home(self._scope, path, as_uuid(namespace, "The namespace"))

    # --- listeners and home

    def attach(self, listener: ITreeListener) -> None:
        """Call this listener from now on; first ``nodes_added`` with all there is."""
        self._at_home(self._attach, listener)

    def detach(self, listener: ITreeListener) -> None:
        """Call this listener no more."""
        self._at_home(self._listeners.detach, listener)

    def settle(self, home: Home, log: Fault | None = None) -> None:
        """The tree's home moves: from now on all changes run where ``home`` calls.

        On the old home thread. What is queued is drained on the new one.
        """
        if log is not None:
            self.log_to(log)
        self._inbox.home = home
        if self._inbox.waiting():
            self._inbox.wake()

    def log_to(self, log: Fault) -> None:
        """Take this log from now on, and give it what was kept until there was one."""
        self._log = log
        while self._unlogged:
            log(*self._unlogged.popleft())

    @property
    def stamp_note(self) -> Callable[[], Quality | None] | None:
        """Asked once a drain: the quality that good readings stamped by ``add`` itself carry."""
        return self._inbox.stamp_note

    @stamp_note.setter
    def stamp_note(self, note: Callable[[], Quality | None] | None) -> None:
        self._inbox.stamp_note = note

    # --- on the home thread

    def _at_home(self, f: Callable[..., T], *args: Any) -> T:
        return cast("T", self._inbox.home(f, *args))

    def _fault(self, sentence: str, error: BaseException | None) -> None:
        if self._log is not None:
            self._log(sentence, error)
        else:
            self._unlogged.append((sentence, error))

    def _deliver(self, batch: Batch) -> None:
        self._listeners.tell("readings_added", batch)

    def _attach(self, listener: ITreeListener) -> None:
        self._listeners.attach(listener, [node for _, node in walk_below(self.root)])

    def _scope(self, path: str, namespace: UUID) -> Scope:
        place = self.get(path)
        if place is None:
            place = self._add_collection(path, None)
        if not isinstance(place, Collection):
            raise BadPath(f"{place.path} is a timeseries, and has nothing below it.")
        return Scope(self, place.path, namespace)
