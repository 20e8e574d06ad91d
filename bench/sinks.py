"""What a report costs from the neutral body to the consumer's 200: formats, and the HTTP sink.

    python bench/sinks.py [rounds] [isal folder]

A child process takes every POST and answers 200. For each shape of report the CPU of this process
(user + system) per reading is taken for encode + send, by format, as a ratio to json: gzip-json is
to stay within 1.5, avro and csv within 2 for the whole delivery, of which this is the last part.
Then posts of 10 KB and 300 KB, one in flight, through the sink and through bare treq with a
persistent pool: the sink is to make at least 0.8 of treq's. Medians of interleaved rounds.
"""

import os
import random
import statistics
import subprocess
import sys
import time
from uuid import uuid4

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:] = [p for p in sys.path if os.path.abspath(p or ".") != HERE]  # http.py here is not http
if len(sys.argv) > 2:
    sys.path.insert(0, sys.argv[2])

from twisted.internet import reactor  # noqa: E402
from twisted.internet.defer import ensureDeferred  # noqa: E402

from smapd.runtime import Clock  # noqa: E402
from smapd.sinks import FORMATS, HttpSink  # noqa: E402
from smapd.sinks.packing import gzip  # noqa: E402
from smapd.values import Accepted, Payload, ReportBody, Run  # noqa: E402

SERVER = """
from twisted.internet import protocol, reactor
class S(protocol.Protocol):
    need, buf = 0, b""
    def dataReceived(self, data):
        if self.need:
            self.need -= len(data)
            if self.need > 0: return
            self.need = 0; self.transport.write(OK); return
        self.buf += data
        end = self.buf.find(b"\\r\\n\\r\\n")
        if end < 0: return
        head = self.buf[:end].lower()
        length = int(head.split(b"content-length:")[1].split(b"\\r\\n")[0])
        self.need = length - (len(self.buf) - end - 4)
        self.buf = b""
        if not self.need: self.transport.write(OK)
OK = b"HTTP/1.1 200 OK\\r\\nContent-Length: 0\\r\\n\\r\\n"
f = protocol.Factory(); f.protocol = S
port = reactor.listenTCP(0, f, interface="127.0.0.1")
print(port.getHost().port, flush=True)
reactor.run()
"""


def body(streams, each):
    """A report of so many streams, so many readings each."""
    dice = random.Random(1)
    first = 1_700_000_000_000
    return ReportBody(
        {
            f"/hall/meter{i}/power": [
                Run(
                    uuid4(),
                    i,
                    0,
                    [first + 1000 * j + dice.randrange(20) for j in range(each)],
                    [round(dice.gauss(230, 3), 2) for _ in range(each)],
                )
            ]
            for i in range(streams)
        }
    )


async def formats(sink, url, rounds):
    print("encode + send, CPU µs a reading (ratio to json), bytes a reading")
    for streams, each in ((10_000, 1), (1_000, 10), (100, 100)):
        report = body(streams, each)
        cost = {name: [] for name in FORMATS}
        alone = {name: [] for name in FORMATS}
        size = {}
        for _ in range(rounds):
            for name, form in FORMATS.items():
                began = time.process_time()
                payload = form.encode(report)
                alone[name].append(time.process_time() - began)
                assert await sink.send(payload, url) == Accepted()
                cost[name].append(time.process_time() - began)
                size[name] = len(payload.body)
        count = streams * each
        base = statistics.median(cost["json"])
        for name in FORMATS:
            whole, encode = statistics.median(cost[name]), statistics.median(alone[name])
            print(
                f"{streams:6} x {each:3} {name:10} {whole / count * 1e6:6.2f}"
                f" ({whole / base:4.2f})  encode {encode / count * 1e6:5.2f}"
                f"  {size[name] / count:6.1f} B"
            )


async def posts(sink, url, rounds):
    import treq
    from treq.client import HTTPClient
    from twisted.web.client import Agent, HTTPConnectionPool

    pool = HTTPConnectionPool(reactor)
    bare = HTTPClient(Agent(reactor, pool=pool))
    headers = (("Content-Type", "application/json"),)

    async def ours(data):
        await sink.send(Payload(data, headers), url)

    async def theirs(data):
        answer = await bare.post(url, data=data, headers=dict(headers))
        await treq.content(answer)

    print("posts a second, one in flight (and CPU µs each): sink, bare treq, ratio")
    for size, number in ((10_000, 300), (300_000, 60)):
        data = os.urandom(size)
        rate = {"sink": [], "treq": []}
        cpu = {"sink": [], "treq": []}
        for _ in range(rounds):
            for name, post in (("sink", ours), ("treq", theirs)):
                began, burnt = time.perf_counter(), time.process_time()
                for _ in range(number):
                    await post(data)
                rate[name].append(number / (time.perf_counter() - began))
                cpu[name].append((time.process_time() - burnt) / number * 1e6)
        a, b = statistics.median(rate["sink"]), statistics.median(rate["treq"])
        x, y = statistics.median(cpu["sink"]), statistics.median(cpu["treq"])
        print(
            f"{size:8} B  {a:7.0f} ({x:4.0f})  {b:7.0f} ({y:4.0f})"
            f"  rate {a / b:4.2f}, CPU {x / y:4.2f}"
        )
    await pool.closeCachedConnections()


async def main(port, rounds):
    clock = Clock(reactor)
    sink = HttpSink(reactor, clock)
    url = f"http://127.0.0.1:{port}/add/KEY"
    print(f"gzip by {gzip.__globals__['_compress'].__module__ or 'zlib'}, level 1")
    await formats(sink, url, rounds)
    await posts(sink, url, rounds)
    sink.close()


if __name__ == "__main__":
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 9
    child = subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE)
    try:
        done = ensureDeferred(main(int(child.stdout.readline()), rounds))
        done.addErrback(lambda f: f.printTraceback()).addBoth(lambda _: reactor.stop())
        reactor.run()
    finally:
        child.kill()
        child.wait()
