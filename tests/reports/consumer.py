"""A consumer of reports that is a real HTTP server."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Consumer:
    """Keeps the bodies it has answered 200 to. ``is_up``: else it answers 503."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.is_up = True
        consumer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if not body:
                    return
                if consumer.is_up:
                    consumer.bodies.append(json.loads(body))
                self.send_response(200 if consumer.is_up else 503)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args: object) -> None:
                """No line for a request."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *args: object) -> None:
                """A daemon that was killed leaves its connections broken."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextmanager
def running() -> Iterator[Consumer]:
    """One that is closed at the end."""
    consumer = Consumer()
    try:
        yield consumer
    finally:
        consumer.close()
