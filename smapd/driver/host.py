"""Hosts one driver: makes it, gives it its place, calls its steps, and names what fails in one."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from smapd.core import Scope
from smapd.errors import DriverFailed
from smapd.runtime import CallOwner

from .base import SmapDriver

_TWO = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


class DriverHost:
    """One driver of one section: ``setup`` once, ``start``, ``stop``.

    ``cls``: any class with ``setup`` and ``start``; it is called without arguments, in ``setup``.
    ``scope``: its view of the tree. ``opts``: what ``setup`` is given, as a dict of its own.
    ``owner``: takes the periodic calls that ``setup`` and ``start`` make; its ``begin`` and
    ``stop`` are the caller's to call. The steps are to be called one after another, on a work
    thread or, for ``ON_REACTOR`` drivers, on the reactor; each raises DriverFailed and nothing
    else. A failed ``setup`` wants a new host, a failed ``start`` may be called again.
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
        self._owner = owner

    @property
    def on_reactor(self) -> bool:
        """Whether the driver asked for its calls to run on the reactor."""
        return bool(getattr(self.cls, "ON_REACTOR", False))

    def owned_by(self, owner: CallOwner) -> tuple[DriverHost, CallOwner]:
        """Give the periodic calls of a host that was set up without an owner to this one."""
        self._owner = owner
        return self, owner

    def setup(self) -> None:
        """Make the driver and call its ``setup``.

        :raises DriverFailed: with what it raised as the cause.
        """
        self._step("setup", self._make_and_set_up)

    def start(self) -> None:
        """Call the driver's ``start``.

        :raises DriverFailed: with what it raised as the cause.
        """
        self._step("start", getattr(self.driver, "start", _nothing))

    def stop(self) -> None:
        """Call the driver's ``stop``, if ``setup`` made one; its calls should have ended before.

        :raises DriverFailed: with what it raised as the cause.
        """
        self._step("stop", getattr(self.driver, "stop", _nothing))

    def _make_and_set_up(self) -> Any:
        driver = self.cls()
        if isinstance(driver, SmapDriver):
            driver._smapd_scope = self.scope
            if self._owner is not None:
                driver._smapd_seconds = self._owner.seconds
        self.driver = driver
        if takes_inst(driver):
            return driver.setup(self.scope, dict(self._opts))
        return driver.setup(dict(self._opts))

    def _step(self, step: str, call: Callable[[], Any]) -> None:
        # A driver is somebody else's code: whatever it raises is its section's failure alone, and
        # a script's sys.exit() must not end a work thread.
        try:
            result = call() if self._owner is None else self._owner.run(call)
        except (Exception, SystemExit) as error:
            raise DriverFailed(self.scope.path, step, error) from error
        self._refuse_async(step, result)

    def _refuse_async(self, step: str, result: Any) -> None:
        if inspect.iscoroutine(result):
            result.close()
            raise DriverFailed(self.scope.path, step, f"{step} is async def; write a plain def")
        if isinstance(result, Deferred):
            result.addErrback(
                lambda failure: self.log.failure(
                    "{step} of {driver} failed", failure, step=step, driver=self.scope.path
                )
            )
            if not self.on_reactor:
                why = f"{step} returned a Deferred; Twisted code needs ON_REACTOR = True"
                raise DriverFailed(self.scope.path, step, why)


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
