"""Asks and sets actuators: what stands between a request, or a job, and a driver's code.

One call of an actuator is under way at a time, in the order of asking. A set is checked first: is
that a state, was the last one long enough ago; then the device is set, left to settle, asked, and
what it says becomes a reading and the answer. Who asks while the device is being asked is told the
same.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from math import ceil
from typing import Any, Final

from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure
from zope.interface import implementer

from smapd.core import Actuator, SmapInstance, Timeseries
from smapd.errors import (
    ActuationTimeout,
    BadRequest,
    BadState,
    Busy,
    DeviceFailed,
    NoSuchPath,
    NotAnActuator,
    NotReady,
    RateLimited,
    ShutdownRequested,
    SmapError,
)
from smapd.interfaces import IActuators, IClock, IFaults, IThreads
from smapd.values import ActuationRequest, Json, Reading, Value

from .calls import AT_ONCE, POOL, WAIT_S, Call, Calls, UserLoop
from .point import Point, is_near, point_of, read_value, value_of
from .states import MAX_TEXT, not_a_state, not_readable
from .survey import Survey

MOST_WAITING: Final = 8
"""Sets of one actuator that may wait for their turn."""

_OURS: Final = ("smapd.actuation.", "smapd.actuate")


@implementer(IActuators)
class Actuators:
    """The actuators of one tree; every method on the reactor's thread.

    Between ``open`` and ``close`` devices are called. ``user_loop``, ``pool`` and ``at_once``: see
    ``Calls``.
    """

    def __init__(
        self,
        tree: SmapInstance,
        threads: IThreads,
        clock: IClock,
        faults: IFaults,
        *,
        user_loop: UserLoop | None = None,
        pool: str = POOL,
        at_once: int = AT_ONCE,
    ) -> None:
        self._tree, self._clock, self._faults = tree, clock, faults
        self._calls = Calls(threads, clock, user_loop=user_loop, pool=pool, at_once=at_once)
        self._closed: SmapError | None = NotReady("Actuators are not open yet.")
        self._under_way = 0
        self._idle: Deferred[None] | None = None
        self._gets = self._sets = self._failed = 0

    # --- life

    def open(self) -> None:
        """Devices may be called from now on."""
        self._closed = None

    def close(self) -> Deferred[None]:
        """No further call; fires when none is under way."""
        self._closed = ShutdownRequested("smapd is stopping; nothing is set any more.")
        if not self._under_way:
            return succeed(None)
        if self._idle is None:
            self._idle = Deferred()
        return self._idle

    # --- IActuators

    def get(self, path: str, asked: ActuationRequest | None = None) -> Deferred[Reading]:
        """Ask the device; see ``IActuators.get``."""
        return self._counted(self._get(path, asked))

    def set(self, path: str, text: str, asked: ActuationRequest | None = None) -> Deferred[Reading]:
        """Set it and read it back; see ``IActuators.set``."""
        return self._counted(self._set(path, text, asked))

    def release(self, path: str, asked: ActuationRequest | None = None) -> Deferred[Reading]:
        """Let go of a state that was set; see ``IActuators.release``.

        Fails with BadRequest if the driver has no ``release_state``.
        """
        return self._counted(self._release(path, asked))

    def check(self, path: str, text: str) -> None:
        """Return if that could be set there; see ``IActuators.check``."""
        stream, actuator = self._find(path)
        if _reads_here(actuator):
            _read_state(stream, actuator, text)

    def survey(self, path: str) -> Deferred[Mapping[str, tuple[Reading | None, str]]]:
        """Ask all at and below ``path``; see ``IActuators.survey``."""
        survey = Survey(self._clock, self.get, self._calls.each)
        return survey.ask(self._tree.actuators(path))

    def status(self) -> dict[str, Json]:
        """What ``/status`` shows."""
        return {
            "actuators": len(self._tree.actuators("/")),
            "gets": self._gets,
            "sets": self._sets,
            "failed": self._failed,
        } | self._calls.status()

    # --- private

    def _counted(self, work: Coroutine[Any, Any, Reading]) -> Deferred[Reading]:
        self._under_way += 1
        return Deferred.fromCoroutine(work).addBoth(self._over)

    def _over(self, result: Any) -> Any:
        self._under_way -= 1
        if not self._under_way and self._idle is not None:
            idle, self._idle = self._idle, None
            idle.callback(None)
        return result

    def _find(self, path: str) -> tuple[Timeseries, Actuator]:
        node = self._tree.get(path)
        if node is None:
            raise NoSuchPath(f"No such timeseries or collection: {path}")
        actuator = node.actuator if isinstance(node, Timeseries) else None
        if actuator is None or not isinstance(node, Timeseries):
            raise NotAnActuator(f"Not an actuator: {node.path}")
        return node, actuator

    def _check_open(self) -> None:
        if self._closed is not None:
            raise self._closed.with_traceback(None)

    async def _get(self, path: str, asked: ActuationRequest | None) -> Reading:
        stream, actuator = self._find(path)
        point = point_of(actuator)
        self._check_open()
        if self._clock.seconds() - point.read_s < actuator.read_limit_s:
            return point.cached()
        if point.joined is not None:
            joined: Deferred[Reading] = Deferred()
            point.joined.append(joined)
            return await joined
        point.joined = []
        work = Deferred.fromCoroutine(self._get_alone(stream, actuator, asked))
        return await work.addBoth(_share, point)

    async def _get_alone(
        self, stream: Timeseries, actuator: Actuator, asked: ActuationRequest | None
    ) -> Reading:
        point = point_of(actuator)
        self._calls.refuse_if_hung(actuator)
        await self._turn(stream, point)
        try:
            self._check_open()
            self._calls.refuse_if_hung(actuator)
            if self._clock.seconds() - point.read_s < actuator.read_limit_s:
                return point.cached()  # a set that was before us has asked it
            reading = await self._ask(stream, actuator, asked)
        finally:
            point.lock.release()
        if actuator.autoadd:
            self._publish(stream, reading)
        return reading

    async def _set(self, path: str, text: str, asked: ActuationRequest | None) -> Reading:
        stream, actuator = self._find(path)
        point = point_of(actuator)
        self._check_open()
        state: Any = None
        reads_here = _reads_here(actuator)
        if reads_here:
            state = _read_state(stream, actuator, text)
        self._refuse_if_limited(stream, actuator, point)
        self._calls.refuse_if_hung(actuator)
        if len(point.lock.waiting) >= MOST_WAITING:
            raise Busy(f"{MOST_WAITING} sets of {stream.path} wait for their turn already.")
        await self._turn(stream, point)
        try:
            self._check_open()
            self._calls.refuse_if_hung(actuator)
            if not reads_here:
                state = await self._read_state_there(stream, actuator, text)
            self._refuse_if_limited(stream, actuator, point)
            wanted = value_of(stream, state)
            before_s, point.set_s = point.set_s, self._clock.seconds()
            try:
                await self._call(stream, actuator, "set_state", partial(actuator.set, asked, state))
            except Busy:  # it was not begun
                point.set_s = before_s
                raise
            self._sets += 1
            return await self._read_back(stream, actuator, asked, wanted)
        finally:
            point.lock.release()

    async def _release(self, path: str, asked: ActuationRequest | None) -> Reading:
        stream, actuator = self._find(path)
        point = point_of(actuator)
        self._check_open()
        if not actuator.can_release:
            raise BadRequest(
                f"{stream.path} holds no state that could be let go.",
                hint="Its driver has no release_state; set another state.",
            )
        self._calls.refuse_if_hung(actuator)
        await self._turn(stream, point)
        try:
            self._check_open()
            self._calls.refuse_if_hung(actuator)
            release = partial(actuator.release, asked)
            await self._call(stream, actuator, "release_state", release)
            self._sets += 1
            return await self._read_back(stream, actuator, asked, None)
        finally:
            point.lock.release()

    async def _read_back(
        self,
        stream: Timeseries,
        actuator: Actuator,
        asked: ActuationRequest | None,
        wanted: Value,
    ) -> Reading:
        """What the device says after it was set; None as ``wanted``: whatever it is."""
        was = "it was let go" if wanted is None else f"it was set to {wanted}"
        if actuator.settle_s:
            settled: Deferred[None] = Deferred()
            self._clock.later(actuator.settle_s, settled.callback, None)
            await settled
        try:
            reading = await self._ask(stream, actuator, asked)
        except DeviceFailed as error:
            why = f"{error.message} ({was}, and then could not be read back)"
            raise DeviceFailed(why, hint=error.hint) from error
        except (ActuationTimeout, Busy) as error:
            raise type(error)(f"{error.message} ({was} before)", hint=error.hint) from error
        self._publish(stream, reading)
        if wanted is not None and not is_near(wanted, reading.value, actuator.tolerance):
            self._failed += 1
            raise DeviceFailed(
                f"{stream.path} was set to {wanted}, but reads {reading.value}.",
                hint="It may need a longer settle, or a wider tolerance.",
            )
        return reading

    async def _ask(
        self, stream: Timeseries, actuator: Actuator, asked: ActuationRequest | None
    ) -> Reading:
        """Ask the device, its lock being held; what it says, or why it does not, is kept."""
        point = point_of(actuator)
        try:
            state = await self._call(stream, actuator, "get_state", partial(actuator.get, asked))
            reading = Reading(self._clock.wall_ms(), read_value(stream, state))
        except (DeviceFailed, ActuationTimeout) as error:
            point.error, point.read_s = error, self._clock.seconds()
            raise
        self._gets += 1
        point.last, point.error, point.read_s = reading, None, self._clock.seconds()
        return reading

    async def _call(
        self, stream: Timeseries, actuator: Actuator, name: str, f: Callable[[], Any]
    ) -> Any:
        call = Call(stream.path, name, actuator, f)
        key = ("actuator", str(call))
        try:
            result = await self._calls.run(call)
        except DeviceFailed as error:
            self._failed += 1
            self._faults.fault(key, f"{call} failed: {error.message}", failure=_bug(error))
            raise
        except ActuationTimeout as error:
            self._failed += 1
            self._faults.fault(key, error.message)
            raise
        self._faults.cleared(key, "{call} works again after {count} failures", call=str(call))
        return result

    async def _turn(self, stream: Timeseries, point: Point) -> None:
        ends_s = self._clock.seconds() + WAIT_S
        await self._calls.turn(point.lock, ends_s, f"{stream.path} is busy with calls before this.")

    def _refuse_if_limited(self, stream: Timeseries, actuator: Actuator, point: Point) -> None:
        left_s = point.set_s + actuator.write_limit_s - self._clock.seconds()
        if left_s > 0:
            after_s = ceil(left_s)
            raise RateLimited(
                f"Cannot actuate now due to rate limit; {stream.path} may be set again in "
                f"{after_s} s.",
                retry_after_s=after_s,
            )

    async def _read_state_there(self, stream: Timeseries, actuator: Actuator, text: str) -> Any:
        """The state of a text, by code that is not ours: where the driver's code belongs."""

        def read() -> tuple[Any, SmapError | None]:
            try:
                return _read_state(stream, actuator, text), None
            except BadState as error:
                return None, error

        state, error = await self._calls.run(Call(stream.path, "parse_state", actuator, read))
        if error is not None:
            raise error
        return state

    def _publish(self, stream: Timeseries, reading: Reading) -> None:
        """Add it to the stream, at the time that is answered."""
        ms = reading.ms
        stream.add(ms if stream.milliseconds else ms / 1000, reading.value)


def _reads_here(actuator: Actuator) -> bool:
    """Whether a text is read by our own code: a driver's would have to run on a thread."""
    kind = type(actuator.impl)
    methods = (getattr(kind, name, None) for name in ("parse_state", "valid_state"))
    return all(getattr(method, "__module__", "").startswith(_OURS) for method in methods)


def _read_state(stream: Timeseries, actuator: Actuator, text: str) -> Any:
    """The state that a text stands for.

    :raises BadState: if there is none, or the stream could not hold it.
    """
    impl, told = actuator.impl, actuator.described
    if len(text) > MAX_TEXT:
        raise not_readable(f"a text of more than {MAX_TEXT} letters", told)
    try:
        state = impl.parse_state(text)
    except (TypeError, ValueError, LookupError, ArithmeticError) as error:
        raise not_readable(error, told) from error
    if not impl.valid_state(state):
        raise not_a_state(state, told)
    try:
        value_of(stream, state)
    except ValueError as error:
        raise not_a_state(state, told, str(error)) from error
    return state


def _share(result: Any, point: Point) -> Any:
    """Give everybody who joined what came of it."""
    joined, point.joined = point.joined, None
    for waiting in joined or ():
        waiting.callback(result)
    return result


def _bug(error: SmapError) -> Failure | None:
    """The traceback of what is no answer of a device, but a mistake in its driver."""
    cause = error.__cause__
    if cause is None or isinstance(cause, SmapError | OSError):
        return None
    return Failure(cause)  # type: ignore[no-untyped-call]
