"""A process that serves /desired over HTTP on a free port, with the agent ``edge`` in it.

    python serve_child.py DIRECTORY [TOKEN]

Prints ``URL http://…`` once it answers.
"""

import sys
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.defer import Deferred

from smapd import http
from smapd.access import Access
from smapd.core import Intake, SmapInstance
from smapd.desired.options import TABLES
from smapd.desired.room import DesiredRoom
from smapd.options import merge
from smapd.runtime import make_runtime

ROOT = "75503ac2-abf0-11e0-b7d6-0026bb56ec92"


async def main(home, token):
    run = make_runtime(reactor)
    run.threads.start()
    tree = SmapInstance(ROOT, now=run.clock.wall_ms)
    tree.settle(run.threads.to_reactor, lambda text, error: print("X", text, error))
    tables = merge(TABLES)
    values, problems = tables["agent"].parse({"Handlers": "lamps", "RepairInterval": "1s"})
    assert not problems
    room = DesiredRoom(home, run, tables["server"].parse({})[0], [("edge", values)], tree=tree)
    await room.start()
    listener = http.Listener(port=0, token=token)
    parts = http.HttpParts(
        tree=tree,
        intake=Intake(tree),
        access=Access(token, True),
        status=run.status,
        ready=lambda: "",
        healthy=lambda: "",
        version="1",
        desired=room.orchestrator,
    )
    site = http.make_site(parts, listener, run.clock)
    port = await http.listen(reactor, site, listener)
    print("URL", f"http://127.0.0.1:{port.getHost().port}", flush=True)
    reactor.addSystemEventTrigger("before", "shutdown", lambda: Deferred.fromCoroutine(end(room)))


async def end(room):
    await room.stop()
    await room.close()


def failed(failure):
    failure.printTraceback()
    reactor.stop()


if __name__ == "__main__":
    key = sys.argv[2].encode() if len(sys.argv) > 2 else None
    reactor.callWhenRunning(
        lambda: Deferred.fromCoroutine(main(Path(sys.argv[1]), key)).addErrback(failed)
    )
    reactor.run()
