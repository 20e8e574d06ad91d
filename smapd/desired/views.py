"""What those who ask are shown of versions, deploys, resources and their actions."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from smapd.errors import NoSuchDeploy, NoSuchResource
from smapd.interfaces import IWatching
from smapd.values import ActionFilter, Json

from .actions import first_seen
from .dispatch import Dispatcher
from .ids import Id
from .runs import DONE, Run, in_order, summary
from .shelf import OnDisk, Shelf
from .states import Place, ResourceState
from .store import Store
from .versions import Version, difference
from .watching import Watchers


class Views:
    """Reads, and changes nothing; on the reactor's thread.

    ``deploys``: those known, newest first. ``load``: gives a version, or raises NoSuchVersion.
    """

    def __init__(
        self,
        store: Store,
        shelf: Shelf,
        dispatcher: Dispatcher,
        watchers: Watchers,
        on_disk: OnDisk,
        deploys: Callable[[], list[Json]],
        load: Callable[[int], Awaitable[Version]],
    ) -> None:
        self._store, self._shelf, self._dispatcher = store, shelf, dispatcher
        self._watchers, self._on_disk = watchers, on_disk
        self._deploys, self._load = deploys, load

    async def version(self, n: int, after: int, limit: int) -> dict[str, Json]:
        """A version with some of its resources, and what became of each."""
        version = await self._load(n)
        run, results = self._run_of(n), dict[int, Json]()
        deploy = next((d for d in self._deploys() if d["version"] == n and not d["dry_run"]), None)
        if run is not None:
            results = run.results
        elif deploy is not None:
            results = await self._on_disk(self._store.results, deploy["deploy"])
        shown = range(min(after, len(version.ids)), min(after + limit, len(version.ids)))
        told = version.header() | {
            "deploy": deploy,
            "resources": [
                {
                    "resource": version.ids[i],
                    "desired": version.resources[i],
                    "result": results.get(i),
                    "state": _state(run, version.ids[i], results.get(i)),
                }
                for i in shown
            ],
        }
        if shown and shown[-1] + 1 < len(version.ids):
            told["next"] = shown[-1] + 1
        return told

    async def difference(self, n: int, other: int | None) -> dict[str, Json]:
        """What version ``n`` changes beside ``other``, or what is deployed."""
        new = await self._load(n)
        if other is None:
            current = self._dispatcher.current
            old = None if current is None else current.version
        else:
            old = await self._load(other)
        return difference(old, new)

    def with_states(self, headers: list[Json]) -> list[Json]:
        """Each header with its newest deploy, and whether it is what is deployed."""
        newest: dict[int, Json] = {}
        for deploy in self._deploys():
            if not deploy["dry_run"]:
                newest.setdefault(deploy["version"], deploy)
        current = self._dispatcher.current
        return [
            {
                **header,
                "deploy": newest.get(header["version"]),
                "is_deployed": current is not None and current.version.number == header["version"],
            }
            for header in headers
        ]

    async def deployed(self, d: int, after: int, limit: int) -> dict[str, Json]:
        """A deploy with up to ``limit`` results behind the first ``after``, as they came."""
        run = next((run for run in self._dispatcher.runs() if run.number == d), None)
        if run is not None:
            version, results, came = run.version, run.results, run.came
            told = run.told()
        else:
            stored = next((one for one in self._deploys() if one["deploy"] == d), None)
            if stored is None:
                raise NoSuchDeploy(f"There is no deploy {d}.")
            told = dict(stored)
            version = await self._load(told["version"])
            results = await self._on_disk(self._store.results, d)
            results = {i: one for i, one in results.items() if i < len(version.ids)}
            came = in_order(results)
            told |= summary(results.values(), bool(told["dry_run"]))
        page = came[after : after + limit]
        told["results"] = [{"resource": version.ids[i], **results[i]} for i in page]
        told["next"] = after + len(page)
        if told["dry_run"] and told["state"] == DONE:
            looked = ResourceState.DRY.value
            told["unseen"] = [
                {"resource": version.ids[i], "reason": results[i].get("reason", "")}
                for i in came
                if results[i]["status"] != looked
            ][:1_000]
        return told

    def _run_of(self, n: int) -> Run | None:
        current = self._dispatcher.current
        return current if current is not None and current.version.number == n else None

    def resources(self, states: Sequence[str], after: int, limit: int) -> dict[str, Json]:
        """The resources that are deployed, each with its state, and how many stand where."""
        run = self._dispatcher.current
        if run is None:
            return {"version": None, "counts": {}, "resources": []}
        counts: dict[str, int] = {}
        shown: list[Json] = []
        told = {"version": run.version.number, "counts": counts, "resources": shown}
        for i, id_ in enumerate(run.version.ids):
            result = run.results.get(i)
            state = _state(run, id_, result) or Place.WAITING.value
            counts[state] = counts.get(state, 0) + 1
            if i < after or (states and state not in states):
                continue
            if len(shown) == limit:
                told.setdefault("next", i)
                continue
            agent = run.version.agents[i]
            shown.append({"resource": id_, "agent": agent, "state": state, "result": result})
        return told

    async def resource(self, id_: str) -> dict[str, Json]:
        """One resource: what is desired, its state, its facts."""
        name = name_of(id_)
        facts = await self._on_disk(self._store.facts, name)
        run = self._dispatcher.current
        i = None if run is None else run.version.index.get(name)
        if run is None or i is None:
            if not facts and not await self._is_known(name):
                raise NoSuchResource(f"There is no resource {name}.")
            return {"resource": name, "state": None, "desired": None, "facts": facts}
        return {
            "resource": name,
            "agent": run.version.agents[i],
            "version": run.version.number,
            "desired": run.version.resources[i],
            "state": _state(run, name, run.results.get(i)),
            "result": run.results.get(i),
            "facts": facts,
        }

    async def actions(self, id_: str, asked: ActionFilter) -> list[Json]:
        """What was done to a resource, with the handler's log."""
        name = name_of(id_)
        found = await self._on_disk(self._find, name, asked)
        if not found and not await self._is_known(name):
            raise NoSuchResource(f"There is no resource {name}.")
        return found

    def _find(self, name: str, asked: ActionFilter) -> list[Json]:
        rows = self._store.actions(
            name,
            after=asked.after,
            before=asked.before,
            from_ms=asked.from_ms,
            to_ms=asked.to_ms,
            newest_first=asked.newest_first,
        )
        return first_seen(rows, asked)

    def follow(self, id: str, asked: ActionFilter, give: Callable[[Json], None]) -> IWatching:
        """Give each action that comes from now on, once it is durable."""
        name = name_of(id)
        if not self._is_in_memory(name):
            raise NoSuchResource(f"No version that is deployed has {name}.")
        return self._watchers.add(name, asked, give)

    def _is_in_memory(self, name: str) -> bool:
        versions = [*(run.version for run in self._dispatcher.runs()), *self._shelf.at_hand()]
        return any(name in version.index for version in versions)

    async def _is_known(self, name: str) -> bool:
        if self._is_in_memory(name):
            return True
        asked = ActionFilter(limit=1)
        if await self._on_disk(self._find, name, asked):
            return True
        newest = self._store.newest
        return newest > 0 and name in (await self._load(newest)).index


def _state(run: Run | None, name: str, result: Json | None) -> str | None:
    """Where a resource stands: as the deploy under way has it, else as it ended."""
    if run is not None and run.deployment is not None:
        shown = run.deployment.state(name)
        if not (isinstance(shown, Place) and result is not None and run.state == DONE):
            return shown.value
    return None if result is None else str(result["status"])


def name_of(id_: str) -> str:
    """The id without a version.

    :raises NoSuchResource: if it is none.
    """
    try:
        return Id.parse_id(id_).resource_str()
    except ValueError:
        raise NoSuchResource(
            f"{id_[:200]!r} is no id of a resource.",
            hint="It is written ns::Type[agent,attribute=value].",
        ) from None
