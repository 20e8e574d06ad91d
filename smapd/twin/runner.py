"""The life of a program that is an integrator or a follower: start-up, main, shutdown."""

from __future__ import annotations

import contextlib
import enum
import logging
import signal
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, TypeAlias

from smapd.errors import EventPublishFailure, NotConnected, ShutdownRequested, T2Timeout
from smapd.runtime.program import Flag, Monitor, ProgramThread, spawn

from .callbacks import call
from .client import Client
from .sections import config_from_ini
from .settings import LINK, thing_settings

_log: Final = logging.getLogger(__name__)

ExcInfo: TypeAlias = tuple[type[BaseException], BaseException, TracebackType | None]
"""As ``sys.exc_info()`` gives it."""


class RunContext(enum.Enum):
    """Which step failed, for ``on_exception``."""

    ON_STARTUP = "on_startup"
    MAIN = "main"


class ThingRunner:
    """Runs ``on_startup``, ``main`` and ``on_shutdown`` of a subclass, in this order.

    The same class runs inside the daemon (a section of the config file names it) and as a process
    of its own. Make its Integrator or Follower in ``__init__``, start it in ``on_startup``, stop it
    in ``on_shutdown``.
    """

    def __init__(
        self,
        config: Mapping[str, Any] | str | Path | None = None,
        retry_timeout: float = 15,
        *,
        client: Client | None = None,
    ) -> None:
        """``config``: a dict with name, url and token (see ``from_ini``), or the path of an INI
        file. Without a name the thing is called as its class; what else is missing comes from
        SMAPD_URL and SMAPD_TOKEN. ``retry_timeout``: seconds before a failed step is tried again.
        ``client``: in place of one made from the config.

        :raises ConfigError: naming the key that is wrong.
        """
        if isinstance(config, str | Path):
            config = config_from_ini(config)
        if isinstance(retry_timeout, bool) or not retry_timeout >= 0:
            raise ValueError(f"retry_timeout is a number of seconds, not {retry_timeout!r}")
        self.__client = client if client is not None else _client_for(config, type(self).__name__)
        self.__retry_timeout = retry_timeout
        self.__shutdown = Flag()
        self.__monitor = Monitor()
        self.__is_running = False
        self.__ended = Flag()
        self.__ended.set()
        self.__thread: ProgramThread | None = None

    @staticmethod
    def from_ini(file: str | Path, section: str | None = None) -> dict[str, Any]:
        """The config in an INI file's one section ``[integrator NAME]``, ``[follower NAME]`` or
        ``[thing NAME]``; ``section`` says which, where there are several.

        :raises ConfigError: naming all that is wrong.
        :raises SecretUnreadable: for a token that cannot be read.
        """
        return config_from_ini(file, section)

    # --- what a subclass fills in

    def on_startup(self) -> None:
        """Once, before ``main``. What it raises comes out of ``run``; nothing else is called."""

    def main(self) -> None:
        """The work; return when ``wait_for_shutdown`` says so. It may return at once, too."""

    def on_shutdown(self, exc_info: ExcInfo | None) -> bool | None:
        """After ``main``. ``exc_info``: of what main raised; None after a clean end.

        True keeps main's error in; otherwise ``run`` raises it. What this raises is logged.
        """
        return None

    def on_exception(self, ctx: RunContext, exc_info: ExcInfo) -> bool | None:
        """A step failed. True: try that step again after ``retry_timeout``."""
        return None

    # --- what a program uses

    @property
    def client(self) -> Client:
        """What Integrator and Follower take."""
        return self.__client

    @property
    def shutdown_requested(self) -> bool:
        """Whether ``stop`` was called, or ``main`` has ended."""
        return self.__shutdown.is_set()

    def wait_for_shutdown(self, timeout: float | None = None) -> bool:
        """Wait at most so many seconds; true when a shutdown was requested, else false."""
        return self.__shutdown.wait(timeout)

    def run(self, background: bool = False) -> None:
        """Run it all, and return at its end; with ``background`` on a thread of its own, at once.

        A ShutdownRequested that comes out of a step after a stop was asked for is a clean end.
        In the background what main raises is logged, as nobody else would see it. In the
        foreground of a process, SIGTERM asks it to stop, unless the program has a handler.

        :raises RuntimeError: if it runs already.
        """
        with self.__monitor:
            if self.__is_running:
                raise RuntimeError(f"{type(self).__name__} runs already; stop() it first")
            self.__is_running = True
            self.__shutdown.clear()
            self.__ended.clear()
        if background:
            self.__thread = spawn(
                f"thing-{self.__client.name}", lambda: call(type(self).__name__, self.__run)
            )
        else:
            with self.__ended_by_sigterm():
                self.__run()

    def stop(self, timeout: float | None = None) -> bool:
        """Ask it to end, and wait for that at most so long; whether it has ended.

        From within (``main``, a callback) it does not wait. One that does not run has ended.
        """
        self.__shutdown.set()
        if not self.__is_running:
            return True
        self.__client.shutting_down()
        thread = self.__thread
        if self.__client.on_call_thread() or (thread is not None and thread.is_current()):
            return False
        return self.__ended.wait(timeout)

    # --- private

    @contextlib.contextmanager
    def __ended_by_sigterm(self) -> Iterator[None]:
        """On the main thread only: others cannot take signals, and need not."""

        def stop(*_: object) -> None:
            # not here: what was interrupted may hold the very lock that this needs
            spawn(f"thing-{self.__client.name}-sigterm", lambda: self.stop(0))

        if signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
            yield
            return
        try:
            signal.signal(signal.SIGTERM, stop)
        except ValueError:  # not the main thread
            yield
            return
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def __run(self) -> None:
        try:
            self.__client.open()
            self.__steps()
        finally:
            self.__shutdown.set()
            self.__client.close()
            with self.__monitor:
                self.__is_running = False
                self.__ended.set()

    def __steps(self) -> None:
        ctx = RunContext.ON_STARTUP
        while True:
            try:
                if ctx is RunContext.ON_STARTUP:
                    self.on_startup()
                    ctx = RunContext.MAIN
                self.main()
            except KeyboardInterrupt:
                break  # a clean end
            except BaseException as error:  # sys.exit too: on_shutdown must come
                if isinstance(error, ShutdownRequested) and self.shutdown_requested:
                    break  # what waited was told of the stop, and handed it on
                if not self.__is_retried(ctx):
                    if ctx is RunContext.ON_STARTUP or not self.__shut_down(_exc_info()):
                        raise
                    return
                _log.warning("%s failed; it is tried again", ctx.value, exc_info=True)
                if self.wait_for_shutdown(self.__retry_timeout):
                    break
            else:
                break
        if ctx is RunContext.MAIN:
            self.__shut_down(None)

    def __is_retried(self, ctx: RunContext) -> bool:
        again: list[bool | None] = []
        exc_info = _exc_info()

        def ask() -> None:
            again.append(self.on_exception(ctx, exc_info))

        return call("on_exception", ask) and bool(again[0])

    def __shut_down(self, exc_info: ExcInfo | None) -> bool:
        self.__shutdown.set()
        kept_in: list[bool | None] = []
        call("on_shutdown", lambda: kept_in.append(self.on_shutdown(exc_info)))
        return bool(kept_in and kept_in[0])


class RetryingThingRunner(ThingRunner):
    """Tries a step again by itself if it failed for want of a connection, or of an answer."""

    def on_exception(self, ctx: RunContext, exc_info: ExcInfo) -> bool | None:
        """True for NotConnected, EventPublishFailure and T2Timeout."""
        return issubclass(exc_info[0], NotConnected | EventPublishFailure | T2Timeout)


def _exc_info() -> ExcInfo:
    kind, problem, trace = sys.exc_info()
    assert kind is not None
    assert problem is not None
    return kind, problem, trace


def _client_for(config: Mapping[str, Any] | None, default_name: str) -> Client:
    settings = thing_settings(config, default_name)
    make_link = config.get(LINK) if config is not None else None
    if make_link is not None:
        return Client(name=settings.name, link=make_link())
    return Client(settings.url, settings.token, name=settings.name, ca_file=settings.ca_file)
