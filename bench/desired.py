"""The desired state: what one resource costs that is as it should be already.

``python bench/desired.py`` prints, medians of five runs, each in a process of its own:

- 10,000 resources whose handlers find nothing to do, on four threads; the goal is 10 s.
- the same with each resource requiring the one before it in chains of 100.
- the floor: a bare pool of four threads that calls an empty function 10,000 times and takes each
  result before it hands out the next, as a deployment does. Beside it, the cost a resource.
- what makes them: the export of 10,000 entities.
- the order alone: a deployment of 10,000 resources taken and settled, without handlers.
"""

from __future__ import annotations

import argparse
import json
import queue
import statistics
import subprocess
import sys
import threading
import time
from types import SimpleNamespace
from typing import Any

from smapd.desired import CRUDHandler, Deployment, Exporter, Resource, deploy, provider, resource

RESOURCES = 10_000
THREADS = 4
RUNS = 5
CHAIN = 100


@resource("bench::Lamp", agent="bus", id_attribute="name")
class Lamp(Resource):
    fields = ("name", "level", "mode", "scenes")


@provider("bench::Lamp", name="nothing")
class NothingToDo(CRUDHandler):
    def read_resource(self, ctx: Any, resource: Any) -> None:
        resource.level = 50


def model(chained: bool) -> list[Any]:
    lamps: list[Any] = []
    for i in range(RESOURCES):
        wanted = [lamps[-1]] if chained and i % CHAIN else []
        lamps.append(
            SimpleNamespace(
                entity_type="bench::Lamp",
                bus=f"bus{i % 8}",
                name=f"lamp {i}",
                level=50,
                mode="auto",
                scenes=[{"name": "day", "level": 80}, {"name": "night", "level": 5}],
                requires=wanted,
            )
        )
    return lamps


def noop(chained: bool = False) -> float:
    export = Exporter().run(model(chained), 1)
    began = time.perf_counter()
    results = deploy(export.resources, export.requires, 1, threads=THREADS)
    took = time.perf_counter() - began
    assert {one.status for one in results.values()} == {"deployed"}
    return took


def chains() -> float:
    return noop(chained=True)


def export() -> float:
    entities = model(False)
    began = time.perf_counter()
    Exporter().run(entities, 1).as_json()
    return time.perf_counter() - began


def order() -> float:
    told = Exporter().run(model(True), 1).as_json()["resources"]
    began = time.perf_counter()
    deployment = Deployment(told, 1)
    while not deployment.is_complete:
        for name in deployment.take(limit=THREADS):
            deployment.settle(name, "deployed")
    return time.perf_counter() - began


def floor() -> float:
    """Threads from a queue, results to a queue: what is left when the resources are taken away."""
    work: queue.SimpleQueue[Any] = queue.SimpleQueue()
    came: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def serve() -> None:
        while (f := work.get()) is not None:
            came.put(f())

    for _ in range(THREADS):
        threading.Thread(target=serve, daemon=True).start()
    began = time.perf_counter()
    for i in range(RESOURCES):
        work.put(int)
        if i >= THREADS - 1:
            came.get()
    for _ in range(THREADS - 1):
        came.get()
    took = time.perf_counter() - began
    for _ in range(THREADS):
        work.put(None)
    return took


PARTS = {f.__name__: f for f in (noop, chains, floor, export, order)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", choices=PARTS)
    parser.add_argument("--runs", type=int, default=RUNS)
    args = parser.parse_args()
    if args.part:
        print(json.dumps(PARTS[args.part]()))
        return
    medians: dict[str, float] = {}
    for part in PARTS:
        runs = []
        for _ in range(args.runs):
            done = subprocess.run(
                [sys.executable, __file__, "--part", part],
                check=True,
                capture_output=True,
                text=True,
            )
            runs.append(json.loads(done.stdout))
        medians[part] = statistics.median(runs)
        per = medians[part] / RESOURCES * 1e6
        spread = f"{min(runs):.2f} to {max(runs):.2f}"
        print(f"{part:8} {medians[part]:6.2f} s  {per:7.1f} us a resource  ({spread})")
    extra = (medians["noop"] - medians["floor"]) / RESOURCES * 1e6
    print(
        f"goal: noop <= 10 s: {medians['noop']:.2f} s; {extra:.0f} us a resource over a bare pool"
    )


if __name__ == "__main__":
    main()
