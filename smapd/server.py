"""Runs a daemon on the default reactor until a signal ends it. The one file that imports it.

``run`` is the tutorial's face; ``run_plan`` is what ``smapd run`` calls, ``make_service`` what
``twist smapd`` does.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from twisted.application.service import IService, Service
from twisted.internet.defer import Deferred
from twisted.internet.error import ReactorNotRunning
from twisted.logger import Logger
from twisted.python.failure import Failure

from smapd.config import Plan
from smapd.errors import ConfigError, SecretUnreadable, ShutdownRequested, SmapError
from smapd.runtime import Clock, Runtime, attempt, make_runtime, pool_sizes, start_logging

if TYPE_CHECKING:
    from smapd.assembly import Daemon, Settings
    from smapd.core import SmapInstance

log = Logger()

CONFIG = 78
"""EX_CONFIG of sysexits.h: a start that a change of config alone can mend."""

TWICE_S = 1.0

Build = Callable[[Runtime, Any, "Settings"], "Daemon"]
OnDaemon = Callable[["Daemon", Callable[[int], None]], None]
"""Called once, on the reactor's thread, with a daemon that is made and about to start, and with
what stops it and says how the process ends."""


def run(inst: SmapInstance, port: int | None = None, *, data_dir: str | Path | None = None) -> None:
    """Serve a tree until SIGTERM or SIGINT; on the main thread.

    ``port``: TCP port on loopback, 8080 unless given here or in the config that ``inst`` was
    loaded from; 0 takes a free one. ``data_dir``: ``smapd-data`` in the working directory unless
    given. Returns after a clean stop.

    :raises SystemExit: with 1 if it could not start; why is printed in one sentence.
    """
    from smapd import assembly

    plan: Plan | None = inst.plan
    start_logging(sys.stderr, *_log_options(plan, None, None))

    def build(runtime: Runtime, reactor: Any, settings: Settings) -> Daemon:
        return assembly.embed(inst, runtime, reactor, settings)

    status = _serve(_DaemonService(build, plan, port, data_dir))
    if status:
        raise SystemExit(status)


def run_plan(
    plan: Plan,
    *,
    port: int | None = None,
    data_dir: str | Path | None = None,
    http: bool = True,
    log_format: str | None = None,
    log_level: str | None = None,
    announce: Callable[[str], None] | None = None,
    on_daemon: OnDaemon | None = None,
) -> int:
    """Run the daemon of a checked plan; its exit status: 0 after a signal, 1 if it cannot start.

    ``announce`` takes the lines that tell who started it that it is ready; without it they are
    printed. ``on_daemon`` may watch the daemon, and stop it with a status of its own.
    """
    from smapd import assembly

    start_logging(sys.stderr, *_log_options(plan, log_format, log_level))

    def build(runtime: Runtime, reactor: Any, settings: Settings) -> Daemon:
        return assembly.build(plan, runtime, reactor, settings)

    service = _DaemonService(build, plan, port, data_dir, http, announce, on_daemon)
    return _serve(service)


def make_service(
    plan: Plan, *, port: int | None = None, data_dir: str | Path | None = None
) -> IService:
    """The daemon of a checked plan as a Twisted service; for ``twist smapd``."""
    from smapd import assembly

    def build(runtime: Runtime, reactor: Any, settings: Settings) -> Daemon:
        return assembly.build(plan, runtime, reactor, settings)

    return _DaemonService(build, plan, port, data_dir)


class _DaemonService(Service):
    """Starts the daemon with the reactor, and ends the reactor when the start failed."""

    def __init__(
        self,
        build: Build,
        plan: Plan | None,
        port: int | None,
        data_dir: str | Path | None,
        http: bool = True,
        announce: Callable[[str], None] | None = None,
        on_daemon: OnDaemon | None = None,
    ) -> None:
        self._build, self._plan = build, plan
        self._announce, self._on_daemon = announce or _print, on_daemon
        self._port, self._data_dir, self._http = port, data_dir, http
        self._daemon: Daemon | None = None
        self._stopping: Deferred[Any] | None = None
        self._clock: Clock | None = None
        self._asked_s = 0.0
        self.status = 0
        self._ended = False

    def startService(self) -> None:
        """On the reactor's thread, once it runs."""
        from twisted.internet import reactor

        from smapd.assembly import Settings

        Service.startService(self)  # type: ignore[no-untyped-call]
        server = self._plan.server if self._plan is not None else {}
        sizes = pool_sizes(server.get("PollThreads", 20), server.get("WorkThreads", 8))
        runtime = make_runtime(reactor, sizes)
        settings = Settings(self._port, self._data_dir, self._http, os.environ, self._announce)
        self._clock = runtime.clock
        built = attempt(self._build, runtime, reactor, settings)
        if isinstance(built, Failure):
            self._could_not_start(built)
            return
        self._daemon = built
        if self._on_daemon is not None:
            self._on_daemon(self._daemon, self._end)
        self._daemon.start().addErrback(self._could_not_start)

    def stopService(self) -> Deferred[Any] | None:
        """Stop it in order; what a second call gets ends with the first."""
        Service.stopService(self)  # type: ignore[no-untyped-call]
        if self._daemon is None:
            return None
        if self._stopping is None and self._clock is not None:
            self._asked_s = self._clock.seconds()
        self._stopping = self._daemon.stop()
        return self._stopping

    def hurry(self) -> None:
        """Do not wait for drivers and requests: commit what is pending, and end.

        Not within a second of the stop: some supervisors send the same signal twice.
        """
        if self._daemon is None or self._clock is None:
            return
        if self._clock.seconds() - self._asked_s >= TWICE_S:
            self._daemon.service.hurry()

    def _end(self, status: int) -> None:
        """Stop, as a signal does, and end with this status; on the reactor's thread. Once."""
        from twisted.internet import reactor

        if self.running and self._stopping is None and not self._ended:
            self._ended = True
            self.status = status
            with suppress(ReactorNotRunning):  # a signal came first
                reactor.stop()

    def _could_not_start(self, failure: Failure) -> None:
        from twisted.internet import reactor

        if not isinstance(failure.value, ShutdownRequested):
            is_config = isinstance(failure.value, ConfigError | SecretUnreadable)
            self.status = CONFIG if is_config else 1
            if isinstance(failure.value, SmapError):
                _print_error(failure.value)
            else:
                log.failure("smapd could not start; this is a bug in it", failure)
        if self._stopping is None:
            reactor.stop()


def _serve(service: _DaemonService) -> int:
    from twisted.internet import reactor as _reactor

    reactor: Any = _reactor

    def on_signal(number: int, _frame: object) -> None:
        # In the main thread, between two steps of whatever runs there: only hand it over.
        reactor.callFromThread(signalled)

    def signalled() -> None:
        if service.running:
            with suppress(ReactorNotRunning):  # it has been told, and stops with its next step
                reactor.stop()
        else:
            service.hurry()

    def begin() -> None:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, on_signal)
        service.startService()

    reactor.callWhenRunning(begin)
    reactor.addSystemEventTrigger("before", "shutdown", service.stopService)
    reactor.run()
    return service.status


def _log_options(
    plan: Plan | None, log_format: str | None, log_level: str | None
) -> tuple[str, str]:
    server = plan.server if plan is not None else {}
    return (
        log_format or server.get("LogFormat", "text"),
        log_level or server.get("LogLevel", "info"),
    )


def _print(line: str) -> None:
    # Not by print(): what drivers print goes to the log, and this is for whoever started us.
    _say(sys.__stdout__, line)


def _print_error(error: SmapError) -> None:
    hint = f"\n       {error.hint}" if error.hint else ""
    _say(sys.__stderr__, f"smapd: {error.message}{hint}")


def _say(out: TextIO | None, text: str) -> None:
    """To whom it may concern: a pipe that nobody reads any more stops no daemon."""
    if out is not None:
        with suppress(OSError, ValueError):
            out.write(text + "\n")
            out.flush()
