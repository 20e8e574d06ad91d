"""A real daemon in a process of its own, for tests of what only a process can show.

The child is waited for by the readiness protocol of systemd (a datagram ``READY=1``), so no test
sleeps or guesses. Its output is kept in a file, and quoted when it does not become ready.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from smapd.errors import NotRunning
from smapd.storage import read_daemon

READY_S = 30.0
STOP_S = 20.0


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer, read whole."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


class DaemonProcess:
    """``smapd run`` on a config of the test's own, on a free loopback port.

    ``config``: the INI text, or the path of a file. ``args``: more command-line arguments.
    ``path``: folders added to PYTHONPATH, where the config's drivers are. As a context manager it
    starts on entry and is killed on exit, if it still runs.
    """

    def __init__(
        self,
        config: str | Path,
        *,
        args: Sequence[str] = (),
        path: Sequence[str | Path] = (),
        env: Mapping[str, str] | None = None,
        data_dir: Path | None = None,
    ) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="smapd-test-"))
        self.data_dir = data_dir or self.home / "data"
        if isinstance(config, Path):
            self.config = config
        else:
            self.config = self.home / "test.ini"
            self.config.write_text(config, encoding="utf-8")
        self.args = list(args)
        self.env = {**os.environ, **(env or {})}
        if path:
            more = [str(p) for p in path]
            self.env["PYTHONPATH"] = os.pathsep.join([*more, self.env.get("PYTHONPATH", "")])
        self.output = self.home / "output"
        self.url = ""
        self.child: subprocess.Popen[bytes] | None = None
        self._notify: socket.socket | None = None

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """The process id of the running child."""
        assert self.child is not None
        return self.child.pid

    def start(self) -> None:
        """Start it and wait until it says that it is ready.

        :raises AssertionError: quoting its output, if it ends or is silent for 30 s.
        """
        self.spawn()
        self.wait_for("READY=1")
        self.find()

    def find(self) -> None:
        """Learn where it answers, from its data directory; without HTTP there is no address."""
        with contextlib.suppress(NotRunning):
            self.url = read_daemon(self.data_dir).url

    def spawn(self) -> None:
        """Start it, and do not wait."""
        command = [sys.executable, "-m", "smapd", "run", str(self.config)]
        command += ["--data-dir", str(self.data_dir)]
        if "--port" not in self.args:
            command += ["--port", "0"]
        self._launch(command + self.args)

    def run(self, command: Sequence[str]) -> None:
        """Start a program of the test's own that serves a tree, and wait until it is ready."""
        self._launch(command)
        self.wait_for("READY=1")

    def _launch(self, command: Sequence[str]) -> None:
        address = self.home / "notify"
        address.unlink(missing_ok=True)
        self._close_notify()
        self._notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notify.bind(str(address))
        with self.output.open("ab") as output:
            self.child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**self.env, "NOTIFY_SOCKET": str(address)},
                cwd=self.home,
                start_new_session=True,
            )

    def wait_for(self, message: str, limit_s: float = READY_S) -> None:
        """Wait for a line of the readiness protocol."""
        assert self._notify is not None
        assert self.child is not None
        turns = max(1, int(limit_s / 0.25))
        self._notify.settimeout(0.25)  # between two looks at whether the child has died
        for _ in range(turns):
            try:
                if message in self._notify.recv(4096).decode().splitlines():
                    return
            except TimeoutError:
                if self.child.poll() is not None:
                    break
        raise AssertionError(f"no {message} from the daemon:\n{self.text()}")

    def stop(self, limit_s: float = STOP_S) -> int:
        """SIGTERM; wait for the end; the exit status."""
        assert self.child is not None
        self.child.send_signal(signal.SIGTERM)
        return self.child.wait(limit_s)

    def wait(self, limit_s: float = STOP_S) -> int:
        """Wait for it to end by itself; the exit status."""
        assert self.child is not None
        return self.child.wait(limit_s)

    def kill(self) -> None:
        """SIGKILL, and wait for the end."""
        assert self.child is not None
        self.child.kill()
        self.child.wait(STOP_S)

    def close(self) -> None:
        """Kill it if it runs, and remove its files."""
        if self.child is not None and self.child.poll() is None:
            self.kill()
        self._close_notify()
        shutil.rmtree(self.home, ignore_errors=True)

    def text(self) -> str:
        """What it has printed so far."""
        return self.output.read_text(errors="replace") if self.output.exists() else ""

    def request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """One HTTP request on a connection of its own."""
        where = urlsplit(self.url)
        assert where.hostname is not None
        connection = http.client.HTTPConnection(where.hostname, where.port, timeout=20)
        try:
            connection.request(method, path, body=body, headers=dict(headers or {}))
            answer = connection.getresponse()
            names = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, names, answer.read())
        finally:
            connection.close()

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> Answer:
        """GET, the body read whole."""
        return self.request("GET", path, headers=headers)

    def _close_notify(self) -> None:
        if self._notify is not None:
            self._notify.close()
            self._notify = None
