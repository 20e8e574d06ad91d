"""Bytes from an address: http, https or a file, within a time, a size and one host.

Knows no tree and no options. Every call may block, so it belongs on a poll thread, and each of them
ends by its deadline however slowly the other side dribbles: what is left of the time is set anew
before each look at the socket. Only the system's name lookup keeps its own time.
"""

from __future__ import annotations

import http.client
import io
import os
import socket
import ssl
import stat
import string
import zlib
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.message import Message
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, unquote, urljoin, urlsplit
from urllib.request import url2pathname

from smapd import __version__
from smapd.errors import DeviceUnavailable
from smapd.options import Secret

MOST_REDIRECTS: Final = 5
MOST_RETRY_AFTER_S: Final = 3600.0
_PIECE: Final = 64 * 1024
_PORTS: Final[Mapping[str, int]] = {"http": 80, "https": 443}
_MOVED: Final = frozenset({301, 302, 303, 307, 308})


class NotNow(DeviceUnavailable):
    """The server asks to be left alone for a while.

    Ask it again after ``after_s`` seconds, not before.
    """

    def __init__(self, message: str, after_s: float) -> None:
        super().__init__(message)
        self.after_s = after_s


@dataclass(frozen=True, slots=True)
class Validators:
    """What a server said of the body it sent, so that it need not send the same one again."""

    etag: str = ""
    last_modified: str = ""

    def headers(self) -> dict[str, str]:
        """The request headers that ask for a newer body only."""
        pairs = (("If-None-Match", self.etag), ("If-Modified-Since", self.last_modified))
        return {name: value for name, value in pairs if value}


@dataclass(frozen=True, slots=True)
class Body:
    """A body, decoded, and what to ask with the next time."""

    data: bytes
    validators: Validators = Validators()


@dataclass(frozen=True, slots=True)
class Credentials:
    """For Basic authentication; without a user name those of the address are taken, if any."""

    username: str = ""
    password: Secret = field(default_factory=lambda: Secret(""))


class Transfer:
    """Gets bodies, one call after another; it holds no connection between two calls."""

    def __init__(
        self,
        seconds: Callable[[], float],
        *,
        timeout_s: float,
        max_bytes: int,
        credentials: Credentials = Credentials(),
        headers: Mapping[str, Secret] | None = None,
        ca_file: Path | None = None,
    ) -> None:
        """``seconds``: a clock that only grows.

        ``timeout_s`` bounds one whole call, ``max_bytes`` one body, before and after it is
        unpacked. ``headers`` are sent along, and win over ours. ``ca_file``: trust this authority
        in place of the system's.
        """
        self._seconds, self._timeout_s, self._max_bytes = seconds, timeout_s, max_bytes
        self._credentials, self._ca_file = credentials, ca_file
        self._headers = dict(headers or {})
        self._tls: ssl.SSLContext | None = None

    def get(self, address: str, known: Validators = Validators()) -> Body | None:
        """The body at this address; None if it is the one that ``known`` belongs to, or is none.

        :raises DeviceUnavailable: if it cannot be had, in one sentence without a secret.
        :raises NotNow: a kind of it, if the server names a time to wait.
        """
        try:
            if urlsplit(address).scheme == "file":
                return Body(self._read_file(address))
            return self._get(address, known)
        except (OSError, http.client.HTTPException, UnicodeError) as error:
            raise DeviceUnavailable(f"{shown(address)}: {_why(error)}") from error

    # --- files

    def _read_file(self, address: str) -> bytes:
        name = url2pathname(urlsplit(address).path)
        # not blocking: opening a pipe would wait until somebody writes to it
        handle = os.open(name, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with open(handle, "rb") as f:
            if not stat.S_ISREG(os.fstat(f.fileno()).st_mode):
                raise DeviceUnavailable(f"{shown(address)} is no plain file")
            data = f.read(self._max_bytes + 1)
        if len(data) > self._max_bytes:
            raise self._too_large(address)
        return data

    # --- http

    def _get(self, address: str, known: Validators) -> Body | None:
        deadline_s = self._seconds() + self._timeout_s

        def left_s() -> float:
            left = deadline_s - self._seconds()
            if left <= 0:
                raise TimeoutError
            return left

        for _ in range(MOST_REDIRECTS + 1):
            parts = urlsplit(address)
            with self._connected(parts.scheme, parts.hostname or "", _port(address), left_s) as s:
                connection = self._connection(parts.scheme, parts.hostname or "", _port(address))
                connection.sock = _Timed(s, left_s)
                target = (parts.path or "/") + ("?" + parts.query if parts.query else "")
                target = quote(target, safe=string.punctuation)  # what is not ASCII, no more
                connection.request("GET", target, headers=self._request_headers(address, known))
                answer = connection.getresponse()
                if answer.status not in _MOVED:
                    return self._taken(address, answer, known)
                address = _moved(address, answer)
        raise DeviceUnavailable(f"{shown(address)} redirects more than {MOST_REDIRECTS} times")

    def _connected(
        self, scheme: str, host: str, port: int, left_s: Callable[[], float]
    ) -> socket.socket:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        last: OSError = OSError("it has no address")
        for n, (family, kind, protocol, _name, where) in enumerate(found):
            plain = socket.socket(family, kind, protocol)
            try:
                plain.settimeout(left_s() / (len(found) - n))
                plain.connect(where)
                plain.settimeout(left_s())
                if scheme != "https":
                    return plain
                return self._context().wrap_socket(plain, server_hostname=host)
            except ssl.SSLError:
                plain.close()
                raise
            except OSError as error:
                plain.close()
                last = error
        raise last

    def _context(self) -> ssl.SSLContext:
        if self._tls is None:  # it reads the system's authorities: once is enough
            self._tls = ssl.create_default_context(cafile=self._ca_file)
        return self._tls

    def _connection(self, scheme: str, host: str, port: int) -> http.client.HTTPConnection:
        if scheme == "https":
            return http.client.HTTPSConnection(host, port, context=self._context())
        return http.client.HTTPConnection(host, port)

    def _request_headers(self, address: str, known: Validators) -> dict[str, str]:
        headers = {
            "User-Agent": f"smapd/{__version__}",
            "Accept": "*/*",
            "Accept-Encoding": "gzip",
            "Connection": "close",
        } | known.headers()
        parts = urlsplit(address)
        name, password = self._credentials.username, self._credentials.password.reveal()
        if not name:
            name, password = unquote(parts.username or ""), unquote(parts.password or "")
        if name:
            token = b64encode(f"{name}:{password}".encode()).decode("ascii")
            headers["Authorization"] = f"Basic {token}"
        for own, value in self._headers.items():
            for ours in [ours for ours in headers if ours.lower() == own.lower()]:
                del headers[ours]
            headers[own] = value.reveal()
        return headers

    def _taken(
        self, address: str, answer: http.client.HTTPResponse, known: Validators
    ) -> Body | None:
        if answer.status == HTTPStatus.NO_CONTENT:
            return None
        if answer.status == HTTPStatus.NOT_MODIFIED and known != Validators():
            return None
        if answer.status != HTTPStatus.OK:
            raise _refused(address, answer)
        validators = Validators(
            answer.headers.get("ETag", ""), answer.headers.get("Last-Modified", "")
        )
        data = self._read(address, answer)
        encoding = answer.headers.get("Content-Encoding", "identity").strip().lower()
        if encoding in ("gzip", "x-gzip"):
            data = self._unpacked(address, data)
        elif encoding != "identity":
            raise DeviceUnavailable(f"{shown(address)} sent a body packed as {encoding[:20]!a}")
        return Body(data, validators)

    def _read(self, address: str, answer: http.client.HTTPResponse) -> bytes:
        promised = answer.length
        if promised is not None and promised > self._max_bytes:
            raise self._too_large(address)
        data = bytearray()
        while piece := answer.read(_PIECE):
            data += piece
            if len(data) > self._max_bytes:
                raise self._too_large(address)
        if promised is not None and len(data) < promised:
            raise DeviceUnavailable(
                f"{shown(address)} broke off after {len(data)} of {promised} bytes"
            )
        return bytes(data)

    def _unpacked(self, address: str, data: bytes) -> bytes:
        unpacker = zlib.decompressobj(16 + zlib.MAX_WBITS)
        try:
            plain = unpacker.decompress(data, self._max_bytes + 1)
        except zlib.error as error:
            raise DeviceUnavailable(f"{shown(address)} sent broken gzip: {error}") from error
        if len(plain) > self._max_bytes:
            raise self._too_large(address)
        if not unpacker.eof:
            raise DeviceUnavailable(f"{shown(address)} sent gzip that breaks off")
        return plain

    def _too_large(self, address: str) -> DeviceUnavailable:
        return DeviceUnavailable(
            f"{shown(address)} is larger than MaxBytes = {self._max_bytes}; nothing of it is taken"
        )


class _Timed:
    """A connected socket as http.client wants one, each of whose waits ends by the deadline."""

    def __init__(self, sock: socket.socket, left_s: Callable[[], float]) -> None:
        self._sock, self._left_s = sock, left_s

    def sendall(self, data: Any) -> None:
        self._sock.settimeout(self._left_s())
        self._sock.sendall(data)

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(_TimedReader(self._sock, self._left_s), _PIECE)

    def close(self) -> None:
        """The response is still read after this; who made the socket closes it."""


class _TimedReader(io.RawIOBase):
    def __init__(self, sock: socket.socket, left_s: Callable[[], float]) -> None:
        self._sock, self._left_s = sock, left_s

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._sock.settimeout(self._left_s())
        return self._sock.recv_into(buffer)


def shown(address: str) -> str:
    """The address as a log may have it: without user, password and query, which may hold a key."""
    parts = urlsplit(address)
    if parts.scheme == "file":
        return url2pathname(parts.path)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _port(address: str) -> int:
    parts = urlsplit(address)
    return parts.port or _PORTS[parts.scheme]


def _moved(address: str, answer: http.client.HTTPResponse) -> str:
    """Where to go on: the same host, never from https to http."""
    told = answer.headers.get("Location", "")
    old = urlsplit(address)
    try:
        where = urljoin(address, told)
        new = urlsplit(where)
        port = new.port
    except ValueError:
        raise DeviceUnavailable(f"{shown(address)} redirects to no address") from None
    is_same = (new.hostname or "").lower() == (old.hostname or "").lower() and (
        (new.scheme == old.scheme and (port or _PORTS[new.scheme]) == _port(address))
        or (old.scheme, new.scheme) == ("http", "https")
    )
    if not told or not is_same or not where.isprintable() or " " in where:
        raise DeviceUnavailable(
            f"{shown(address)} redirects to {ascii(shown(where)[:200])[1:-1]}, which is not "
            "followed. If it is meant, set Uri to it"
        )
    # the user of the address is meant for the host, which is the same
    user = old.netloc.rpartition("@")[0]
    bare = new.netloc.rpartition("@")[2]
    return new._replace(netloc=f"{user}@{bare}" if user else bare, fragment="").geturl()


def _refused(address: str, answer: http.client.HTTPResponse) -> DeviceUnavailable:
    try:
        word = HTTPStatus(answer.status).phrase
    except ValueError:
        word = ""
    text = f"{shown(address)} answered {answer.status} {word}".rstrip()
    after_s = _retry_after_s(answer.headers)
    return NotNow(text, after_s) if after_s else DeviceUnavailable(text)


def _retry_after_s(headers: Message) -> float:
    told = headers.get("Retry-After", "").strip()
    if not (told.isascii() and told.isdigit()):
        return 0.0  # a date would need the server's clock to be ours; our own pauses do then
    return min(float(told[:9]), MOST_RETRY_AFTER_S)


def _why(error: Exception) -> str:
    """What went wrong, without the number of the error and the words of a traceback."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"no TLS: {error.reason or error}"
    if isinstance(error, TimeoutError):
        return "no whole answer within Timeout"
    if isinstance(error, http.client.RemoteDisconnected):
        return "it hung up without an answer"
    if isinstance(error, http.client.IncompleteRead):
        return "it broke off in the middle of the body"
    if isinstance(error, http.client.HTTPException):
        return f"no HTTP answer ({type(error).__name__})"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
