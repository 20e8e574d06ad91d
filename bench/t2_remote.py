"""What a streamed answer pays between processes: integrator, daemon and follower are three.

    python bench/t2_remote.py [MiB per answer] [runs]

The answer crosses two WebSockets, each with its masks and lengths, and the daemon between them. The
floor is that of bench/t2.py: a bare Twisted copy of as many bytes over one TCP connection.

Goal: >= 0.3 x the floor.
"""

import importlib.util
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:] = [p for p in sys.path if os.path.abspath(p or ".") != HERE]
sys.path.insert(0, os.path.dirname(HERE))

from smapd.testing import DaemonProcess  # noqa: E402

MIB = 2**20
CONFIG = """
[/]
uuid = 75503ac2-abf0-11f0-b4d8-8b6b4f7d2c14
[/press]
type = Collection
asset = press
"""
GIVER = """
import sys
from smapd.twin import Integrator, IntegratorCallbacks, ThingRunner

class Giver(IntegratorCallbacks, ThingRunner):
    def __init__(self, config):
        super().__init__(config=config)
        self.api = Integrator(config["integrator"], self.client, self)
    def on_startup(self):
        self.api.start()
    def main(self):
        self.wait_for_shutdown()
    def on_shutdown(self, exc_info):
        self.api.stop()
    def on_asset_created(self, asset_id):
        print("ready", flush=True)
    def on_asset_deleted(self, asset_id):
        pass
    def on_t2_request(self, request):
        piece = bytes(2**20)
        with self.api.t2_respond_streamed(request, "x") as write:
            for _ in range(int(request.data)):
                write(piece)

Giver({"url": sys.argv[1], "name": "giver", "integrator": {"t2": True}}).run()
"""
TAKER = """
import sys, time
from smapd.twin import Follower, FollowerCallbacks, ThingRunner

class Taker(FollowerCallbacks, ThingRunner):
    def __init__(self, config):
        super().__init__(config=config)
        self.api = Follower(config["follower"], self.client, self)
    def on_startup(self):
        self.api.start()
    def main(self):
        for _ in range(int(sys.argv[3])):
            began, size = time.perf_counter(), 0
            asked = self.api.t2_request("press", "X", data=sys.argv[2].encode(), timeout=60)
            for _, chunk in asked:
                size += len(chunk)
            print(size / (time.perf_counter() - began), flush=True)
    def on_shutdown(self, exc_info):
        self.api.stop()
    def on_asset_created(self, asset_id):
        pass
    def on_asset_deleted(self, asset_id):
        pass
    def on_event(self, event):
        pass
    def on_event_internal(self, event):
        pass

Taker({"url": sys.argv[1], "name": "taker", "follower": {"t2": True}}).run()
"""


def _t2():
    spec = importlib.util.spec_from_file_location("bench_t2", os.path.join(HERE, "t2.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def remote(size, runs):
    """Bytes a second of each answer but the first."""
    with tempfile.TemporaryDirectory() as home, DaemonProcess(CONFIG) as daemon:
        giver, taker = Path(home, "giver.py"), Path(home, "taker.py")
        giver.write_text(GIVER)
        taker.write_text(TAKER)
        env = {**os.environ, "PYTHONPATH": os.path.dirname(HERE)}
        one = subprocess.Popen(
            [sys.executable, str(giver), daemon.url], stdout=subprocess.PIPE, env=env
        )
        try:
            assert one.stdout.readline() == b"ready\n"
            time.sleep(0.2)
            command = [sys.executable, str(taker), daemon.url, str(size // MIB), str(runs + 1)]
            out = subprocess.run(command, stdout=subprocess.PIPE, env=env, check=True, timeout=600)
            return [float(line) for line in out.stdout.split()[1:]]
        finally:
            one.kill()
            one.wait()
            one.stdout.close()


def main():
    size = int(sys.argv[1]) * MIB if len(sys.argv) > 1 else 1024 * MIB
    runs = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    t2 = _t2()
    from twisted.internet import reactor
    from twisted.internet.defer import Deferred

    floors = []

    async def measure():
        for _ in range(runs + 1):
            floors.append(await t2.floor(size))

    work = Deferred.fromCoroutine(measure())
    work.addBoth(lambda _: reactor.callLater(0, reactor.stop))
    reactor.run()
    base, found = statistics.median(floors[1:]), statistics.median(remote(size, runs))
    print(f"one answer of {size // MIB} MiB between processes; medians of {runs}")
    print(f"  bare TCP copy   {base / MIB:8,.0f} MiB/s")
    print(f"  T2 remote       {found / MIB:8,.0f} MiB/s {found / base:6.2f} x")


if __name__ == "__main__":
    main()
