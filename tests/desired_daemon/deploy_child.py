"""A process that deploys one version after another until it is killed.

    python deploy_child.py DIRECTORY VERSIONS

``DIRECTORY/world/NAME`` is what the handlers act on. On standard output, a line each: ``B name
version`` (a handler begins with it), ``D name version`` (it has done it), ``R name version``
(what came of it is durable), ``V version`` (the deploy of it is done), ``END``.
"""

import os
import random
import sys
import time
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.defer import Deferred

from smapd.desired import CRUDHandler, PurgeableResource, ResourcePurged, provider, resource
from smapd.desired.options import TABLES
from smapd.desired.room import DesiredRoom
from smapd.options import merge
from smapd.runtime import make_runtime
from smapd.values import ActionFilter

LAMPS = 60
FOLLOWED = set()
PLACE = Path(sys.argv[1]) / "world"


def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


@resource("test::Lamp", agent="host", id_attribute="name")
class Lamp(PurgeableResource):
    fields = ("name", "level")


@provider("test::Lamp", name="lamps")
class LampHandler(CRUDHandler):
    def read_resource(self, ctx, resource):
        say("B", resource.name, resource.id.version)
        time.sleep(0.004)
        try:
            resource.level = int((PLACE / resource.name).read_text())
        except FileNotFoundError:
            raise ResourcePurged from None

    def create_resource(self, ctx, resource):
        self.write(resource)
        ctx.set_created()

    def update_resource(self, ctx, changes, resource):
        self.write(resource)
        ctx.set_updated()

    def write(self, resource):
        new = PLACE / f".{resource.name}"
        new.write_text(str(resource.level))
        new.rename(PLACE / resource.name)

    def post(self, ctx, resource):
        say("D", resource.name, resource.id.version)


def requires(n):
    """Of lamp n, on earlier ones: the same in every life."""
    rng = random.Random(n)
    return sorted(rng.sample(range(n), min(n, rng.randrange(3))))


def id_of(n):
    return f"test::Lamp[{'edge' if n % 3 else 'far'},name=l{n}]"


def resources(level):
    return [
        {
            "id": id_of(n),
            "requires": [id_of(other) for other in requires(n)],
            "name": f"l{n}",
            "level": level,
            "purged": False,
            "purge_on_delete": False,
        }
        for n in range(LAMPS)
    ]


async def main(home, versions):
    run = make_runtime(reactor)
    run.threads.start()
    tables = merge(TABLES)
    server, _ = tables["server"].parse({})
    agents = []
    for name in ("edge", "far"):
        values, problems = tables["agent"].parse({"Threads": "3", "RepairInterval": "0"})
        assert not problems
        agents.append((name, values))
    room = DesiredRoom(home, run, server, agents)
    desired = room.orchestrator
    await room.start()
    while True:
        current = desired.dispatcher.current
        if current is None or current.state == "done":
            number = 0 if current is None else current.version.number
            if current is not None:
                say("V", number)
            if number >= versions:
                break
            n = await desired.add({"resources": resources(number + 1)}, token=False)
            if n > 1 and n != number + 1:  # made by the life before, and not deployed yet
                say("N", n)
            follow(desired, n)
            await desired.deploy(n, dry_run=False, token=False)
        elif not FOLLOWED:
            follow(desired, current.version.number)
        await run.clock.sleep(0.01)
    await room.stop()
    await room.close()
    say("END")
    reactor.stop()


def follow(desired, n):
    def give(action):
        name = action["resource"].partition("name=")[2].rstrip("]")
        say("R", name, action["version"], action["status"])

    for number in range(LAMPS):
        if number not in FOLLOWED:
            FOLLOWED.add(number)
            desired.follow(id_of(number), ActionFilter(), give)


def failed(failure):
    say("X", *failure.getTraceback().split())
    os._exit(1)


if __name__ == "__main__":
    PLACE.mkdir(exist_ok=True)
    reactor.callWhenRunning(
        lambda: Deferred.fromCoroutine(main(Path(sys.argv[1]), int(sys.argv[2]))).addErrback(failed)
    )
    reactor.run()
