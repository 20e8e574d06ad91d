"""Everything below a place, sent in pieces: memory for one piece, and the reactor for a moment.

All such answers share one pacer, so that twenty clients hold the reactor no longer than one does.
A piece is a few hundred nodes; a client that does not take them stops its own answer alone.
"""

# Twisted's own methods have no types.
# mypy: disable-error-code="no-untyped-call"
from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.interfaces import IPushProducer
from twisted.internet.task import Cooperator, TaskStopped
from twisted.python.failure import Failure
from zope.interface import implementer

from smapd.errors import Busy
from smapd.interfaces import INode

from .encoding import encode
from .errors import answer_bug
from .request import gzip_packer

if TYPE_CHECKING:
    from .request import Request
    from .timers import Timers

PIECE_NODES: Final = 256
"""Usually about a quarter of a millisecond."""
_PIECE_S = 0.001
"""A piece ends early when its nodes take so long: some have thousands of readings."""
_LOOK_EACH = 16
"""Nodes between two looks at the clock."""
TURN_S: Final = 0.004
"""How long the pacer holds the reactor at a time."""
_TURN_PIECES: Final = 16
WHOLE_BYTES: Final = 256 * 1024
MOST_STREAMS: Final = 64


class Pacer:
    """Lets streams take turns on the reactor."""

    def __init__(self, clock: Timers) -> None:
        self._clock = clock
        self._cooperator = Cooperator(self._turn, self._next_turn)
        self.running = 0

    def send(self, request: Request, nodes: Iterator[tuple[str, INode]], quality: bool) -> None:
        """Answer ``request`` with ``{relative path: node}`` of these nodes.

        What is ready within one turn goes out whole, with its length; the rest in chunks.

        :raises Busy: if too many streams are under way already.
        """
        begun = []
        size = 0
        # many such requests may come in one turn of the reactor, so only the first may fill it
        is_over = self._turn(TURN_S / 4 if self.running else TURN_S)
        while piece := self.encode_piece(nodes, quality):
            begun.append(piece)
            size += len(piece)
            if size > WHOLE_BYTES or is_over():
                break
        else:
            request.respond(200, b"{" + b",".join(begun) + b"}", request.extra_headers)
            return
        if self.running >= MOST_STREAMS:
            raise Busy(f"{MOST_STREAMS} clients are being sent large answers already.")
        _Stream(self, request, b"{" + b",".join(begun), nodes, quality).start()

    def cooperate(self, steps: Iterator[None]) -> Any:
        """Run ``steps`` by turns with all others."""
        return self._cooperator.cooperate(steps)

    def encode_piece(self, nodes: Iterator[tuple[str, INode]], quality: bool) -> bytes:
        """The next nodes as the inside of a JSON object, b"" when there are none left."""
        told: dict[str, Any] = {}
        until_s = self._clock.seconds() + _PIECE_S
        while len(told) < PIECE_NODES:
            before = len(told)
            for path, node in islice(nodes, _LOOK_EACH):
                told[path] = node.as_json(quality)
            if len(told) == before or self._clock.seconds() >= until_s:
                break
        return encode(told)[1:-1]

    def _turn(self, for_s: float = TURN_S) -> Callable[[], bool]:
        until_s = self._clock.seconds() + for_s
        left = _TURN_PIECES

        def is_over() -> bool:
            nonlocal left
            left -= 1
            return left <= 0 or self._clock.seconds() >= until_s

        return is_over

    def _next_turn(self, turn: Callable[[], None]) -> Any:
        return self._clock.later(0, turn)


@implementer(IPushProducer)
class _Stream:
    """One answer under way."""

    def __init__(
        self,
        pacer: Pacer,
        request: Request,
        begun: bytes,
        nodes: Iterator[tuple[str, INode]],
        quality: bool,
    ) -> None:
        self._pacer, self._request, self._begun = pacer, request, begun
        self._nodes, self._quality = nodes, quality
        self._packer = gzip_packer() if request.takes_gzip() else None
        self._paused = False
        self._over = False

    def start(self) -> None:
        """Write the head and what is ready, and go on from the next turn."""
        headers = self._request.extra_headers
        if self._packer is not None:
            headers += b"Content-Encoding: gzip\r\n"
        self._pacer.running += 1
        self._request.finished_or_gone().addCallback(lambda _: self.stopProducing())
        self._request.begin(200, headers)
        self._task = self._pacer.cooperate(self._steps())
        self._task.whenDone().addErrback(self._failed)
        self._request.registerProducer(self, True)

    def pauseProducing(self) -> None:
        """The client takes no more for now."""
        if not self._paused and not self._over:
            self._paused = True
            self._task.pause()

    def resumeProducing(self) -> None:
        """It takes more."""
        if self._paused and not self._over:
            self._paused = False
            self._task.resume()

    def stopProducing(self) -> None:
        """It is gone, or has it all."""
        if self._end():
            self._task.stop()

    def _steps(self) -> Iterator[None]:
        self._write(self._begun)
        self._begun = b""
        yield
        while piece := self._pacer.encode_piece(self._nodes, self._quality):
            self._write(b"," + piece)
            yield
        self._write(b"}")
        if self._packer is not None:
            self._request.write(self._packer.flush())
        if self._end():
            self._request.unregisterProducer()
            self._request.finish()

    def _write(self, data: bytes) -> None:
        if self._packer is not None:
            data = self._packer.compress(data)
        if data:
            self._request.write(data)

    def _failed(self, failure: Failure) -> None:
        if failure.check(TaskStopped) is None and self._end():
            self._request.unregisterProducer()
            answer_bug(self._request, failure)

    def _end(self) -> bool:
        """Give up the place among the streams; False if that was done before."""
        if self._over:
            return False
        self._over = True
        self._pacer.running -= 1
        return True
