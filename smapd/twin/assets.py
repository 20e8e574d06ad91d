"""Which assets there are: what the tree shows, the config and HTTP ask for, kept as a history.

An asset is a collection that bears an id. It comes from the config, from a driver, from a program
that made its tree itself, or over HTTP. Each coming and going becomes one record of the stream
``$assets``, in order; the fold of that stream is what the last run knew. After a start the two are
compared: what the config no longer names, or what was deleted, goes; an asset of a driver stays
until the driver is set up without it, or its section is gone. A stop deletes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from zope.interface import implementer

from smapd.core import Collection, SmapInstance
from smapd.errors import (
    AssetExists,
    AssetHeld,
    AssetUnknown,
    BadRequest,
    PathExists,
    SmapError,
)
from smapd.interfaces import (
    IBackoff,
    IClock,
    IDefinitions,
    IEventLog,
    IFaults,
    INode,
    ITreeListener,
)
from smapd.values import Batch, Json

from .history import CREATED, DELETED, Asset, Change, History
from .patterns import asset_id

KIND: Final = "asset"
"""Under which the definitions of assets made over HTTP are kept."""
_KEYS: Final = ("id", "path", "Metadata", "Description")


@implementer(ITreeListener)
class Assets:
    """The registry of assets; a listener of the tree; all on the reactor's thread."""

    def __init__(
        self,
        tree: SmapInstance,
        log: IEventLog,
        definitions: IDefinitions,
        clock: IClock,
        faults: IFaults,
        backoff: IBackoff,
    ) -> None:
        self._tree, self._log, self._definitions, self._faults = tree, log, definitions, faults
        self.history = History(log, definitions, clock, faults, backoff, self._change_of)
        self._paths: dict[str, str] = {}  # where each asset stands in the tree
        self._at: dict[str, str] = {}  # and what stands at each place
        self._seen: set[str] = set()
        self._config: dict[str, str] = {}
        self._made: dict[str, Json] = {}  # over HTTP
        self._being_made: set[str] = set()
        self._drivers: set[str] = set()
        self._ready: set[str] = set()
        self._is_open = False

    # --- what there is

    def __len__(self) -> int:
        return len(self.history.known)

    def __contains__(self, asset: object) -> bool:
        return asset in self.history.known

    def all(self) -> list[Asset]:
        """All assets, in the order in which they were made."""
        return list(self.history.known.values())

    def get(self, asset: str) -> Asset:
        """One asset.

        :raises AssetUnknown: if there is none of that id.
        """
        found = self.history.known.get(asset)
        if found is None:
            raise AssetUnknown(f"There is no asset {asset[:128]}.")
        return found

    def was(self, asset: str) -> bool:
        """Whether there is, or ever was, an asset of that id with events."""
        return asset in self.history.known or self._log.next_offset(asset) > 0

    def path(self, asset: str) -> str | None:
        """Where it stands in the tree; None while what makes it has not done so."""
        return self._paths.get(asset)

    # --- the start

    async def open(
        self, config: Mapping[str, str], drivers: Iterable[str], ready: Iterable[str] = ()
    ) -> None:
        """Learn what the last run knew, join the tree, and make what was made over HTTP.

        Once the config's nodes are in the tree, and before its drivers are set up. ``config``:
        {id: path} of each section that bears one; ``drivers``: paths of all driver sections;
        ``ready``: of those that are set up already. What is no longer there is deleted.
        """
        self._config, self._drivers = dict(config), set(drivers)
        self._ready = set(ready)
        await self.history.load()
        for row in await self._definitions.load(KIND):
            self._made[row["id"]] = row
        self._tree.attach(self)
        self._plant()
        self._is_open = True
        await self.history.start()

    def close(self) -> None:
        """Look at the tree no more: what is taken from it at a stop is not deleted."""
        self._is_open = False
        self._tree.detach(self)
        self.history.close()

    # --- what the house says

    def driver_ready(self, path: str) -> None:
        """The driver at this place is set up: what it has not made again is gone."""
        self._drivers.add(path)
        self._ready.add(path)
        if self._is_open:
            self._plant()  # its set-up may have cleared what stood below
            self._mark_of(path)
            self.history.kick()

    def section_added(self, path: str, asset: str | None, is_driver: bool) -> None:
        """A section of the config was attached to the running daemon; before it is."""
        if asset is not None:
            self._config[asset] = path
        if is_driver:
            self._drivers.add(path)

    def section_gone(self, path: str) -> None:
        """A section was detached from the running daemon; after it is."""
        self._drivers.discard(path)
        self._ready.discard(path)
        below = path.rstrip("/") + "/"
        for asset, where in list(self._config.items()):
            if where == path or where.startswith(below):
                del self._config[asset]
                self.history.mark(asset)
        self._mark_of(path)
        self.history.kick()

    # --- over HTTP

    async def create(self, body: Any) -> Asset:
        """Make an asset of ``{"id", "path"?, "Metadata"?, "Description"?}``, durably.

        Without a path it stands at ``/assets/ID``.

        :raises BadRequest: naming what is wrong in the body.
        :raises BadPath: for what is no path.
        :raises PathExists: if the path is taken.
        :raises AssetExists: if the id is.
        """
        row = _checked(body)
        asset, path = row["id"], row["path"]
        if asset in self.history.known or asset in self._being_made or asset in self._made:
            where = self._paths.get(asset)
            raise AssetExists(f"There is an asset {asset} already{f', at {where}' * bool(where)}.")
        if self._tree.get(path) is not None:
            raise PathExists(f"{path} is taken already.")
        self._being_made.add(asset)
        self._made[asset] = row
        try:
            self._place(row)
            await self._definitions.put(KIND, asset, row)
        except SmapError:
            await self._undo(asset)
            raise
        except (ValueError, TypeError) as error:
            await self._undo(asset)
            raise BadRequest(f"The asset's metadata cannot be used: {error}") from error
        finally:
            self._being_made.discard(asset)
        try:
            await self.history.done(asset)
        except SmapError:
            await self._undo(asset)
            raise
        return self.get(asset)

    async def delete(self, asset: str) -> None:
        """Delete one that was made by ``create``, durably.

        :raises AssetUnknown: if there is none of that id.
        :raises AssetHeld: if it was not made by ``create``.
        """
        found = self.history.known.get(asset)
        if found is None and asset not in self._made:
            raise AssetUnknown(f"There is no asset {asset[:128]}.")
        origin = self._origin_of(asset)
        if origin != "http":
            raise AssetHeld(f"Asset {asset} comes from {_words(origin)}; take it out there.")
        await self._definitions.delete(KIND, asset)
        self._made.pop(asset, None)
        self._unplace(asset)
        await self.history.done(asset)

    # --- the tree

    def nodes_added(self, nodes: Sequence[INode]) -> None:
        """Collections that bear an id are assets now."""
        for node in nodes:
            if isinstance(node, Collection) and node.asset is not None:
                self._appeared(node.asset, node.path)
        self.history.kick()

    def nodes_removed(self, nodes: Sequence[INode]) -> None:
        """Their assets are gone, unless they are only on their way back."""
        for node in nodes:
            asset = self._at.get(node.path)
            if asset is not None:
                self._disappeared(asset, node.path)
        self.history.kick()

    def metadata_changed(self, node: INode) -> None:
        """A mark may have been set or taken off."""
        if isinstance(node, Collection):
            before = self._at.get(node.path)
            if before != node.asset:
                if before is not None:
                    self._disappeared(before, node.path)
                if node.asset is not None:
                    self._appeared(node.asset, node.path)
                self.history.kick()

    def readings_added(self, batch: Batch) -> None:
        """Readings are no concern of assets."""

    def _appeared(self, asset: str, path: str) -> None:
        self._paths[asset] = path
        self._at[path] = asset
        self._seen.add(asset)
        self.history.mark(asset)

    def _disappeared(self, asset: str, path: str) -> None:
        del self._at[path]
        if self._paths.get(asset) == path:
            del self._paths[asset]
            self.history.mark(asset)

    def _plant(self) -> None:
        for asset, row in self._made.items():
            if asset in self._paths or asset in self._being_made:
                continue
            key = ("asset", asset)
            try:
                if asset in self._config:
                    raise AssetExists(f"The config has an asset {asset} of its own.")
                self._place(row)
            except SmapError as error:
                text = f"asset {asset}, made over HTTP, cannot stand in the tree: {error.message}"
                self._faults.fault(key, text, asset=asset)
            else:
                self._faults.cleared(key, "asset {asset} is in the tree again", asset=asset)

    def _place(self, row: Mapping[str, Json]) -> None:
        path, tree = row["path"], self._tree
        node = tree.get(path)
        if isinstance(node, Collection) and node.asset is None:
            tree.set_asset(path, row["id"])  # the config has something below it
        else:
            tree.add_collection(path, asset=row["id"])
        if row.get("Metadata"):
            tree.set_metadata(path, row["Metadata"])
        if row.get("Description"):
            tree.set_description(path, row["Description"])

    def _unplace(self, asset: str) -> None:
        path = self._paths.get(asset)
        node = None if path is None else self._tree.get(path)
        if path is None or not isinstance(node, Collection):
            return
        if node.children or path == "/":
            self._tree.set_asset(path, None)
        else:
            self._tree.remove(path)

    async def _undo(self, asset: str) -> None:
        """An asset that could not be made whole."""
        if self._made.pop(asset, None) is None:
            return
        self._unplace(asset)
        self.history.mark(asset)
        self.history.kick()
        try:
            await self._definitions.delete(KIND, asset)
        except SmapError as error:
            text = f"asset {asset} was not made, but may come with the next start: {error.message}"
            self._faults.fault(("asset undo", asset), text, asset=asset)

    # --- what is wanted

    def _is_wanted(self, asset: str) -> bool:
        if asset in self._paths or asset in self._config or asset in self._made:
            return True
        known = self.history.known[asset]
        if known.origin == "program":
            return asset not in self._seen  # the program may not have made it yet
        driver = known.origin.removeprefix("driver:")
        return driver != known.origin and driver in self._drivers - self._ready

    def _origin_of(self, asset: str) -> str:
        if asset in self._config:
            return "config"
        if asset in self._made:
            return "http"
        path = self._paths.get(asset)
        if path is None:
            return self.history.known[asset].origin
        above = [d for d in self._drivers if path == d or path.startswith(d.rstrip("/") + "/")]
        return f"driver:{max(above, key=len)}" if above else "program"

    def _mark_of(self, driver: str) -> None:
        for asset, known in self.history.known.items():
            if known.origin == f"driver:{driver}":
                self.history.mark(asset)

    def _change_of(self, asset: str) -> Change:
        known = self.history.known.get(asset)
        if known is not None:
            return None if self._is_wanted(asset) else (DELETED, known.origin)
        if asset in self._paths and asset not in self._being_made:
            return CREATED, self._origin_of(asset)
        return None


def _checked(body: Any) -> dict[str, Json]:
    if not isinstance(body, dict):
        raise BadRequest('An asset is an object: {"id", "path", "Metadata"}.')
    for key in body:
        if key not in _KEYS:
            raise BadRequest(f"{key!s:.60}: no such key of an asset; it has {', '.join(_KEYS)}.")
    if body.get("id") is None:
        raise BadRequest("An asset needs an id, under which events and requests know it.")
    asset = asset_id(body["id"])
    path = body.get("path", f"/assets/{asset}")
    if not isinstance(path, str) or not path.startswith("/") or len(path) > 4096:
        raise BadRequest("path: where the asset stands in the tree, like /assets/pump-7.")
    row: dict[str, Json] = {"id": asset, "path": path}
    metadata = body.get("Metadata")
    if metadata is not None:
        if not isinstance(metadata, dict):
            raise BadRequest('Metadata: an object, like {"Location": {"City": "Berlin"}}.')
        row["Metadata"] = metadata
    description = body.get("Description")
    if description is not None:
        if not isinstance(description, str):
            raise BadRequest("Description: a text.")
        row["Description"] = description
    return row


def _words(origin: str) -> str:
    if origin.startswith("driver:"):
        return f"the driver at {origin.removeprefix('driver:')}"
    return {"config": "the config file", "program": "the program that made the tree"}.get(
        origin, origin
    )
