"""Calls the drivers' code of actuators, each under a time limit, and few at once.

A call holds a place among those that may run, for PLACE_S at most: after that the next one runs
beside it. One that does not return in time holds its thread for as long as it likes. It is given
up: whoever waits is told so, and its actuator takes no other call until it returns. The pool has
threads to spare for MOST_HUNG such calls. One driver may have half of the places, and so many
calls that hang; so neither a device nor a whole gateway can keep the others from being asked.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final
from weakref import WeakKeyDictionary

from twisted.internet.defer import (
    CancelledError,
    Deferred,
    DeferredLock,
    DeferredSemaphore,
    maybeDeferred,
)
from twisted.logger import Logger
from twisted.python.failure import Failure

from smapd.core import Actuator, DriverCalls
from smapd.errors import (
    ActuationTimeout,
    BadState,
    Busy,
    DeviceFailed,
    ShutdownRequested,
    SmapError,
)
from smapd.interfaces import IClock, IThreads
from smapd.values import Json

POOL: Final = "actuate"
AT_ONCE: Final = 8
PLACE_S: Final = 1.0
MOST_HUNG: Final = 64
MOST_HUNG_EACH: Final = 8
"""Of one driver."""
WAIT_S: Final = 10.0
"""How long a call may wait for its turn, in all."""

UserLoop = Callable[[Any], "Deferred[Any]"]


@dataclass(eq=False, slots=True)
class Call:
    """One call of a driver: ``name`` is get_state, set_state or release_state."""

    path: str
    name: str
    actuator: Actuator
    f: Callable[[], Any]
    began_s: float = 0.0

    def __str__(self) -> str:
        return f"{self.name} of {self.path}"


class Calls:
    """Runs calls; on the reactor's thread.

    ``pool``: its name; it has room for ``at_once`` and MOST_HUNG more. ``user_loop``: runs a
    coroutine on the users' loop, for drivers whose methods are async.
    """

    log = Logger()

    def __init__(
        self,
        threads: IThreads,
        clock: IClock,
        *,
        user_loop: UserLoop | None = None,
        pool: str = POOL,
        at_once: int = AT_ONCE,
    ) -> None:
        self._threads, self._clock, self._user_loop, self._pool = threads, clock, user_loop, pool
        self.each = max(1, (at_once + 1) // 2)
        """Calls of one driver that may run at once."""
        self._turns = DeferredSemaphore(at_once)
        self._turns_of: WeakKeyDictionary[DriverCalls, DeferredSemaphore] = WeakKeyDictionary()
        self._running: set[Call] = set()
        self._hung: dict[Actuator, Call] = {}
        self.hangs = 0
        """How many calls were given up since the start."""

    def refuse_if_hung(self, actuator: Actuator) -> None:
        """:raises ActuationTimeout: if the last call of this actuator has not returned yet."""
        call = self._hung.get(actuator)
        if call is not None:
            for_s = self._clock.seconds() - call.began_s
            raise ActuationTimeout(
                f"{call} has not returned for {for_s:.0f} s; the actuator takes no other call "
                "until it does."
            )

    async def run(self, call: Call) -> Any:
        """What the driver gives.

        :raises DeviceFailed: with the text of what it raised. BadState passes as it is.
        :raises ActuationTimeout: if it does not return within the actuator's time limit.
        :raises Busy: if it was not begun: too much is under way.
        """
        if call.actuator.calls.on_reactor:
            return await self._timed(call, maybeDeferred(self._on_reactor, call))
        if call.name in call.actuator.is_async:
            if self._user_loop is None:
                raise DeviceFailed(f"{call} is async def, and there is no loop for it here.")
            begun = call.actuator.calls.run(self._user_loop, call.f())
            return await self._timed(call, begun)
        wait_ends_s = self._clock.seconds() + WAIT_S
        own = self._turns_of.setdefault(call.actuator.calls, DeferredSemaphore(self.each))
        await self.turn(own, wait_ends_s, f"{call} was not begun: its driver is busy.")
        try:
            self._refuse_if_many_hang(call)
            await self.turn(self._turns, wait_ends_s, f"{call} was not begun: all are busy.")
            return await self._in_place(call)
        finally:
            own.release()

    async def turn(
        self, queue: DeferredLock | DeferredSemaphore, ends_s: float, else_why: str
    ) -> None:
        """Wait for a place in this queue, until then at most.

        :raises Busy: with this sentence, if there was none.
        """
        place = queue.acquire()
        if place.called:
            return
        timer = self._clock.later(max(0.0, ends_s - self._clock.seconds()), place.cancel)
        try:
            await place
        except CancelledError:
            raise Busy(else_why) from None
        finally:
            timer.discard()

    def status(self) -> dict[str, Json]:
        """What is under way, what hangs, and for how long."""
        now_s = self._clock.seconds()
        return {
            "running": len(self._running),
            "waiting": len(self._turns.waiting)
            + sum(len(turns.waiting) for turns in self._turns_of.values()),
            "hanging": [
                {"call": str(call), "seconds": round(now_s - call.began_s, 1)}
                for call in self._hung.values()
            ],
            "hangs": self.hangs,
        }

    # --- where the code runs

    def _on_reactor(self, call: Call) -> Any:
        calls = call.actuator.calls
        since_s = self._clock.seconds()
        try:
            result = calls.run(call.f)
            if call.name in call.actuator.is_async:
                result = Deferred.fromCoroutine(result)
            return result
        finally:
            if calls.took is not None:
                calls.took(self._clock.seconds() - since_s)

    async def _timed(self, call: Call, work: Deferred[Any]) -> Any:
        """Wait for what can be cancelled."""
        call.began_s = self._clock.seconds()
        limit_s = call.actuator.timeout_s
        is_late = False

        def give_up() -> None:
            nonlocal is_late
            is_late = True
            self.hangs += 1
            work.cancel()

        timer = self._clock.later(limit_s, give_up)
        self._running.add(call)
        try:
            return await work
        except ShutdownRequested:
            raise
        except (Exception, SystemExit) as error:
            raise _too_late(call, limit_s) if is_late else _told(call, error) from error
        finally:
            timer.discard()
            self._running.discard(call)

    def _refuse_if_many_hang(self, call: Call) -> None:
        if len(self._hung) >= MOST_HUNG:
            raise Busy(f"{call} was not begun: {MOST_HUNG} calls of other actuators hang.")
        own = sum(actuator.calls is call.actuator.calls for actuator in self._hung)
        if own >= MOST_HUNG_EACH:
            raise Busy(f"{call} was not begun: {own} other calls of its driver hang.")

    async def _in_place(self, call: Call) -> Any:
        """Run a call that has a place, and free that: when it ends, or after a while."""
        is_held = True

        def free() -> None:
            nonlocal is_held
            if is_held:
                is_held = False
                self._turns.release()

        try:
            timer = self._clock.later(PLACE_S, free)
            try:
                return await self._on_thread(call)
            finally:
                timer.discard()
        finally:
            free()

    async def _on_thread(self, call: Call) -> Any:
        call.began_s = self._clock.seconds()
        ticket = [None]  # whoever takes it decides whether the call begins
        outcome: Deferred[Any] = Deferred()

        def work() -> Any:
            try:
                ticket.pop()
            except IndexError:
                return None
            result = call.actuator.calls.run(call.f)
            if isinstance(result, Deferred):
                raise TypeError(f"{call} returned a Deferred; Twisted code needs ON_REACTOR = True")
            return result

        def ended(result: Any) -> None:
            if outcome.called:
                self._back(call, result)
            elif isinstance(result, Failure) and not ticket:
                outcome.errback(Failure(_told(call, result.value)))  # type: ignore[no-untyped-call]
            else:
                outcome.callback(result)

        def give_up() -> None:
            try:
                ticket.pop()
            except IndexError:
                self._hang(call)
                outcome.errback(_too_late(call, call.actuator.timeout_s))
            else:
                outcome.errback(Busy(f"{call} was not begun: no thread was free for it."))

        work.__qualname__ = str(call)  # by which the pool names it
        timer = self._clock.later(call.actuator.timeout_s, give_up)
        self._running.add(call)
        self._threads.to_pool(self._pool, work).addBoth(ended)
        try:
            return await outcome
        finally:
            timer.discard()
            self._running.discard(call)

    def _hang(self, call: Call) -> None:
        self._hung[call.actuator] = call
        self.hangs += 1

    def _back(self, call: Call, result: Any) -> None:
        """A call that was given up has returned after all."""
        if self._hung.pop(call.actuator, None) is None:
            return
        for_s = self._clock.seconds() - call.began_s
        if isinstance(result, Failure):
            text = "{call} has failed after {for_s:.1f} s: {error}"
            hide = call.actuator.calls.hide
            self.log.warn(text, call=str(call), for_s=for_s, error=hide(result.getErrorMessage()))
        else:
            text = "{call} has returned after {for_s:.1f} s; nobody waited for it any more"
            self.log.warn(text, call=str(call), for_s=for_s)


def _too_late(call: Call, limit_s: float) -> ActuationTimeout:
    return ActuationTimeout(f"{call} has not returned within {limit_s:g} s.")


def _told(call: Call, error: BaseException | None) -> SmapError:
    """What the driver raised, for whoever asked: its text, and nothing more of it."""
    is_refusal = isinstance(error, BadState) and call.name != "get_state"
    if isinstance(error, SmapError) and (is_refusal or isinstance(error, ShutdownRequested)):
        return error
    kind = type(error).__name__
    said = error.message if isinstance(error, SmapError) else _text_of(error)
    said = call.actuator.calls.hide(said)
    failed = DeviceFailed(said.strip() or kind, hint=f"{call} raised {kind}.")
    failed.__cause__ = error
    return failed


def _text_of(error: BaseException | None) -> str:
    text: str = Failure(error).getErrorMessage()  # type: ignore[no-untyped-call]
    return text.encode(errors="replace").decode()
