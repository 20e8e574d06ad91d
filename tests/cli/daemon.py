"""A daemon of a few canned answers on a real socket, which keeps what it was asked."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any


class FakeDaemon:
    """``answers``: (status, body) by path; bytes go out as they are, the rest as JSON."""

    def __init__(self, answers: dict[str, tuple[int, Any]]) -> None:
        self.asked: list[tuple[str, str, dict[str, str], Any]] = []
        asked = self.asked

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.answer(None)

            def do_POST(self) -> None:
                self.answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

            def do_PUT(self) -> None:
                self.do_POST()

            def do_DELETE(self) -> None:
                self.answer(None)

            def answer(self, body: Any) -> None:
                asked.append((self.command, self.path, dict(self.headers), body))
                status, found = answers.get(self.path, (404, {"message": "No such path"}))
                data = found if isinstance(found, bytes) else json.dumps(found).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self) -> FakeDaemon:
        # the default poll of 0.5 s would be waited for at each stop
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()
