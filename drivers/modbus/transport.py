"""One connection to a Modbus/TCP device: a request out, its answer in, one at a time.

pymodbus has a client for threads too. It is not used, since it waits with ``select``, which fails
in a process with more than 1023 open files, measures its timeouts by the wall clock, takes an
answer of another function or length for the right one, and leaves the connection open after a
timeout, so that a late answer meets the next request.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol, TypeVar

from smapd.driver import MissingExtra
from smapd.driver.turns import Turns

from .faults import Garbled, Lost
from .registers import Table

if TYPE_CHECKING:  # it needs pymodbus, which may be missing
    from .codec import Codec, Frame

T = TypeVar("T")

_CHUNK = 4096
_MOST_STRAY_BYTES = 64 * 1024
_NUMBERS = 0x10000


class Link(Protocol):
    """Bytes out, bytes in. ``stop`` may come from any thread, all else from one."""

    name: str

    @property
    def is_open(self) -> bool:
        """Whether there is a connection."""

    def open(self, timeout_s: float) -> None:
        """Connect.

        :raises OSError: if that fails.
        """

    def send(self, data: bytes, timeout_s: float) -> None:
        """Send all of it.

        :raises OSError: if the connection is gone.
        """

    def receive(self, timeout_s: float) -> bytes:
        """What came, at least one byte; with a timeout of 0 what is there already.

        :raises TimeoutError: if nothing came.
        :raises OSError: if the connection is gone.
        """

    def close(self) -> None:
        """Close the connection, if it is open."""

    def stop(self) -> None:
        """Close it, and wake whoever waits for it with an OSError; it opens no more."""


class TcpLink:
    """A ``Link`` over a TCP socket."""

    def __init__(self, host: str, port: int) -> None:
        self.name = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._where = (host, port)
        self._sock: socket.socket | None = None
        self._is_stopped = False

    @property
    def is_open(self) -> bool:
        """Whether there is a connection."""
        return self._sock is not None

    def open(self, timeout_s: float) -> None:
        """As ``Link.open``; the name's resolution is not bound by the timeout."""
        self._check()
        self._sock = sock = socket.create_connection(self._where, timeout_s)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._check()  # stop may have come while it connected, and have found nothing to close

    def send(self, data: bytes, timeout_s: float) -> None:
        """As ``Link.send``."""
        sock = self._open()
        sock.settimeout(timeout_s)
        sock.sendall(data)

    def receive(self, timeout_s: float) -> bytes:
        """As ``Link.receive``."""
        sock = self._open()
        sock.settimeout(timeout_s)
        try:
            data = sock.recv(_CHUNK)
        except BlockingIOError:  # what a timeout of 0 says
            raise TimeoutError("nothing there") from None
        self._check()
        if not data:
            raise ConnectionResetError("the device closed the connection")
        return data

    def close(self) -> None:
        """As ``Link.close``."""
        sock, self._sock = self._sock, None
        if sock is not None:
            sock.close()

    def stop(self) -> None:
        """As ``Link.stop``. The thread that uses the socket closes it, so that its number is not
        given to another file while that thread still waits on it."""
        self._is_stopped = True
        sock = self._sock
        if sock is not None:
            with contextlib.suppress(OSError):  # the other side was faster
                sock.shutdown(socket.SHUT_RDWR)

    def _open(self) -> socket.socket:
        self._check()
        if self._sock is None:
            raise ConnectionResetError("not connected")
        return self._sock

    def _check(self) -> None:
        if self._is_stopped:
            self.close()
            raise ConnectionAbortedError("stopped")


class Transport:
    """Reads and writes of one device, one after another; any thread.

    ``pause_s`` is waited before each request: after connecting, and after the answer before.
    ``timeout_s`` bounds the connecting, and each answer from its request to its last byte.
    """

    def __init__(
        self,
        link: Link,
        codec: Codec,
        *,
        timeout_s: float,
        pause_s: float = 0.0,
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        self.strays = 0
        """Frames that answered nothing that was asked, since the start."""
        self._link, self._codec = link, codec
        self._timeout_s, self._pause_s = timeout_s, pause_s
        self._seconds = seconds
        self._number = 0
        self._data = b""  # came on this connection, and is not a whole frame yet
        self._may_reconnect = False
        self._is_busy = False
        self._is_stopped = False
        self._was_sent = False  # the request of this exchange, or a part of it perhaps
        self._turns = Turns()

    def begin(self) -> None:
        """A round of reads begins. A connection from an earlier one may have died unnoticed: the
        first loss of this round is made good once, on a new connection."""
        self._may_reconnect = self._link.is_open

    def read(self, unit: int, table: Table, address: int, count: int) -> Sequence[int]:
        """``count`` words or bits of a table, from ``address`` on.

        :raises Lost: if there is no connection, or no answer in time.
        :raises Garbled: if an answer came that is none to this request.
        :raises Refused: if the device refuses.
        """

        def exchange() -> Sequence[int]:
            message, _request = self._exchange(
                unit, lambda number: self._codec.request(number, unit, table, address, count)
            )
            return self._codec.answer(message, table, count)

        with self._turns:
            return self._alone(exchange, self._is_lost_read)

    def write(
        self, unit: int, table: Table, address: int, values: Sequence[int], many: bool = False
    ) -> None:
        """Write these words, or bits, from ``address`` on; ``many``: see ``Codec.write_request``.

        One that may have reached the device is never sent twice.

        :raises Lost: if there is no connection, or no answer in time; it may be written then.
        :raises Garbled: if an answer came that is none to this request.
        :raises Refused: if the device refuses.
        """

        def exchange() -> None:
            message, request = self._exchange(
                unit,
                lambda number: self._codec.write_request(
                    number, unit, table, address, values, many
                ),
            )
            self._codec.check_written(message, request)

        with self._turns:
            was_open = self._link.is_open
            self._alone(exchange, lambda: was_open and not self._was_sent)

    def close(self) -> None:
        """Close the connection, once no exchange is under way; the next one opens another."""
        with self._turns:
            self._close()

    def stop(self) -> None:
        """Close it for good, from any thread; an exchange under way ends with Lost at once."""
        self._is_stopped = True
        self._link.stop()
        if not self._is_busy:
            self._close()

    def _is_lost_read(self) -> bool:
        """Whether a read that was lost may be tried once more: the first of a round."""
        may, self._may_reconnect = self._may_reconnect, False
        return may

    def _alone(self, exchange: Callable[[], T], again: Callable[[], bool]) -> T:
        """An exchange, and once more if it was lost and ``again`` says so; inside a turn."""
        self._is_busy = True
        try:
            try:
                return exchange()
            except Lost:
                if self._is_stopped or not again():
                    raise
                return exchange()
        finally:
            self._is_busy = False
            if self._is_stopped:
                self._close()

    def _close(self) -> None:
        self._data = b""
        self._link.close()

    def _exchange(self, unit: int, frame: Callable[[int], bytes]) -> tuple[bytes, bytes]:
        """What was answered to a request, of the number it is given; and the request."""
        link = self._link
        self._was_sent = False
        try:
            if not link.is_open:
                self._connect()
            self._drain()
            self._number = (self._number + 1) % _NUMBERS
            request = frame(self._number)
            self._was_sent = True
            link.send(request, self._timeout_s)
            return self._await(self._number, unit), request
        except TimeoutError:
            self._close()  # what comes later must not meet the next request
            raise Lost(f"{link.name} gave no answer within {self._timeout_s:g} s") from None
        except OSError as e:
            self._close()
            raise Lost(f"{link.name}: {_why(e)}") from e
        except Garbled as e:
            self._close()  # where the next frame begins, nobody knows
            raise Lost(f"{link.name}: {e}") from e

    def _connect(self) -> None:
        try:
            self._link.open(self._timeout_s)
        except OSError as e:
            self._close()
            raise Lost(f"cannot connect to {self._link.name}: {_why(e)}") from e

    def _drain(self) -> None:
        """Let the pause go by; what comes unasked is no answer to what is asked next."""
        deadline_s = self._seconds() + self._pause_s
        dropped = 0
        while True:
            try:
                data = self._link.receive(max(deadline_s - self._seconds(), 0.0))
            except TimeoutError:
                return
            dropped += len(data)
            if dropped > _MOST_STRAY_BYTES:
                raise Garbled("it sends without being asked")
            self._data += data
            while self._next() is not None:
                self.strays += 1

    def _await(self, number: int, unit: int) -> bytes:
        deadline_s = self._seconds() + self._timeout_s
        while True:
            frame = self._next()
            if frame is None:
                left_s = deadline_s - self._seconds()
                if left_s <= 0:
                    raise TimeoutError
                self._data += self._link.receive(left_s)
            elif (frame.number, frame.unit) == (number, unit):
                return frame.message
            else:
                self.strays += 1

    def _next(self) -> Frame | None:
        frame, size = self._codec.first(self._data)
        self._data = self._data[size:]
        return frame


def load_codec() -> Codec:
    """The codec.

    :raises MissingExtra: if pymodbus is not installed, or is one that this was not written for.
    """
    try:
        from .codec import Codec
    except ImportError as e:
        raise MissingExtra(
            f"Modbus needs the package pymodbus 3.16 ({e}).",
            hint="Install it: pip install 'smapd[modbus]'",
        ) from e
    return Codec()


def _why(error: OSError) -> str:
    if isinstance(error, TimeoutError):
        return "timed out"
    return (error.strerror or str(error) or type(error).__name__).rstrip(".")
