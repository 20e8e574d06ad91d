"""Memory of an idle daemon, above a bare interpreter that has imported the core packages.

Prints both resident set sizes, medians of 3 runs, and the difference. Goal: at most 12 MB above.

    python bench/idle.py
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from smapd.testing import DaemonProcess

GOAL_MB = 12.0
RUNS = 3
CORE_PACKAGES = (
    "import twisted.internet.reactor, twisted.internet.ssl, twisted.web.server, klein, treq,"
    " configobj, zope.interface, orjson, websockets.asyncio.client, fastavro,"
    " prometheus_client, psutil, sys; print('ready', flush=True); sys.stdin.read()"
)
IDLE = """
[/]
uuid = 75503ac2-abf0-11e0-b7d6-0026bb56ec92
[/x]
type = Timeseries
Properties/UnitofMeasure = V
"""


def rss_mb(pid: int) -> float:
    """Resident set size of a process."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise SystemExit("no VmRSS")


def bare() -> float:
    with subprocess.Popen(
        [sys.executable, "-c", CORE_PACKAGES], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        size = rss_mb(child.pid)
        child.kill()
    return size


def idle() -> float:
    with DaemonProcess(IDLE, data_dir=Path(tempfile.mkdtemp()) / "data") as daemon:
        for _ in range(20):
            daemon.get("/data/x")
        return rss_mb(daemon.pid)


def main() -> None:
    imports = statistics.median(bare() for _ in range(RUNS))
    daemon = statistics.median(idle() for _ in range(RUNS))
    print(f"bare imports of the core packages  {imports:7.1f} MB")
    print(f"idle daemon after 20 GETs          {daemon:7.1f} MB")
    print(f"above                              {daemon - imports:7.1f} MB   (goal {GOAL_MB} MB)")
    print(json.dumps({"bench": "idle", "above_mb": round(daemon - imports, 1)}))


if __name__ == "__main__":
    main()
