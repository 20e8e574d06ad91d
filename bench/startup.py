"""Start-up: from the command to the first answered GET, at 10,000 sections, above the imports.

Prints the seconds of ``smapd run`` until ``GET /data/s9999`` is answered, the seconds that a bare
interpreter needs to import the same packages, and the difference, as medians of 5 runs each.
Goal: at most 0.8 s above the imports.

    python bench/startup.py [sections]
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RUNS = 5
GOAL_S = 0.8
IMPORTS = (
    "import twisted.internet.reactor, klein, treq, configobj, zope.interface, orjson, "
    "twisted.web.server, twisted.internet.ssl"
)


def config(sections: int) -> str:
    """A tree of that many timeseries, a hundred to a collection."""
    head = "[/]\nuuid = 75503ac2-abf0-11e0-b7d6-0026bb56ec92\nProperties/Timezone = UTC\n"
    return head + "".join(
        f"[/c{i // 100}/s{i}]\ntype = Timeseries\nkey = s{i}\n"
        "Properties/UnitofMeasure = V\nProperties/ReadingType = double\n"
        for i in range(sections)
    )


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def first_get(file: Path, last: str) -> float:
    """Seconds from the command to the first 200."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "smapd", "run", str(file), "--port", str(port)]
        begin = time.monotonic()
        child = subprocess.Popen(
            [*command, "--data-dir", folder + "/data"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            while True:
                try:
                    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
                    connection.request("GET", last)
                    if connection.getresponse().status == 200:
                        return time.monotonic() - begin
                except OSError:
                    time.sleep(0.005)
                if child.poll() is not None:
                    raise SystemExit("the daemon ended")
        finally:
            child.kill()
            child.wait()


def imports() -> float:
    """Seconds of a bare interpreter that imports the core packages."""
    begin = time.monotonic()
    subprocess.run([sys.executable, "-c", IMPORTS], check=True)
    return time.monotonic() - begin


def main() -> None:
    sections = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "many.ini"
        file.write_text(config(sections))
        last = f"/data/c{(sections - 1) // 100}/s{sections - 1}"
        imports(), first_get(file, last)
        bare, whole = [], []
        for _ in range(RUNS):
            bare.append(imports())
            whole.append(first_get(file, last))
    above = statistics.median(whole) - statistics.median(bare)
    print(f"sections                {sections:>8}")
    print(f"bare imports            {statistics.median(bare):8.2f} s")
    print(f"first answered GET      {statistics.median(whole):8.2f} s")
    print(f"above the imports       {above:8.2f} s   (goal {GOAL_S} s at 10,000)")
    print(json.dumps({"bench": "startup", "above_s": round(above, 3), "cpus": os.cpu_count()}))


if __name__ == "__main__":
    main()
