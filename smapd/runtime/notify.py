"""What the service supervisor is told, and when: ready, stopping, alive.

The protocol is systemd's sd_notify(3): one datagram of ``NAME=value`` lines to the socket that
``NOTIFY_SOCKET`` names. A leading ``@`` is Linux's abstract namespace.
"""

from __future__ import annotations

import faulthandler
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from twisted.logger import Logger

from .threads import all_stacks

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from .clock import Clock, Repeating

T = TypeVar("T")
_log = Logger()


class Notifier:
    """Sends to the supervisor; without one it does nothing. Any thread; never blocks or raises."""

    def __init__(self, address: str | None) -> None:
        """``address``: the value of ``NOTIFY_SOCKET``; None or "" for no supervisor."""
        self._address = ""
        self._socket: socket.socket | None = None
        if not address:
            return
        if not address.startswith(("/", "@")):
            _log.warn(
                "NOTIFY_SOCKET={address} is neither a path nor @name; the supervisor is told "
                "nothing",
                address=address,
            )
            return
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.setblocking(False)

    @property
    def active(self) -> bool:
        """Whether there is a supervisor to tell."""
        return self._socket is not None

    def ready(self, status: str = "") -> None:
        """Everything is started."""
        self._send("READY=1", status)

    def stopping(self, status: str = "") -> None:
        """The stop has begun."""
        self._send("STOPPING=1", status)

    def status(self, text: str) -> None:
        """One line for ``systemctl status``."""
        self._send("", text)

    def alive(self) -> None:
        """Pet the watchdog."""
        self._send("WATCHDOG=1", "")

    def close(self) -> None:
        """Tell nothing more."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, state: str, status: str) -> None:
        if self._socket is None:
            return
        line = " ".join(status.split())
        text = "\n".join(part for part in (state, f"STATUS={line}" if line else "") if part)
        try:
            self._socket.sendto(text.encode(), self._address)
        except OSError as problem:
            _log.warn(
                "the supervisor could not be told {text}: {problem}", text=text, problem=problem
            )


class Moving(Protocol):
    """What the watchdog needs of ``Threads``."""

    def to_pool(self, name: str, f: Callable[..., T], *a: Any) -> Deferred[T]:
        """Call it on a pool's thread."""

    def moved(self) -> dict[str, int]:
        """How many jobs each pool has ended."""


class Watchdog:
    """Pets the supervisor's watchdog as long as everything that must move does.

    Each ``interval_s`` it hands an empty job to each pool of ``pools`` (the disk writers) and
    looks whether the last one came back. It runs on the reactor, so that it runs at all shows
    that the reactor moves. When a pool stands still the watchdog is not petted, and where every
    thread is goes to the log, once. When the reactor itself stands still nobody is left to look:
    then ``faulthandler`` writes the stacks, from C, after two intervals.
    """

    def __init__(
        self,
        clock: Clock,
        threads: Moving,
        notifier: Notifier,
        interval_s: float,
        pools: Sequence[str] = (),
        *,
        consumers: Callable[[], Sequence[str]] = tuple,
        dump_later: Callable[[float], None] | None = None,
        cancel_dump: Callable[[], None] = faulthandler.cancel_dump_traceback_later,
        stacks: Callable[[], str] = all_stacks,
    ) -> None:
        """``interval_s``: half of what ``WATCHDOG_USEC`` says; see ``watchdog_interval_s``.

        ``consumers``: names those of the readings whose delivery stands still by a mistake of ours;
        one that is away or slow is none of them.
        """
        self._consumers = consumers
        self._clock, self._threads, self._notifier = clock, threads, notifier
        self._interval_s = interval_s
        self._pools = tuple(pools)
        self._dump_later = dump_later if dump_later is not None else _dump_later
        self._cancel_dump = cancel_dump
        self._stacks = stacks
        self._posted: set[str] = set()
        self._moved = threads.moved()
        self._moved_s = dict.fromkeys(self._pools, clock.seconds())
        self._stuck: tuple[str, ...] = ()
        self._asked: set[str] = set()
        self._beat: Repeating | None = None

    def start(self) -> None:
        """Pet at once, and then each interval."""
        if self._beat is None:
            self._beat = self._clock.every(self._interval_s, self._look)
            self._look()

    def stop(self) -> None:
        """Pet no more, and write no stacks."""
        if self._beat is not None:
            self._beat.stop()
            self._beat = None
            self._cancel_dump()

    @property
    def stuck(self) -> tuple[str, ...]:
        """The pools that have not moved since the last look."""
        return self._stuck

    def _look(self) -> None:
        self._dump_later(2 * self._interval_s)
        now_s, moved = self._clock.seconds(), self._threads.moved()
        stuck = tuple(p for p in self._pools if p in self._asked and moved[p] == self._moved[p])
        stuck += tuple(self._consumers())
        for pool in set(self._pools) - set(stuck):
            self._moved_s[pool] = now_s
        if stuck and stuck != self._stuck:
            _log.error(
                "the watchdog is not petted: {pools} has not moved for {for_s:.1f} s\n{stacks}",
                pools=", ".join(stuck),
                for_s=now_s - min(self._moved_s.get(name, now_s) for name in stuck),
                stacks=self._stacks(),
            )
        elif self._stuck and not stuck:
            _log.warn("the watchdog is petted again: {pools} moves", pools=", ".join(self._stuck))
        if not stuck:
            self._notifier.alive()
        self._stuck, self._moved, self._asked = stuck, moved, set(self._pools)
        for pool in set(self._pools) - self._posted:
            self._posted.add(pool)
            self._threads.to_pool(pool, _nothing).addBoth(self._came_back, pool)

    def _came_back(self, _: object, pool: str) -> None:
        self._posted.discard(pool)


def watchdog_interval_s(environ: Mapping[str, str], pid: int) -> float | None:
    """How often to pet: half of ``WATCHDOG_USEC``; None if no watchdog waits for this process."""
    text = environ.get("WATCHDOG_USEC", "")
    whose = environ.get("WATCHDOG_PID", "")
    if not text.isascii() or not text.isdigit() or int(text) == 0:
        return None
    if whose and whose != str(pid):
        return None
    return int(text) / 2_000_000


def _nothing() -> None:
    pass


def _dump_later(after_s: float) -> None:
    faulthandler.dump_traceback_later(after_s, file=2)  # sys.stderr may be the log itself
