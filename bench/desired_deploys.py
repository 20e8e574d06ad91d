"""10,000 resources that are right already, deployed through a daemon's store and agent.

    python bench/desired_deploys.py [COUNT]

Prints the seconds of three deploys (read, compared, result and log durable), their median, and
beside it those of a bare loop over a pool: the same handlers, called by four threads, nothing kept.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, DeferredList

from smapd.desired import (
    AgentSide,
    CRUDHandler,
    PurgeableResource,
    ResourceRun,
    Task,
    provider,
    registry,
    resource,
)
from smapd.desired.options import TABLES
from smapd.desired.room import DesiredRoom
from smapd.options import merge
from smapd.runtime import make_runtime

ROUNDS = 3


@resource("bench::Lamp", agent="host", id_attribute="name")
class Lamp(PurgeableResource):
    fields = ("name", "level")


@provider("bench::Lamp", name="lamps")
class LampHandler(CRUDHandler):
    def read_resource(self, ctx: Any, resource: Any) -> None:
        pass


def resources(count: int) -> list[dict[str, Any]]:
    return [
        {
            "id": f"bench::Lamp[edge,name=l{n}]",
            "requires": [],
            "name": f"l{n}",
            "level": 1,
            "purged": False,
            "purge_on_delete": False,
        }
        for n in range(count)
    ]


async def main(home: Path, count: int) -> None:
    run = make_runtime(reactor)
    run.threads.start()
    tables = merge(TABLES)
    values, _ = tables["agent"].parse({"Threads": "4", "RepairInterval": "0"})
    room = DesiredRoom(home, run, tables["server"].parse({})[0], [("edge", values)])
    await room.start()
    desired = room.orchestrator
    took = []
    for _ in range(ROUNDS):
        began = time.monotonic()
        n = await desired.add({"resources": resources(count)}, token=False)
        made = time.monotonic()
        await desired.deploy(n, dry_run=False, token=False)
        while desired.dispatcher.current is None or desired.dispatcher.current.state != "done":
            await run.clock.sleep(0.01)
        ended = time.monotonic()
        took.append(ended - made)
        commits = desired.status()["commits"]
        print(f"version {made - began:.2f} s, deploy {ended - made:.2f} s, {commits} commits")
    bare = await loop(run, count)
    median = statistics.median(took)
    print(f"deploy of {count}: median {median:.2f} s, {1e6 * median / count:.0f} µs a resource")
    print(f"bare pool loop: {bare:.2f} s; the deploy takes {median / bare:.1f} times that")
    await room.stop()
    await room.close()
    reactor.stop()


async def loop(run: Any, count: int) -> float:
    frozen, side = registry.frozen(), AgentSide("edge")
    hashes = frozen.handler_hashes()
    tasks = [Task({**one, "id": f"{one['id']},v=1"}) for one in resources(count)]
    began = time.monotonic()
    pending = [
        run.threads.to_pool("agent-edge", ResourceRun(task, frozen, side, hashes=hashes).run)
        for task in tasks
    ]
    await DeferredList(pending)
    return time.monotonic() - began


if __name__ == "__main__":
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    with tempfile.TemporaryDirectory() as folder:
        reactor.callWhenRunning(
            lambda: Deferred.fromCoroutine(main(Path(folder), number)).addErrback(
                lambda failure: (failure.printTraceback(), reactor.stop())
            )
        )
        reactor.run()
