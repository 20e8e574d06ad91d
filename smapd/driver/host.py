"""Hosts one driver: makes it, gives it its place, calls its steps, and names what fails in one."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from smapd.core import Scope
from smapd.errors import DriverFailed
from smapd.runtime import CallOwner, attempt
from smapd.runtime.hiding import Hide, hider, shown_as_is
from smapd.runtime.words import sentence_of, text_of

from .asynchronous import AsyncDriver
from .base import SmapDriver

T = TypeVar("T")

_TWO = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


@dataclass(frozen=True, slots=True)
class _Fell:
    failure: Failure


class DriverHost:
    """One driver of one section: ``setup`` once, ``start``, ``stop``.

    ``cls``: any class with ``setup`` and ``start``; it is called without arguments, in ``setup``.
    ``scope``: its view of the tree. ``opts``: what ``setup`` is given, as a dict of its own.
    ``owner``: takes the periodic calls that ``setup`` and ``start`` make; its ``begin`` and
    ``stop`` are the caller's to call.

    The steps are to be called one after another; each raises DriverFailed and nothing else. A
    failed ``setup`` wants a new host, a failed ``start`` may be called again. Where they are to
    run is the class's to say: ``setup``, ``start`` and ``stop`` on a work thread,
    ``call_on_reactor`` on the reactor if it ``is_for_reactor``, ``call_on_loop`` on the users'
    asyncio loop if it ``is_async``.
    """

    log = Logger()

    def __init__(
        self,
        cls: type[Any],
        scope: Scope,
        opts: Mapping[str, Any],
        owner: CallOwner | None = None,
    ) -> None:
        self.cls, self.scope = cls, scope
        self.driver: Any = None
        """The driver's object; None before ``setup``."""
        self._opts = opts
        self.hide = hider(opts)
        """Takes the section's secrets out of a text."""
        self._owner = owner
        scope.calls.on_reactor, scope.calls.hide = self.is_for_reactor, self.hide
        self._lend_owner()

    @property
    def is_for_reactor(self) -> bool:
        """Whether the driver asked for its calls to run on the reactor."""
        return bool(getattr(self.cls, "ON_REACTOR", False))

    @property
    def is_async(self) -> bool:
        """Whether its steps are coroutines for the users' asyncio loop."""
        return isinstance(self.cls, type) and issubclass(self.cls, AsyncDriver)

    def owned_by(self, owner: CallOwner) -> tuple[DriverHost, CallOwner]:
        """Give the periodic calls of a host that was set up without an owner to this one."""
        self._owner = owner
        self._lend_owner()
        return self, owner

    # --- on a work thread

    def setup(self) -> None:
        """Make the driver and call its ``setup``.

        :raises DriverFailed: with what it raised as the cause.
        """
        self._here("setup")

    def start(self) -> None:
        """Call the driver's ``start``.

        :raises DriverFailed: with what it raised as the cause.
        """
        self._here("start")

    def stop(self) -> None:
        """Call the driver's ``stop``, if ``setup`` made one; its calls should have ended before.

        :raises DriverFailed: with what it raised as the cause.
        """
        self._here("stop")

    # --- on the reactor

    def call_on_reactor(self, step: str) -> Deferred[None]:
        """One step, "setup", "start" or "stop", of Twisted code; a Deferred is waited for.

        The time for which it holds the reactor is charged to the driver. Fails with DriverFailed.
        """
        return Deferred.fromCoroutine(self._on_reactor(step))

    async def _on_reactor(self, step: str) -> None:
        result: Any = self._charged(lambda: attempt(self._owned, self._begin, step))
        if inspect.iscoroutine(result):
            result = self._charged(lambda: self._owned(Deferred.fromCoroutine, result))
        if isinstance(result, Deferred):
            # as a value: a GeneratorExit of the driver's would else be taken for the end of ours
            result = await result.addErrback(_Fell)
        if isinstance(result, _Fell):
            result = result.failure
        if isinstance(result, Failure):
            self._raise(step, result)

    def _charged(self, call: Callable[[], T]) -> T:
        owner = self._owner
        if owner is None:
            return call()
        since_s = owner.seconds()
        try:
            return call()
        finally:
            owner.took_here(owner.seconds() - since_s)

    # --- on the users' asyncio loop

    async def call_on_loop(self, step: str) -> None:
        """One step of an AsyncDriver; in a context in which its owner runs.

        What a failed one has spawned is cancelled: it will be called again, or never.

        :raises DriverFailed: with what it raised as the cause.
        """
        try:
            result = self._begin(step)
            if inspect.isawaitable(result):
                await result
        except GeneratorExit as error:
            if error.__traceback__ is None or error.__traceback__.tb_next is None:
                raise  # not from within: this coroutine itself is being closed
            await self._fall(step, error)
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise  # by us
            await self._fall(step, error)
        except BaseException as error:  # noqa: BLE001 - what it raises is its section's failure
            await self._fall(step, error)

    async def cancel(self) -> None:
        """Cancel what an AsyncDriver has under way; on its loop, at the stop."""
        if self.driver is not None:
            await self.driver._smapd_cancel(for_good=True)

    # --- private

    async def _fall(self, step: str, error: BaseException) -> NoReturn:
        if self.driver is not None:
            await self.driver._smapd_cancel(for_good=False)
        raise failed_step(self.scope.path, step, error, self.hide)

    def _raise(self, step: str, failure: Failure) -> NoReturn:
        raise failed_step(self.scope.path, step, failure.value, self.hide)

    def _here(self, step: str) -> None:
        if self.is_async:  # no loop of the daemon's is there: by loader.load, or in a test
            done = attempt(self._owned, asyncio.run, self.call_on_loop(step))
            if isinstance(done, Failure):
                self._raise(step, done)
            return
        if self.is_for_reactor:
            self._as_on_reactor(step)
            return
        # A driver is somebody else's code: whatever it raises is its section's failure alone, and
        # a script's sys.exit() must not end a work thread.
        result: Any = attempt(self._owned, self._begin, step)
        if isinstance(result, Failure):
            self._raise(step, result)
        if inspect.iscoroutine(result):
            result.close()
            why = f"{step} is async def; write a plain def, or class X(AsyncDriver)"
            raise DriverFailed(self.scope.path, step, why)
        if isinstance(result, Deferred):
            result.addErrback(lambda _: None)
            why = f"{step} returned a Deferred; Twisted code needs ON_REACTOR = True"
            raise DriverFailed(self.scope.path, step, why)

    def _as_on_reactor(self, step: str) -> None:
        """Where nobody can wait for a Deferred: what is not over yet is left to end by itself."""
        done = self.call_on_reactor(step)
        if not done.called:
            done.addErrback(self._tell)
            return
        failures: list[Failure] = []
        done.addErrback(failures.append)
        if failures:
            failures[0].raiseException()

    def _tell(self, failure: Failure) -> None:
        self.log.failure(
            "{error}",
            failure,
            error=text_of(failure.value),
            driver=self.scope.path,
            log_hide=self.hide,
        )

    def _lend_owner(self) -> None:
        """The driver's actuators are called as its code, too."""
        if self._owner is not None:
            self._owner.hide = self.hide
            self.scope.calls.run, self.scope.calls.took = self._owner.run, self._owner.took_here

    def _owned(self, call: Callable[..., T], *a: Any) -> T:
        return call(*a) if self._owner is None else self._owner.run(call, *a)

    def _begin(self, step: str) -> Any:
        """Call a step, as far as it goes at once; what it returns."""
        if step == "setup":
            return self._make_and_set_up()
        return getattr(self.driver, step, _nothing)()

    def _make_and_set_up(self) -> Any:
        if self.is_async and self.is_for_reactor:
            raise self._unfit(
                f"{self.cls.__name__} is an AsyncDriver, which runs on an asyncio loop, and has "
                "ON_REACTOR = True, which is for Twisted code; it can be one of them"
            )
        driver = self.cls()
        if isinstance(driver, SmapDriver):
            driver._smapd_scope = self.scope
            if self._owner is not None:
                driver._smapd_seconds = self._owner.seconds
        self.driver = driver
        try:
            both = takes_inst(driver)
        except TypeError as error:
            raise self._unfit(str(error)) from None  # nothing of the driver ran: no traceback
        return driver.setup(*([self.scope] if both else []), dict(self._opts))

    def _unfit(self, why: str) -> DriverFailed:
        return DriverFailed(self.scope.path, "setup", why)


def failed_step(
    path: str, step: str, problem: BaseException | None, hide: Hide = shown_as_is
) -> DriverFailed:
    """That a driver's step raised this, in one line and with it as the cause; any thread.

    ``hide`` takes the section's secrets out of what it says; the cause keeps them.
    """
    if isinstance(problem, DriverFailed) and getattr(problem, "section", "") == path:
        return problem  # by this file
    why, hint = sentence_of(problem)
    failed = DriverFailed(path, step, hide(why))
    failed.hint, failed.__cause__ = hide(hint), problem
    return failed


def takes_inst(driver: Any) -> bool:
    """Whether this driver's setup is ``setup(inst, opts)`` rather than ``setup(opts)``.

    Two arguments are given where two are required, where a second one is called opts, and where
    ``*args`` takes any number.

    :raises TypeError: if it is neither, in one sentence.
    """
    name = type(driver).__name__
    setup = getattr(driver, "setup", None)
    if setup is None:
        raise TypeError(f"{name} has no setup; a driver's is setup(self, opts)")
    parameters = list(inspect.signature(setup).parameters.values())
    places = [p for p in parameters if p.kind in _TWO]
    required = sum(p.default is p.empty for p in places)
    is_open = any(p.kind is p.VAR_POSITIONAL for p in parameters)
    named = any(p.kind is p.KEYWORD_ONLY and p.default is p.empty for p in parameters)
    both = required == 2 or (is_open and required < 2) or [p.name for p in places[1:2]] == ["opts"]
    if required > 2 or named or not (places or is_open):
        wrong = ", ".join(map(str, ["self", *parameters]))
        raise TypeError(
            f"{name} has setup({wrong}); a driver's is setup(self, opts) or setup(self, inst, opts)"
        )
    if not both and not isinstance(driver, SmapDriver):
        raise TypeError(
            f"{name} has setup(self, opts) but is no SmapDriver, so it cannot reach the tree; "
            "write class X(SmapDriver), or setup(self, inst, opts)"
        )
    return both


def _nothing() -> None:
    """What a driver without that step does."""
