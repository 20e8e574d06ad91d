"""A daemon in memory, as an import sees it: it holds readings, and may be away or busy."""

from __future__ import annotations

from typing import Any

from smapd.cli.peer import Answered, Peer
from smapd.errors import NotRunning


class MemoryPeer(Peer):
    """``streams``: ReadingType by path. ``script``: what the next posts do, then they are taken.

    "away": no answer, nothing taken. "lost": taken, and no answer. A number: that status.
    """

    def __init__(self, streams: dict[str, str], script: list[str | int] | None = None) -> None:
        super().__init__("http://memory.example")
        self.streams = streams
        self.script = list(script or [])
        self.held: dict[str, list[list[Any]]] = {path: [] for path in streams}
        self.posts: list[dict[str, Any]] = []
        self.asked: list[tuple[str, Any]] = []
        self.reports: list[list[dict[str, Any]]] = []
        self.journal: list[dict[str, Any]] = []

    def get(self, path: str, query: Any = None) -> Any:
        self.asked.append((path, query))
        if path == "/status":
            told: dict[str, Any] = {"reports": self.reports.pop(0) if self.reports else []}
            return told | ({"journal": self.journal.pop(0)} if self.journal else {})
        if path == "/data/+":
            return {name: self._node(name) for name in self.streams}
        name = path.removeprefix("/data")
        if name not in self.streams:
            raise Answered(f"No such timeseries or collection: {name}", status=404)
        node = self._node(name)
        if query is not None:
            found = sorted(row for row in self.held[name] if row[0] >= query["from"])
            node["Readings"] = found[: query["limit"]]
            if len(found) > query["limit"]:
                node["Next"] = found[query["limit"]][0]
        return node

    def post(self, path: str, body: Any) -> Any:
        assert path == "/readings"
        what = self.script.pop(0) if self.script else "take"
        if isinstance(what, int):
            raise Answered("Too much is under way already.", status=what, retry_after_s=1.0)
        if what == "away":
            raise NotRunning("no daemon answers at memory.example: connection refused.")
        self.posts.append(body)
        for name, node in body.items():
            self.held[name] += [row[:2] for row in node["Readings"]]
        if what == "lost":
            raise NotRunning("no daemon answers at memory.example: nothing came for 60 s.")
        return {"Readings": sum(len(node["Readings"]) for node in body.values())}

    def _node(self, name: str) -> dict[str, Any]:
        number = f"00000000-0000-11e1-8000-{list(self.streams).index(name):012}"
        kind = {"ReadingType": self.streams[name]}
        return {"uuid": number, "Properties": kind, "Readings": []}
