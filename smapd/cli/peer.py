"""A running daemon as the commands see it: where it answers, and its answers as values.

Blocking, on the standard library's client: a command that asks one question need not load Twisted.
No proxy is asked and no redirect followed, for the daemon is on this machine or named by its URL.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit

from smapd.errors import NotRunning, SmapError

from .directories import directory

TIMEOUT_S: Final = 10.0
DEFAULT_URL: Final = "http://127.0.0.1:8080"
DEFAULT_DATA_DIR: Final = "smapd-data"

_MOST_BYTES: Final = 64 * 1024 * 1024
_TOKEN_HINT: Final = "Set SMAPD_TOKEN, or name a file that holds the token with --token-file."


def arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments that name a running daemon."""
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--url", help=f"where the daemon answers, like {DEFAULT_URL}")
    where.add_argument(
        "--data-dir",
        type=directory,
        metavar="DIR",
        help="the data directory that it runs on",
    )
    parser.add_argument(
        "--token-file", metavar="FILE", help="holds the daemon's token; else SMAPD_TOKEN is taken"
    )
    parser.add_argument("--ca", metavar="FILE", help="certificate that an https daemon is known by")


def find(args: argparse.Namespace) -> Peer:
    """The daemon that the arguments name.

    Without one: that of ``smapd-data`` in the working directory, else what answers on port 8080.

    :raises NotRunning: if none runs on the data directory, or it has no HTTP.
    :raises SmapError: if the URL, token file or certificate cannot be used.
    """
    token = token_of(args.token_file)
    if args.url is not None:
        return Peer(args.url, token, args.ca)
    directory = args.data_dir or DEFAULT_DATA_DIR
    try:
        from smapd.storage import read_daemon  # here: it brings Twisted, which costs 0.1 s

        daemon = read_daemon(directory)
    except NotRunning:
        if args.data_dir is not None:
            raise
        return Peer(DEFAULT_URL, token, args.ca)
    if not daemon.url:
        raise NotRunning(
            f"the daemon with pid {daemon.pid} has no HTTP, or not yet.",
            hint="It answers once it is ready, unless it was started with --no-http.",
        )
    return Peer(daemon.url, token, args.ca)


def at(args: argparse.Namespace, url: str) -> Peer:
    """The daemon that answers there, with the token and certificate of the arguments."""
    return Peer(url, token_of(args.token_file), args.ca)


def stranger(url: str, why: str) -> SmapError:
    """What to raise when something else than a smapd answers at a URL."""
    return SmapError(f"what answers at {url} is no smapd: {why}.")


class Answered(SmapError):
    """The daemon answers an error.

    ``status``: of HTTP. ``retry_after_s``: the pause that it asks for, None without.
    """

    code = "answered"

    def __init__(
        self, message: str, *, hint: str = "", status: int = 0, retry_after_s: float | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.status, self.retry_after_s = status, retry_after_s


class Peer:
    """One daemon, by its URL. A connection each call."""

    def __init__(self, url: str, token: str = "", ca: str | None = None) -> None:
        """:raises SmapError: if the URL or the certificate cannot be used."""
        self.url: Final = url.rstrip("/")
        self.timeout_s = TIMEOUT_S
        self._token = token
        try:
            parts = urlsplit(self.url)
            host, port = parts.hostname, parts.port
        except ValueError:
            host = None
        if not host or parts.scheme not in ("http", "https") or parts.query or parts.fragment:
            raise SmapError(f"{url!r} is not the URL of a daemon; write one like {DEFAULT_URL}.")
        self._host, self._port, self._base = host, port, parts.path
        self._tls: ssl.SSLContext | None = None
        if parts.scheme == "https":
            try:
                self._tls = ssl.create_default_context(cafile=ca)
            except OSError as e:
                raise SmapError(f"certificate {ca}: {e.strerror or e}.") from e

    def get(self, path: str, query: Mapping[str, Any] | None = None) -> Any:
        """What GET answers for this path (not quoted yet), decoded.

        :raises NotRunning: if nobody answers there.
        :raises Answered: if it answers an error, with its sentence.
        :raises SmapError: if it answers no JSON.
        """
        return self._ask("GET", path, query=query)

    def post(self, path: str, body: Any) -> Any:
        """What POST answers to this body, decoded. Raises as ``get`` does."""
        return self._ask("POST", path, json.dumps(body).encode())

    def put(self, path: str, body: Any) -> Any:
        """What PUT answers to this body, decoded. Raises as ``get`` does."""
        return self._ask("PUT", path, json.dumps(body).encode())

    def delete(self, path: str) -> Any:
        """What DELETE answers, decoded. Raises as ``get`` does."""
        return self._ask("DELETE", path)

    @contextmanager
    def stream(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, Any] | None = None,
        silence_s: float | None = None,
    ) -> Iterator[http.client.HTTPResponse]:
        """An answer to be read bit by bit; ``silence_s``: how long nothing may come of it.

        Raises as ``get`` does; what goes wrong while it is read is told the same way.
        """
        connection = self._connection()
        if silence_s is not None:
            connection.timeout = silence_s
        sent = dict(headers or {})
        if self._token:
            sent["Authorization"] = f"Bearer {self._token}"
        where = self._where(path, query)
        try:
            connection.request(method, where, body, sent)
            response = connection.getresponse()
            if response.status >= 300:
                try:
                    answer = json.loads(response.read(_MOST_BYTES))
                except (ValueError, RecursionError):
                    answer = None
                raise self._refusal(response, answer)
            yield response
        except (OSError, http.client.HTTPException) as e:
            reason = _reason(e, silence_s or self.timeout_s)
            if isinstance(e, http.client.IncompleteRead):
                reason = "the answer was cut off"
            raise NotRunning(f"no daemon answers at {self.url}: {reason}.") from e
        finally:
            connection.close()

    def send(self, method: str, path: str, body: bytes) -> Any:
        """What is answered to these bytes, decoded. Raises as ``get`` does."""
        return self._ask(method, path, body)

    def get_bytes(self, path: str) -> bytes:
        """What GET answers for this path, as it comes.

        :raises NotRunning: if nobody answers there.
        :raises Answered: if it answers an error, with its sentence.
        """
        found = self._ask("GET", path, raw=True)
        assert isinstance(found, bytes)
        return found

    def _ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        query: Mapping[str, Any] | None = None,
        raw: bool = False,
    ) -> Any:
        headers = {"Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        connection = self._connection()
        try:
            where = self._where(path, query)
            connection.request(method, where, body, headers)
            response = connection.getresponse()
            status, data = response.status, response.read(_MOST_BYTES + 1)
        except (OSError, http.client.HTTPException) as e:
            reason = _reason(e, self.timeout_s)
            raise NotRunning(f"no daemon answers at {self.url}: {reason}.") from e
        finally:
            connection.close()
        if len(data) > _MOST_BYTES:
            raise SmapError(f"the answer of {self.url} is longer than 64 MiB.")
        if raw and status == 200:
            return data
        try:
            answer = json.loads(data) if data else None
        except (ValueError, RecursionError):
            answer = None if status >= 400 else data
        if isinstance(answer, bytes):
            raise stranger(self.url, "its answer is not JSON")
        if status >= 300:
            raise self._refusal(response, answer)
        return answer

    def _where(self, path: str, query: Mapping[str, Any] | None) -> str:
        try:
            return self._base + quote(path) + (f"?{urlencode(query)}" if query else "")
        except UnicodeEncodeError:  # bytes of the command line that are no UTF-8
            raise SmapError(f"{printable(path)}: not a text in UTF-8.") from None

    def _connection(self) -> http.client.HTTPConnection:
        if self._tls is not None:
            return http.client.HTTPSConnection(
                self._host, self._port, timeout=self.timeout_s, context=self._tls
            )
        return http.client.HTTPConnection(self._host, self._port, timeout=self.timeout_s)

    def _refusal(self, response: http.client.HTTPResponse, answer: Any) -> Answered:
        status = response.status
        found = answer if isinstance(answer, dict) else {}
        message = found.get("message") or f"{self.url} answers {status} {response.reason}."
        hint = _TOKEN_HINT if status == 401 else found.get("hint") or ""
        after = response.headers.get("Retry-After", "")
        return Answered(
            printable(str(message)),
            hint=printable(str(hint)),
            status=status,
            retry_after_s=float(after) if after.isascii() and after.isdigit() else None,
        )


def printable(text: str) -> str:
    """Text from elsewhere, without what could steer a terminal."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def token_of(file: str | None) -> str:
    """The token from the file or else the environment; "" without one."""
    if file is None:
        token = os.environ.get("SMAPD_TOKEN", "")
        where = "SMAPD_TOKEN"
    else:
        where = f"token file {file}"
        try:
            with open(file, encoding="utf-8") as f:
                token = f.read(64 * 1024)
        except OSError as e:
            raise SmapError(f"{where}: {e.strerror or e}.") from e
        except UnicodeDecodeError:
            raise SmapError(f"{where} is not text.") from None
    token = token.strip()
    if file is not None and not token:
        raise SmapError(f"{where} is empty.")
    if not (token.isascii() and token.isprintable()):
        raise SmapError(f"{where} holds what no header can carry; is it the right one?")
    return token


def _reason(e: Exception, timeout_s: float) -> str:
    if isinstance(e, TimeoutError):
        return f"nothing came for {timeout_s:.0f} s"
    if isinstance(e, ssl.SSLCertVerificationError):
        return f"{e.verify_message}; name its certificate with --ca"
    text = str(getattr(e, "strerror", None) or e or type(e).__name__).rstrip(".")
    return printable(text[:1].lower() + text[1:])
