"""The one queue through which every reading reaches the tree.

`put` runs on any thread: check, queue, and wake the home thread if it is not awake already; it
never waits. `drain` runs on the home thread: one wake-up takes all there is, gives each reading its
seq, keeps the last ones, and hands one batch on. What does not fit travels the same way, so that
counting needs no lock.

The queue is a flat list, described in `batches`. ``extend`` with a tuple, and slicing, are each one
step that no other thread can come between; and nothing in it is for the garbage collector to
follow: tuples in a deque cost 0.3 us a reading in collections alone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from itertools import repeat
from typing import Any, Final, Protocol

from smapd.values import GOOD, Batch, Block, Level, Quality

from .batches import STAMPED, WIDTH, Drained
from .columns import column, fit_columns
from .fitting import Unfit, fit_quality, fit_seqno
from .listeners import Fault
from .losses import Losses
from .nodes import Timeseries

QUEUE_LIMIT: Final = 1_000_000
ROUNDS: Final = 16
"""How often one drain looks again for what its own listeners added. What is left after that waits
for the next wake-up: a listener that answers every reading with one would hold the thread."""


class Home(Protocol):
    """Calls on the home thread; ``IThreads.to_reactor`` is one."""

    def __call__(self, f: Callable[..., Any], *args: Any, wait: bool = True) -> Any: ...


def straight(f: Callable[..., Any], *args: Any, wait: bool = True) -> Any:
    """The home before there is a reactor: the calling thread itself."""
    return f(*args)


class Inbox:
    """The queue of one tree.

    ``now``: int ms UTC. ``deliver``: takes each batch, on the home thread. ``limit``: readings that
    may wait; more are lost, counted, and leave a gap in their stream's seq.
    ``stamp_note``: asked once a drain; a Quality is what good readings stamped by `put` carry.
    """

    def __init__(
        self,
        now: Callable[[], int],
        home: Home,
        deliver: Callable[[Batch], None],
        fault: Fault,
        limit: int = QUEUE_LIMIT,
    ) -> None:
        self.home = home
        self.stamp_note: Callable[[], Quality | None] | None = None
        self.taken = 0
        self.refused = 0
        self.dropped = 0
        self.refusals: dict[Timeseries, tuple[int, str]] = {}
        self._now = now
        self._deliver = deliver
        self._fault = fault
        self._limit = limit
        self._room = limit * WIDTH  # in items; a block lowers it, a drain restores it
        self._queue: list[Any] = []
        self._awake = False
        self._turn = [None]  # whoever can pop it drains
        self._losses = Losses()
        self._log_losses_at = 1

    def put(self, stream: Timeseries, time_or_value: Any, value: Any = ...) -> None:
        """Queue one good reading; any thread. ``value`` Ellipsis: the argument before is it."""
        shape = stream._shape
        item: tuple[Any, ...]
        try:
            if value is ...:
                item = (stream, self._now(), shape.fit(time_or_value), STAMPED)
            else:
                item = (stream, shape.to_ms(time_or_value), shape.fit(value), None)
        except Unfit as unfit:
            self._refuse(stream, 1, str(unfit))
            return
        queue = self._queue
        if len(queue) < self._room:
            queue.extend(item)
        else:
            self._losses.lose(stream, 1)
        if not self._awake:
            self._wake()

    def put_qualified(
        self, stream: Timeseries, time_or_value: Any, value: Any, seqno: Any, quality: Any
    ) -> None:
        """`put` of a reading with a quality, or with a number of the driver's own."""
        shape = stream._shape
        try:
            is_stamped = value is ...
            if is_stamped:
                value = time_or_value
                ms = self._now()
            else:
                ms = shape.to_ms(time_or_value)
            quality = GOOD if quality is None else fit_quality(quality)
            value = None if quality.level is Level.BAD else shape.fit(value)
            if quality == GOOD:
                quality = STAMPED if is_stamped else None
            at: Any = ms if seqno is None else (ms, fit_seqno(seqno))
        except Unfit as unfit:
            self._refuse(stream, 1, str(unfit))
            return
        if len(self._queue) < self._room:
            self._queue.extend((stream, at, value, quality))
        else:
            self._losses.lose(stream, 1)
        self.wake()

    def put_many(self, stream: Timeseries, times: Any, values: Any, quality: Any = None) -> None:
        """Queue a block; any thread.

        :raises TypeError: if a column is none.
        :raises ValueError: if the columns differ in length.
        """
        at = column(times, "Times")
        is_bad = isinstance(quality, Quality) and quality.level is Level.BAD
        found = None if is_bad and values is None else column(values, "Values")
        if found is not None and len(at) != len(found):
            raise ValueError(
                f"{stream.path}: {len(at)} times for {len(found)} values; give as many of each."
            )
        if not at:
            return
        try:
            quality = GOOD if quality is None else fit_quality(quality)
        except Unfit as unfit:
            self._refuse(stream, len(at), str(unfit))
            return
        ms, kept, refused, why = fit_columns(stream._shape, at, None if is_bad else found)
        if ms:
            self.put_block(stream, ms, kept, quality)
        if refused:
            self._refuse(stream, refused, why)

    def put_block(self, stream: Timeseries, ms: list[int], values: Any, quality: Quality) -> None:
        """Queue a block that was checked; any thread. The lists are given away."""
        size = len(ms)
        if self.has_room(size):
            self._room -= (size - 1) * WIDTH
            self._queue.extend((stream, ms, values, quality))
        else:
            self._losses.lose(stream, size)
        self.wake()

    def waiting(self) -> int:
        """How many readings, blocks and refusals are queued; any thread."""
        return len(self._queue) // WIDTH

    def has_room(self, readings: int) -> bool:
        """Whether so many more may wait."""
        return len(self._queue) + readings * WIDTH <= self._room

    def put_checked(self, items: list[Any]) -> None:
        """Queue items as they are in the queue, all in one step and without a wake-up."""
        self._queue.extend(items)

    def wake(self) -> None:
        """Have the home thread drain, unless it is about to; any thread."""
        if not self._awake:
            self._wake()

    def drain(self) -> int:
        """Take all that is queued; the number of readings taken. Home thread.

        Called from within itself, by a listener that adds, it leaves the work to the outer call.
        """
        self._awake = False
        taken = 0
        for _ in repeat(None, ROUNDS):
            if not self._queue and not self._losses.fresh:
                break
            try:
                self._turn.pop()
            except IndexError:
                break
            try:
                taken += self._take()
            finally:
                self._turn.append(None)
            if self._awake:  # another thread has called for a drain of its own
                break
        return taken

    def forget(self, stream: Timeseries) -> None:
        """This stream leaves the tree; home thread, after a drain."""
        self.refusals.pop(stream, None)
        self._losses.forget(stream)

    def _wake(self) -> None:
        self._awake = True
        try:
            self.home(self.drain, wait=False)
        except BaseException:
            self._awake = False
            raise

    def _refuse(self, stream: Timeseries, readings: int, why: str) -> None:
        if len(self._queue) < self._room:
            self._queue.extend((stream, None, readings, why))
        else:
            self._losses.lose(stream, readings)
        self.wake()

    def _take(self) -> int:
        self._room = self._limit * WIDTH
        queue = self._queue
        items = queue[:]
        del queue[: len(items)]
        note = self.stamp_note() if self.stamp_note is not None and items else None
        seqs: list[int | Block | None] = []
        put_seq = seqs.append
        nothing = block_readings = 0
        each = iter(items)
        for stream, ms, value, quality in zip(each, each, each, each, strict=True):
            if stream._inbox is None:  # removed since it was added
                self._count_gone(ms, value)
                put_seq(None)
                nothing += 1
                continue
            seqno = None
            if ms.__class__ is not int:
                if ms.__class__ is tuple:
                    ms, seqno = ms
                elif ms is None:
                    self._count_refusal(stream, value, quality)
                    put_seq(None)
                    nothing += 1
                    continue
                else:
                    put_seq(_block(stream, ms, value, quality))
                    block_readings += len(ms) - 1
                    continue
            seq = stream.next_seq
            stream.next_seq = seq + 1
            put_seq(seq)
            row = (ms, value, note if quality is STAMPED else quality, seq, seqno)
            held = stream._held
            if held.__class__ is deque:
                held.append(row)
            else:
                stream._held = row
        count = len(seqs) - nothing + block_readings
        if count:
            self.taken += count
            self._deliver(Drained(items, seqs, note, count))
        if self._losses.fresh:
            self._count_losses()
        return count

    def _count_gone(self, ms: Any, readings: Any) -> None:
        if ms is None:
            self.refused += readings
        else:
            self.dropped += len(ms) if isinstance(ms, list) else 1

    def _count_refusal(self, stream: Timeseries, readings: int, why: str) -> None:
        self.refused += readings
        before = self.refusals.get(stream)
        self.refusals[stream] = ((before[0] if before else 0) + readings, why)
        if before is None:
            self._fault(
                f"{stream.path}: a reading was refused: {why}. More of this stream are counted, "
                "and not logged.",
                None,
            )

    def _count_losses(self) -> None:
        for stream, readings in self._losses.collect():
            stream.next_seq += readings  # so that whoever follows the seq sees the gap
            self.dropped += readings
        if self.dropped >= self._log_losses_at:
            self._log_losses_at = 2 * self.dropped  # a long flood makes few lines
            self._fault(
                f"{self.dropped} readings were lost so far: {self._limit} were waiting to be taken "
                "into the tree, and no more may.",
                None,
            )


def _block(stream: Timeseries, ms: list[int], values: Any, quality: Quality) -> Block:
    """The block with its seq; the stream keeps the last of it."""
    first = stream.next_seq
    stream.next_seq = first + len(ms)
    said = None if quality == GOOD else quality
    held = stream._held
    for i in range(max(0, len(ms) - stream._shape.buffersz), len(ms)):
        row = (ms[i], values[i], said, first + i, None)
        if held.__class__ is deque:
            held.append(row)
        else:
            stream._held = row
    return Block(ms, values, quality, first)
