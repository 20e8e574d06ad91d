"""The nodes of one tree: made, linked, changed and removed.

All of it on the tree's home thread, but for look-ups. Each change is checked whole before anything
moves, then takes the revision one further, and is told to the listeners.
"""

from __future__ import annotations

import re
from typing import Any, Final
from uuid import UUID

from smapd.errors import BadPath, NoSuchPath, PathExists
from smapd.values import Json

from .actuator import Actuator
from .inbox import Inbox
from .listeners import Listeners
from .metadata import MetadataPool, merged
from .nodes import Collection, Node, Timeseries
from .paths import ROOT, name_of, normalise, parent_of, shown, squash
from .shape import Shape, text
from .uuids import as_uuid, stream_uuid
from .walk import walk_below

SHAPES_SHARED: Final = 10_000

_ASSET = re.compile(r"[A-Za-z0-9._:-]{1,128}\Z")


class Structure:
    """Nodes by path, uuid and asset, and what changes them; `SmapInstance` is its face."""

    def __init__(
        self, uuid_root: UUID, default_timezone: str, listeners: Listeners, inbox: Inbox
    ) -> None:
        self.uuid_root = uuid_root
        self.default_timezone = default_timezone
        self.revision = 1
        self.root = Collection(ROOT, None, 1)
        self._listeners = listeners
        self._inbox = inbox
        self._series: dict[str, Timeseries] = {}
        self._collections: dict[str, Collection] = {ROOT: self.root}
        self._uuids: dict[str, Timeseries] = {}  # by text, which the stream holds anyway
        self._assets: dict[str, Collection] = {}
        self._actuators: dict[str, Timeseries] = {}
        self._shapes: dict[tuple[Any, ...], Shape] = {}
        self._metadata = MetadataPool()
        self._inherited_revision = 1  # when metadata of any collection last changed

    def get(self, path: str) -> Node | None:
        """The node of a path (doubled and trailing slashes are ignored), else None."""
        found = self._series.get(path) or self._collections.get(path)
        if found is not None:
            return found
        path = squash(path)
        return self._series.get(path) or self._collections.get(path)

    def _node(self, path: str) -> Node:
        node = self.get(path)
        if node is None:
            raise NoSuchPath(f"No such timeseries or collection: {shown(squash(path))}")
        return node

    def _stream(self, path: str) -> Timeseries:
        stream = self._series.get(squash(path))
        if stream is None:
            if squash(path) in self._collections:
                raise NoSuchPath(f"No such timeseries: {squash(path)} is a collection.")
            raise NoSuchPath(f"No such timeseries or collection: {shown(squash(path))}")
        return stream

    def _ancestors(self, node: Node) -> list[Collection]:
        """Root first, without the node itself; empty for one that was removed."""
        found: list[Collection] = []
        path = node.path
        while path != ROOT:
            path = parent_of(path)
            above = self._collections.get(path)
            if above is None:
                return []
            found.append(above)
        found.reverse()
        return found

    def _shape(
        self,
        unit: str | None,
        data_type: str,
        timezone: str | None,
        buffersz: int,
        milliseconds: bool,
    ) -> Shape:
        given = timezone is not None
        zone = self.default_timezone if timezone is None else timezone
        key = (unit, data_type, zone, given, buffersz, bool(milliseconds), type(buffersz))
        try:
            known = self._shapes.get(key)
        except TypeError:
            raise ValueError("The properties of a timeseries are text and numbers.") from None
        if known is None:
            known = Shape(
                unit=unit,
                data_type=data_type,
                timezone=zone,
                timezone_given=given,
                buffersz=buffersz,
                milliseconds=bool(milliseconds),
            )
            if (
                len(self._shapes) >= SHAPES_SHARED
            ):  # units made of numbers: share no more than is sane
                self._shapes.clear()
            self._shapes[key] = known
        return known

    def _add_timeseries(
        self,
        given_path: str,
        key: str | bytes | UUID | None,
        properties: tuple[Any, ...],
        description: str | None,
        namespace: UUID | str | None,
        explicit: UUID | str | None,
        key_encoding: str,
        actuator: Actuator | None = None,
    ) -> Timeseries:
        path = normalise(given_path)
        shape = self._shape(*properties)
        if description is not None:
            description = text(description, "A description")
        if isinstance(key, UUID):
            key, explicit = None, key if explicit is None else explicit
        elif key is None:
            key = path if path == given_path else given_path
        if explicit is not None:
            uuid = str(as_uuid(explicit, f"{path}: the uuid"))
        elif isinstance(key, str | bytes):
            space = self.uuid_root if namespace is None else as_uuid(namespace, "The namespace")
            uuid = str(stream_uuid(space, key, key_encoding))
        else:
            raise ValueError(f"{path}: a key is text or a uuid, not {type(key).__name__}.")
        if isinstance(key, bytes):
            key = key.decode(errors="replace")
        self._refuse_taken(path)
        other = self._uuids.get(uuid)
        if other is not None:
            raise PathExists(
                f"{path}: its uuid {uuid} (key {key!r}) is that of {other.path} "
                f"(key {other.key!r})."
            )
        self.revision += 1
        made: list[Node] = []
        parent = self._parent_for(path, made)
        stream = Timeseries(
            path, uuid, key, shape, description, self._inbox, self.revision, actuator
        )
        self._series[path] = self._uuids[uuid] = stream
        if actuator is not None:
            self._actuators[path] = stream
        self._link(parent, stream, made)
        return stream

    def _add_collection(self, given_path: str, asset: str | None) -> Collection:
        path = normalise(given_path)
        self._refuse_taken(path)
        if asset is not None:
            self._check_asset(path, asset)
        self.revision += 1
        made: list[Node] = []
        parent = self._parent_for(path, made)
        collection = Collection(path, asset, self.revision)
        self._collections[path] = collection
        if asset is not None:
            self._assets[asset] = collection
        self._link(parent, collection, made)
        return collection

    def _refuse_taken(self, path: str) -> None:
        """Refuse a path that is taken, or lies below a timeseries."""
        taken = self.get(path)
        if isinstance(taken, Timeseries):
            raise PathExists(
                f"{path} is taken already, by the timeseries {taken.path} (uuid {taken.uuid})."
            )
        if taken is not None:
            raise PathExists(f"{path} is taken already, by the collection {taken.path}.")
        above = parent_of(path)
        while above not in self._collections:
            if above in self._series:
                raise BadPath(f"{path}: {above} is a timeseries, and has nothing below it.")
            above = parent_of(above)

    def _parent_for(self, path: str, made: list[Node]) -> Collection:
        """The collection above; it and those above it are made if need be, and noted as made."""
        missing = []
        above = parent_of(path)
        while above not in self._collections:
            missing.append(above)
            above = parent_of(above)
        parent = self._collections[above]
        for above in reversed(missing):
            between = Collection(above, None, self.revision)
            self._collections[above] = between
            self._adopt(parent, between)
            made.append(between)
            parent = between
        return parent

    def _adopt(self, parent: Collection, node: Node) -> None:
        parent._children[name_of(node.path)] = node
        parent.revision = parent.contents_revision = self.revision

    def _link(self, parent: Collection, node: Node, made: list[Node]) -> None:
        self._adopt(parent, node)
        self._listeners.tell("nodes_added", [*made, node])

    def _check_asset(self, path: str, asset: str) -> None:
        if not isinstance(asset, str) or not _ASSET.match(asset):
            raise ValueError(
                f"{path}: {str(asset)[:100]!r} is no asset id; "
                "one has 1 to 128 letters, digits, '.', '_', ':' or '-'."
            )
        other = self._assets.get(asset)
        if other is not None:
            raise PathExists(f"{path}: the asset id {asset} is that of {other.path} already.")

    def _set_asset(self, path: str, asset: str | None) -> None:
        node = self._node(path)
        if not isinstance(node, Collection):
            raise BadPath(f"{node.path} is a timeseries; an asset is a collection.")
        if asset == node.asset:
            return
        if asset is not None:
            self._check_asset(node.path, asset)
            self._assets[asset] = node
        if node.asset is not None:
            del self._assets[node.asset]
        node.asset = asset
        self._changed(node)

    def _remove(self, path: str) -> None:
        top = self._node(path)
        if top is self.root:
            raise BadPath("/ is the root of the tree, and stays.")
        self._inbox.drain()
        gone = [node for _, node in walk_below(top)]
        gone.reverse()
        self.revision += 1
        parent = self._collections[parent_of(top.path)]
        del parent._children[name_of(top.path)]
        parent.revision = parent.contents_revision = self.revision
        for node in gone:
            if isinstance(node, Timeseries):
                node._inbox = None
                del self._series[node.path]
                del self._uuids[node._uuid]
                self._actuators.pop(node.path, None)
                self._inbox.forget(node)
            else:
                node._attached = False
                del self._collections[node.path]
                if node.asset is not None:
                    del self._assets[node.asset]
        self._listeners.tell("nodes_removed", gone)

    def _set_metadata(self, path: str, changes: dict[str, Json]) -> None:
        node = self._node(path)
        if changes:
            node.metadata = self._metadata.share(merged(node.metadata, changes))
            self._changed(node)

    def _set_description(self, path: str, description: str | None) -> None:
        node = self._node(path)
        node.description = description
        self._changed(node)

    def _set_error(self, path: str, error: str) -> None:
        node = self._node(path)
        if node._error != error:
            self.revision += 1
            node._error = error
            node.revision = self.revision

    def _changed(self, node: Node) -> None:
        self.revision += 1
        node.revision = node.meta_revision = self.revision
        if isinstance(node, Collection):
            self._inherited_revision = self.revision
        self._listeners.tell("metadata_changed", node)
