"""``smapd receive`` in a process of its own: a sink that keeps what it answers 200 for."""

from __future__ import annotations

import http.client
import json
import re
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit


class ReceiverProcess:
    """Receives into ``file`` on a free loopback port; killed on exit, if it still runs."""

    def __init__(self, file: Path, *arguments: str) -> None:
        self.file = file
        self._arguments = arguments
        self.url = ""
        self.child: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.child is not None:
            self.kill()
            assert self.child.stdout is not None
            self.child.stdout.close()

    def start(self, port: int = 0) -> None:
        """Start it, and wait until it listens."""
        command = [sys.executable, "-m", "smapd", "receive", str(self.file), "--port", str(port)]
        self.child = subprocess.Popen(
            [*command, *self._arguments], stdout=subprocess.PIPE, text=True, cwd=self.file.parent
        )
        assert self.child.stdout is not None
        line = self.child.stdout.readline()
        found = re.search(r"at (\S+), into", line)
        assert found is not None, line
        self.url = found[1]

    @property
    def port(self) -> int:
        """Where it listens."""
        return urlsplit(self.url).port or 0

    def post(
        self, body: bytes, headers: dict[str, str] | None = None, path: str = "/add/KEY"
    ) -> tuple[int, Any]:
        """Status and answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            kind = {"Content-Type": "application/json"}
            connection.request("POST", path, body, kind | (headers or {}))
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def readings(self, path: str) -> list[tuple[int, Any]]:
        """(ms, value) of all that it has of a stream, by time; SQLite only."""
        with sqlite3.connect(self.file) as db:
            found = db.execute(
                "SELECT ms, value FROM reading JOIN stream ON stream = id WHERE path = ? "
                "ORDER BY ms, seq",
                (path,),
            ).fetchall()
        db.close()
        return found

    def stop(self) -> int:
        """SIGTERM; the exit status."""
        assert self.child is not None
        self.child.send_signal(signal.SIGTERM)
        return self.child.wait(20)

    def kill(self) -> None:
        """SIGKILL, and wait for the end."""
        assert self.child is not None
        if self.child.poll() is None:
            self.child.kill()
        self.child.wait(20)
