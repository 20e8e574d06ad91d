"""``smapd asset``, ``smapd events`` and ``smapd request``: what they ask, and what they print."""

from __future__ import annotations

import base64
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from smapd.cli import main
from smapd.cli.events import line
from tests.cli.daemon import FakeDaemon

pytestmark = pytest.mark.real

PUMP = {
    "id": "pump-1",
    "path": "/assets/pump-1",
    "origin": "http",
    "created_ms": 1_700_000_000_000,
    "base": 0,
    "next": 12,
}
LATE = {"id": "late", "path": None, "origin": "driver:/x", "base": 3, "next": 3}


def event(n: int) -> dict[str, Any]:
    return {
        "offset": n,
        "name": "BomBuiltSet",
        "version": 1,
        "source": "acme",
        "time": 1_700_000_000_000 + n,
        "systime": 1_700_000_000_000,
        "data": {"part": n},
    }


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SMAPD_TOKEN", raising=False)


class Streaming:
    """A daemon that answers each request with the next of some whole bodies, and hangs up."""

    def __init__(self, *bodies: bytes, status: int = 200) -> None:
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []
        asked, left = self.asked, list(bodies)

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                size = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(size)
                asked.append((self.command, self.path, dict(self.headers), body))
                self.send_response(status)
                self.end_headers()
                self.wfile.write(left.pop(0))

            do_POST = do_GET

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self) -> Streaming:
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


# --- asset


def test_assets_are_listed_with_place_origin_and_count(capsys: pytest.CaptureFixture[str]) -> None:
    with FakeDaemon({"/assets": (200, {"assets": [PUMP, LATE]})}) as daemon:
        assert main(["asset", "list", "--url", daemon.url]) == 0
        rows = [row.split() for row in capsys.readouterr().out.splitlines()]
        assert rows[1][:3] == ["pump-1", "/assets/pump-1", "http"]
        assert rows[1][-1] == "12"
        assert "(not there yet)" in " ".join(rows[2])
        assert rows[2][-1] == "0"
        assert main(["asset", "list", "--json", "--url", daemon.url]) == 0
        assert json.loads(capsys.readouterr().out) == [PUMP, LATE]


def test_an_asset_is_made_and_deleted(capsys: pytest.CaptureFixture[str]) -> None:
    answers = {"/assets": (201, PUMP), "/assets/pump-1": (204, b"")}
    with FakeDaemon(answers) as daemon:
        command = ["asset", "add", "pump-1", "--url", daemon.url, "--path", "/a"]
        command += ["--description", "a pump", "--metadata", "Location/Room=4=2"]
        assert main(command) == 0
        assert main(["asset", "remove", "pump-1", "--url", daemon.url]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out == ["/assets/pump-1", "pump-1 is deleted."]
    (made, _, _, body), (gone, where, _, _) = daemon.asked
    assert (made, gone, where) == ("POST", "DELETE", "/assets/pump-1")
    assert body == {
        "id": "pump-1",
        "path": "/a",
        "Description": "a pump",
        "Metadata": {"Location/Room": "4=2"},
    }


def test_what_the_daemon_refuses_is_its_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    answers = {"/assets": (409, {"message": "There is an asset pump-1 already.", "hint": ""})}
    with FakeDaemon(answers) as daemon:
        assert main(["asset", "add", "pump-1", "--url", daemon.url]) == 1
        assert main(["asset", "add", "pump-1", "--url", daemon.url, "--metadata", "x"]) == 1
    err = capsys.readouterr().err
    assert "There is an asset pump-1 already." in err
    assert "--metadata x: not KEY=VALUE." in err
    assert "Traceback" not in err


# --- events


def test_events_are_a_line_each_page_by_page(capsys: pytest.CaptureFixture[str]) -> None:
    answers = {
        "/assets/p/events?from=0&limit=1000": (200, {"events": [event(0), event(1)], "next": 2}),
        "/assets/p/events?from=2&limit=1000": (200, {"events": [], "next": 2}),
    }
    with FakeDaemon(answers) as daemon:
        assert main(["events", "p", "--url", daemon.url]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0] == '#0 2023-11-14 22:13:20.000 BomBuiltSet v1 from acme {"part": 0}'
    assert len(out) == 2


def test_a_limit_ends_it_and_json_is_the_event(capsys: pytest.CaptureFixture[str]) -> None:
    answers = {"/assets/p/events?from=5&limit=1": (200, {"events": [event(5)], "next": 6})}
    with FakeDaemon(answers) as daemon:
        command = ["events", "p", "--url", daemon.url, "--from", "5", "--limit", "1", "--json"]
        assert main(command) == 0
    assert json.loads(capsys.readouterr().out) == event(5)


def test_an_event_cannot_steer_the_terminal() -> None:
    hostile = {**event(0), "name": "E\x1b[2J", "data": {"a": "\x1b]0;x\x07"}}
    assert "\x1b" not in line(hostile)


def sse(*events: dict[str, Any]) -> bytes:
    lines = [b": here\n\n"]
    lines += [
        b"id: %d\nevent: event\ndata: %b\n\n" % (one["offset"], json.dumps(one).encode())
        for one in events
    ]
    return b"".join(lines)


def test_following_goes_on_behind_the_last_event_after_a_break(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.setattr("smapd.cli.events.pause", waits.append)
    half = sse(event(1)) + b"event: event\ndata: {"
    with Streaming(half, sse(event(2), event(3))) as daemon:
        command = ["events", "p", "--follow", "--limit", "3", "--json", "--url", daemon.url]
        assert main(command) == 0
    assert [json.loads(one)["offset"] for one in capsys.readouterr().out.splitlines()] == [1, 2, 3]
    assert [where for _, where, _, _ in daemon.asked] == [
        "/assets/p/events",
        "/assets/p/events?from=2",
    ]
    assert waits == [1.0]
    assert daemon.asked[0][2]["Accept"] == "text/event-stream"


def test_following_ends_with_the_asset() -> None:
    with Streaming(sse(event(1)) + b'event: end\ndata: {"why": "gone"}\n\n') as daemon:
        assert main(["events", "p", "--follow", "--url", daemon.url]) == 0


@pytest.mark.parametrize("arguments", [["--from", "-1"], ["--limit", "0"]])
def test_a_wrong_number_of_events_is_told(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["events", "p", *arguments]) == 1
    assert arguments[0] in capsys.readouterr().err


# --- request


def lines(*chunks: bytes, last: dict[str, Any] | None = None) -> bytes:
    found: list[dict[str, Any]] = [
        {"mime": "text/plain", "data": base64.b64encode(one).decode()} for one in chunks
    ]
    return b"".join(json.dumps(one).encode() + b"\n" for one in [*found, last or {"end": True}])


def test_an_answer_is_written_as_it_is(capfdbinary: Any, tmp_path: Path) -> None:
    (tmp_path / "q").write_bytes(b"small.pdf")
    with Streaming(lines(b"one\x00", b"two")) as daemon:
        command = ["request", "p", "Doc", "--url", daemon.url, "--data", "q", "--timeout", "5s"]
        assert main(command) == 0
    assert capfdbinary.readouterr().out == b"one\x00two"
    method, where, headers, body = daemon.asked[0]
    assert (method, where, body) == ("POST", "/assets/p/requests/Doc?timeout=5", b"small.pdf")
    assert headers["Accept"] == "application/x-ndjson"


def test_a_file_is_written_whole_or_not_at_all(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "doc.pdf"
    failed = {"error": "t2_failed", "message": "gone", "reason": "RESOURCE_UNKNOWN"}
    cut = lines(b"half", last=failed).removesuffix(b"\n")
    bodies = (cut, lines(b"half").partition(b'{"end"')[0], lines(b"all", b" of it"))
    with Streaming(*bodies) as daemon:
        command = ["request", "p", "Doc", "--url", daemon.url, "-o", str(out)]
        assert main(command) == 1
        assert main(command) == 1
        assert list(tmp_path.iterdir()) == []
        assert main(command) == 0
    assert out.read_bytes() == b"all of it"
    err = capsys.readouterr().err
    assert "gone (RESOURCE_UNKNOWN)" in err
    assert "its end is missing" in err


def test_what_cannot_be_asked_is_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "big").write_bytes(b"x" * (1024 * 1024 + 1))
    for command, sentence in (
        (["--data", "big"], "more than 1 MiB"),
        (["--data", "none"], "--data none: No such file"),
        (["--timeout", "soon"], "--timeout soon"),
    ):
        assert main(["request", "p", "Doc", "--url", "http://127.0.0.1:1", *command]) == 1
        assert sentence in capsys.readouterr().err
