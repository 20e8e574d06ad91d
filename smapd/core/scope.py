"""A driver's view of the tree: paths below its place, keys in its namespace."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any
from uuid import UUID

from smapd.errors import BadPath
from smapd.values import Json, Quality

from .actuator import DriverCalls
from .nodes import Collection, Node, Timeseries
from .paths import ROOT, join, normalise, squash
from .uuids import UNICODE_ESCAPE, as_uuid, stream_uuid

if TYPE_CHECKING:  # the tree makes scopes; only the type checker follows that name
    from .instance import SmapInstance


class Scope:
    """The methods of ``SmapInstance``, with every path below ``path``; made by its ``scope``.

    From any thread, as there. ``namespace``: in which this driver's keys name their streams.
    """

    def __init__(self, tree: SmapInstance, path: str, namespace: UUID) -> None:
        self.path = path
        self.namespace = namespace
        self.calls = DriverCalls()
        """How this driver's own code is called; its host fills it in."""
        self._tree = tree
        self._made: list[Timeseries] = []
        self._known: dict[str, Timeseries] = {}  # by path as this driver writes it

    @property
    def streams(self) -> list[Timeseries]:
        """The streams made through this scope that are in the tree, oldest first; a new list."""
        return [stream for stream in list(self._made) if stream.attached]

    @property
    def default_timezone(self) -> str:
        """The zone of timeseries made without one of their own."""
        return self._tree.default_timezone

    def absolute(self, path: str) -> str:
        """The path in the whole tree of a path of this scope."""
        return join(self.path, squash(path))

    def uuid(self, key: str | bytes, namespace: UUID | str | None = None) -> UUID:
        """The uuid that a stream of this key has in this scope, or in a namespace given."""
        space = self.namespace if namespace is None else as_uuid(namespace, "The namespace")
        return stream_uuid(space, key)

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
        """A new timeseries; see ``SmapInstance.add_timeseries``. Without a key, the path as
        written here is the key."""
        if unit is ...:
            if isinstance(key_or_uuid, str):
                key_or_uuid, unit = None, key_or_uuid
            else:
                unit = None
        stream = self._tree.add_timeseries(
            join(self.path, normalise(path)),
            path if key_or_uuid is None else key_or_uuid,
            unit,
            data_type=data_type,
            timezone=timezone,
            buffersz=buffersz,
            milliseconds=milliseconds,
            description=description,
            namespace=self.namespace if namespace is None else namespace,
            uuid=uuid,
            key_encoding=key_encoding,
        )
        return self._noted(stream)

    def add_actuator(
        self, path: str, unit: str | None, actuator: Any, **options: Any
    ) -> Timeseries:
        """A new timeseries that can be set; see ``SmapInstance.add_actuator``."""
        return self._noted(
            self._tree.add_actuator(
                join(self.path, normalise(path)), unit, actuator, calls=self.calls, **options
            )
        )

    def add_collection(self, path: str, *, asset: str | None = None) -> Collection:
        """A new collection; see ``SmapInstance.add_collection``."""
        return self._tree.add_collection(join(self.path, normalise(path)), asset=asset)

    def remove(self, path: str) -> None:
        """Remove the node at ``path`` and all below it; see ``SmapInstance.remove``.

        :raises BadPath: for the driver's own place, which its config section made.
        """
        if squash(path) == ROOT:
            raise BadPath(f"{self.path} is the driver's own place, and stays while it runs.")
        self._tree.remove(self.absolute(path))

    def get(self, path: str) -> Node | None:
        """The node of a path, else None."""
        return self._tree.get(self.absolute(path))

    def by_uuid(self, uuid: UUID) -> Timeseries | None:
        """The timeseries of that uuid if it lies below this scope, else None."""
        found = self._tree.by_uuid(uuid)
        return found if found is not None and self._is_below(found) else None

    def get_timeseries(self, path_or_uuid: str | UUID) -> Timeseries | None:
        """The timeseries of a path or a uuid, else None."""
        if isinstance(path_or_uuid, str):
            found = self._tree.get(self.absolute(path_or_uuid))
            if isinstance(found, Timeseries):
                return found
        found = self._tree.get_timeseries(path_or_uuid)
        # A path of the whole tree is not one of this scope; only a uuid may find more.
        by_path = found is not None and found.path == path_or_uuid
        return found if found is not None and not by_path and self._is_below(found) else None

    def get_collection(self, path: str) -> Collection | None:
        """The collection of a path, else None."""
        return self._tree.get_collection(self.absolute(path))

    def lookup(self, path_or_uuid: str | UUID) -> Node | dict[str, Node] | None:
        """The node of a path or uuid, or ``{relative path: node}`` of ``/x/+``, else None."""
        if isinstance(path_or_uuid, str):
            found = self._tree.lookup(self.absolute(path_or_uuid))
            if found is not None:
                return found
        return self.get_timeseries(path_or_uuid)

    def walk(self, path: str = ROOT) -> Iterator[tuple[str, Node]]:
        """The node at ``path`` and all below it; see ``SmapInstance.walk``."""
        return self._tree.walk(self.absolute(path))

    def set_metadata(self, path: str, changes: Mapping[str, Any]) -> None:
        """Merge metadata into a node's own; see ``SmapInstance.set_metadata``."""
        self._tree.set_metadata(self.absolute(path), changes)

    def metadata_of(self, path: str) -> dict[str, Json]:
        """All metadata that applies to a node, of collections above this scope too."""
        return self._tree.metadata_of(self.absolute(path))

    def set_description(self, path: str, description: str | None) -> None:
        """Set a node's Description."""
        self._tree.set_description(self.absolute(path), description)

    def set_error(self, path: str, error: str) -> None:
        """Show at a node why its device does not answer; "" when it does."""
        self._tree.set_error(self.absolute(path), error)

    def add(
        self,
        path: str,
        time_or_value: Any,
        value: Any = ...,
        seqno: int | None = None,
        quality: Quality | None = None,
    ) -> None:
        """Add one reading; see ``SmapInstance.add``."""
        self._stream(path).add(time_or_value, value, seqno, quality)

    def add_many(self, path: str, times: Any, values: Any, quality: Quality | None = None) -> None:
        """Add a block of readings; see ``SmapInstance.add_many``."""
        self._stream(path).add_many(times, values, quality)

    def _noted(self, stream: Timeseries) -> Timeseries:
        if len(self._made) >= 64 and not self._made[len(self._made) // 2].attached:
            self._made = self.streams  # a driver that makes and removes for years keeps few
        self._made.append(stream)
        return stream

    def _stream(self, path: str) -> Timeseries:
        stream = self._known.get(path)
        if stream is None or stream._inbox is None:
            stream = self._tree._stream(self.absolute(path))
            if len(self._known) >= 100_000:
                self._known.clear()
            self._known[path] = stream
        return stream

    def _is_below(self, stream: Timeseries) -> bool:
        return self.path == ROOT or stream.path.startswith(self.path + "/")
