"""The floor: the smallest honest daemon that takes readings and delivers them durably.

Twisted, one look-up in a dictionary and one check a reading, a commit to SQLite each second with a
sync, JSON, POST through one kept connection, and what a 200 was answered for is deleted. No tree,
no metadata, one subscriber, no bounds, nothing of smapd. `pipeline.py` measures smapd beside it.

    python bench/floor_pipeline.py [seconds]

prints its own figures: CPU seconds per million readings at 1 Hz, and at full speed.
"""

import json
import os
import shutil
import sqlite3
import sys
import tempfile
import time
from array import array
from uuid import UUID, uuid5

HERE = os.path.dirname(os.path.abspath(__file__))

COMMIT_S = 1.0
BODY = 10_000
"""Readings in a body, and in a row: what is read back is never more than is sent."""

AHEAD = 200_000
"""At full speed so many may be under way."""

ROOT = UUID("75503ac2-abf0-11e0-b7d6-0026bb56ec92")


class Floor:
    """The daemon; ``run`` it in a process of its own."""

    def __init__(self, reactor, home, url, series):
        from twisted.web.client import Agent, HTTPConnectionPool
        from twisted.web.http_headers import Headers

        self.reactor, self.url = reactor, url.encode()
        self.paths = [f"/hall/rack{i % 20}/s{i}" for i in range(series)]
        self.numbers = {path: i for i, path in enumerate(self.paths)}
        self.uuids = [uuid5(ROOT, path) for path in self.paths]
        self.pending = []
        self.taken = self.kept = self.delivered = 0
        self.home, self.db = home, None
        self.committing = self.sending = False
        self.agent = Agent(reactor, pool=HTTPConnectionPool(reactor))
        self.headers = Headers({b"Content-Type": [b"application/json"]})
        self.order, self.turn = "rest", 0

    # --- in

    def add(self, path, value):
        number = self.numbers[path]
        if value.__class__ is not float:
            raise TypeError(f"{path} takes floats")
        self.pending.append((number, time.time_ns() // 1_000_000, value))
        self.taken += 1

    def tick(self):
        """One reading of each series, each second."""
        if self.order == "hz":
            value = float(self.turn)
            self.turn += 1
            for path in self.paths:
                self.add(path, value + 0.5)

    def rush(self):
        """As many as it can, a thousand at a time."""
        if self.order != "full":
            return
        if self.taken - self.delivered < AHEAD:
            value = float(self.turn)
            self.turn += 1
            for path in self.paths[:1000]:
                self.add(path, value + 0.5)
            if len(self.pending) >= 2 * BODY:
                self.commit()
        self.reactor.callLater(0, self.rush)

    # --- the disk

    def open(self):
        self.db = sqlite3.connect(
            f"{self.home}/floor.db", isolation_level=None, check_same_thread=False
        )
        self.db.execute("PRAGMA journal_mode = WAL")
        self.db.execute("PRAGMA synchronous = FULL")
        self.db.execute("CREATE TABLE flush(seq INTEGER PRIMARY KEY, n, data BLOB)")

    def commit(self):
        from twisted.internet.threads import deferToThread

        if self.committing or not self.pending:
            return
        self.committing = True
        pending, self.pending = self.pending, []
        deferToThread(self.write, pending).addCallbacks(self.written, self.broken)

    def write(self, pending):
        self.db.execute("BEGIN")
        for at in range(0, len(pending), BODY):
            part = pending[at : at + BODY]
            numbers, ms, values = zip(*part, strict=True)
            data = array("I", numbers).tobytes() + array("q", ms).tobytes()
            data += array("d", values).tobytes()
            self.db.execute("INSERT INTO flush(n, data) VALUES(?, ?)", (len(part), data))
        self.db.execute("COMMIT")
        return len(pending)

    def written(self, count):
        self.committing = False
        self.kept += count
        self.send()

    # --- out

    def send(self):
        from twisted.internet.threads import deferToThread

        if not self.sending and self.delivered < self.kept:
            self.sending = True
            deferToThread(self.body).addCallbacks(self.post, self.broken)

    def body(self):
        """On the disk's thread: the oldest rows that make one body."""
        rows = []
        count = 0
        for seq, n, data in self.db.execute("SELECT seq, n, data FROM flush ORDER BY seq LIMIT 20"):
            if rows and count + n > BODY:
                break
            rows.append((n, data))
            count += n
            last = seq
        return last, count, rows

    def post(self, found):
        import orjson
        from twisted.web.client import readBody

        last, count, rows = found
        by_series = {}
        for n, data in rows:
            columns = array("I"), array("q"), array("d")
            at = 0
            for column in columns:
                end = at + n * column.itemsize
                column.frombytes(data[at:end])
                at = end
            for number, ms, value in zip(*columns, strict=True):
                group = by_series.get(number)
                if group is None:
                    by_series[number] = [(ms, value)]
                else:
                    group.append((ms, value))
        paths, uuids = self.paths, self.uuids
        body = orjson.dumps(
            {paths[n]: {"uuid": uuids[n], "Readings": group} for n, group in by_series.items()}
        )
        posting = self.agent.request(b"POST", self.url, self.headers, _Body(body))
        posting.addCallback(lambda answer: readBody(answer).addCallback(lambda _: answer.code))
        posting.addCallback(self.answered, last, count).addErrback(self.broken)

    def answered(self, code, last, count):
        from twisted.internet.threads import deferToThread

        if code != 200:
            raise RuntimeError(f"the consumer said {code}")
        return deferToThread(self.forget, last).addCallback(self.sent, count)

    def forget(self, last):
        self.db.execute("DELETE FROM flush WHERE seq <= ?", (last,))

    def sent(self, _, count):
        self.delivered += count
        self.sending = False
        self.send()

    def broken(self, failure):
        if self.reactor.running:
            failure.printTraceback()
            self.reactor.stop()

    # --- orders

    def told(self, word):
        if word in ("hz", "full", "rest"):
            self.order = word
            if word == "full":
                self.rush()
        return {"taken": self.taken, "kept": self.kept, "delivered": self.delivered}


class _Body:
    """Writes all at once."""

    def __init__(self, data):
        self.data, self.length = data, len(data)

    def startProducing(self, consumer):
        from twisted.internet.defer import succeed

        consumer.write(self.data)
        return succeed(None)

    def pauseProducing(self):
        pass

    def resumeProducing(self):
        pass

    def stopProducing(self):
        pass


def run(home, url, series):
    """The daemon until its input ends."""
    from twisted.internet import reactor, stdio
    from twisted.internet.task import LoopingCall
    from twisted.protocols.basic import LineOnlyReceiver
    from twisted.web.iweb import IBodyProducer
    from zope.interface import classImplements

    classImplements(_Body, IBodyProducer)
    floor = Floor(reactor, home, url, series)
    floor.open()
    reactor.getThreadPool().adjustPoolsize(1, 1)  # one thread: the disk's

    class Orders(LineOnlyReceiver):
        delimiter = b"\n"

        def lineReceived(self, line):
            self.transport.write(json.dumps(floor.told(line.decode())).encode() + b"\n")

        def connectionLost(self, reason):
            if reactor.running:
                reactor.stop()

    LoopingCall(floor.tick).start(1.0)
    LoopingCall(floor.commit).start(COMMIT_S)
    print(json.dumps({"ready": True}), flush=True)
    stdio.StandardIO(Orders())
    reactor.run()


def main():
    from _rig import FLOOR, Child, Sink, measured

    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 8.0
    sink = Sink()
    for series, order in ((1_000, "hz"), (20_000, "hz"), (1_000, "full")):
        home = tempfile.mkdtemp(prefix="bench-")
        floor = Child("-W", "ignore", str(FLOOR), "run", home, sink.url, str(series))
        got = measured(floor, seconds, 3.0, order)
        floor.end()
        shutil.rmtree(home)
        print(
            f"{series:6} series, {order:5}{got['delivered'] / got['wall']:12,.0f} readings/s"
            f"{got['cpu'] / got['delivered'] * 1e6:8.2f} CPU s per M"
            f"{100 * got['cpu'] / got['wall']:6.0f} % of a core"
        )
    sink.end()


if __name__ == "__main__":
    if sys.argv[1:2] == ["run"]:
        sys.path[:] = [p for p in sys.path if os.path.abspath(p or ".") != HERE]
        run(sys.argv[2], sys.argv[3], int(sys.argv[4]))
    else:
        main()
