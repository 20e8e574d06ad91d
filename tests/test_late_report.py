"""A report of the config file whose secret is missing at the start."""

from __future__ import annotations

import http.server
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from smapd.testing import DaemonProcess

CONFIG = """
[/]
uuid = 75503ac2-abf0-11f0-b4d8-8b6b4f7d2c12
[/a]
type = Timeseries
Properties/UnitofMeasure = V
[report late]
ReportDeliveryLocation = file:{secret}
ReportResource = /+
"""


@pytest.fixture
def bodies() -> Iterator[tuple[str, list[bytes]]]:
    got: list[bytes] = []

    class Sink(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *a: object) -> None:
            """Quiet."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Sink)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/in", got
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def eventually(what: Callable[[], object], limit_s: float = 20.0) -> None:
    """Wait for the world; a fixed number of looks."""
    for _ in range(int(limit_s / 0.05)):
        if what():
            return
        time.sleep(0.05)
    raise AssertionError("it did not happen")


@pytest.mark.real
def test_it_delivers_what_was_kept_for_it_once_the_secret_is_there(
    tmp_path: Path, bodies: tuple[str, list[bytes]]
) -> None:
    """SM-22: readings of a second start, taken before the secret is mounted, reach the sink."""
    url, got = bodies
    secret = tmp_path / "url"
    secret.write_text(url)
    data = tmp_path / "data"
    with DaemonProcess(CONFIG.format(secret=secret), data_dir=data):
        pass
    secret.unlink()
    with DaemonProcess(CONFIG.format(secret=secret), data_dir=data) as daemon:
        assert "report late" in daemon.get("/status").json()["late"]
        uuid = daemon.get("/data/a").json()["uuid"]
        body = f'{{"/a": {{"uuid": "{uuid}", "Readings": [[1700000000000, 4567]]}}}}'
        assert daemon.request("POST", "/readings", body.encode()).status == 200
        assert not any(b"4567" in one for one in got)
        secret.write_text(url)
        eventually(lambda: any(b"4567" in one for one in got))
        assert daemon.get("/status").json()["late"] == {}
        assert "can be read now" in daemon.text()
