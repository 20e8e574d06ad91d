"""A daemon for the time of an import, where none runs on the data directory of a config file.

A process of its own, started by the import: it has the tree of the config file and its reports, so
what is loaded is kept and delivered as in a running one. Its drivers are set up, which makes their
timeseries, and not started: nothing is asked of a device. It listens on loopback with a token that
only the import knows, and ends with the import, however that ends.
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
import inspect
import os
import secrets
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

from smapd.errors import NotRunning, SmapError

from . import plans
from .peer import Peer

if TYPE_CHECKING:
    from smapd.assembly import Daemon as Running
    from smapd.config import NodeSection, Plan
    from smapd.storage import Daemon

_TOKEN: Final = "SMAPD_IMPORT_TOKEN"
_READY: Final = "ready"
_STOP_S: Final = 60.0
_LOOK_S: Final = 1.0
_COMMIT_S: Final = 0.02
"""Each batch is waited for, and there is nothing else to be gathered with it."""


def running_on(config: str, data_dir: str | None) -> Daemon | None:
    """The daemon that runs on the data directory of a config file; None if none does.

    :raises ConfigError: if the file has errors.
    """
    from smapd.storage import read_daemon

    where = data_dir or plans.load(config).server["DataDir"]
    try:
        return read_daemon(where)
    except NotRunning:
        return None


class OwnDaemon:
    """Started on entry, where it gives the daemon to talk to; stopped on exit, all on its disk."""

    def __init__(self, config: str, data_dir: str | None = None) -> None:
        self._config, self._data_dir = config, data_dir
        self._child: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Peer:
        """:raises SmapError: if it does not start; why stands on stderr then."""
        from smapd.storage import read_daemon

        where = self._data_dir or str(plans.load(self._config).server["DataDir"])
        token = secrets.token_hex(32)
        code = "import sys; from smapd.cli.own_daemon import main; sys.exit(main(*sys.argv[1:]))"
        self._child = subprocess.Popen(
            [sys.executable, "-c", code, self._config, where, str(os.getpid())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            env={**os.environ, _TOKEN: token, "PYTHONPATH": _python_path()},
            start_new_session=True,  # Ctrl-C is for the import, which stops it in order
        )
        try:
            assert self._child.stdout is not None
            if self._child.stdout.readline().decode().strip() != _READY:
                raise SmapError(f"the daemon for the import did not start on {where}.")
            return Peer(read_daemon(where).url, token)
        except BaseException:
            self._end()
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()

    def _end(self) -> None:
        child = self._child
        if child is None:
            return
        child.terminate()
        try:
            child.wait(_STOP_S)
        except subprocess.TimeoutExpired:  # its disk hangs; what is committed stays
            child.kill()
            child.wait()
        if child.stdout is not None:
            child.stdout.close()


# --- in the child


def main(config: str, data_dir: str, parent: str) -> int:
    """Run it until it is told to stop, or the import is gone."""
    from smapd import server

    from .exits import guarded

    def watch(daemon: Running, end: Callable[[int], None]) -> None:
        def look() -> None:
            if os.getppid() != int(parent):
                end(0)

        daemon.run.clock.every(_LOOK_S, look)

    def announce(line: str) -> None:
        with contextlib.suppress(OSError):
            os.write(1, f"{_READY}\n".encode())

    def run() -> int:
        return server.run_plan(
            quiet(plans.load(config), os.environ.pop(_TOKEN)),
            port=0,
            data_dir=data_dir,
            log_level="warn",
            announce=announce,
            on_daemon=watch,
        )

    return guarded(run)


def quiet(plan: Plan, token: str) -> Plan:
    """This plan without polls, behind a port on loopback that takes this token."""
    from smapd.options import Secret

    server = {
        **plan.server,
        "Interface": "127.0.0.1",
        "Token": Secret(token),
        "Certificate": None,
        "PrivateKey": None,
        "CommitInterval": _COMMIT_S,
    }
    sections = tuple(_unstarted(section) for section in plan.sections)
    return replace(plan, server=server, listeners=(), sections=sections)


def _unstarted(section: NodeSection) -> NodeSection:
    """A driver's section with its driver made so that it is set up, and no more."""
    if section.kind != "driver":
        return section
    from smapd.config import with_driver

    if section.driver is None:
        try:
            section = with_driver(section)
        except SmapError:
            return section  # it fails in the daemon too, and is shown there
    return section if section.driver is None else replace(section, driver=_still(section.driver))


def _still(cls: type[Any]) -> type[Any]:
    """A driver's class whose ``start`` and ``stop`` do nothing, and whose polls never begin."""
    from smapd.runtime import current_owner

    setup = cls.setup
    whose: contextvars.ContextVar[Any] = current_owner

    if inspect.iscoroutinefunction(setup):

        @functools.wraps(setup)
        async def set_up_on_loop(self: Any, *a: Any, **k: Any) -> Any:
            token = whose.set(_Nobody(whose.get()))
            try:
                return await setup(self, *a, **k)
            finally:
                whose.reset(token)

        still: Any = set_up_on_loop
    else:

        @functools.wraps(setup)
        def set_up(self: Any, *a: Any, **k: Any) -> Any:
            token = whose.set(_Nobody(whose.get()))
            try:
                return setup(self, *a, **k)
            finally:
                whose.reset(token)

        still = set_up

    def nothing(self: Any) -> None:
        """Not started, so not stopped."""

    return type(cls.__name__, (cls,), {"setup": still, "start": nothing, "stop": nothing})


class _Nobody:
    """The owner of periodic calls that never begin."""

    lane = None
    on_reactor = False
    reactor_s = 0.0

    def __init__(self, owner: Any) -> None:
        self.name = getattr(owner, "name", "")
        self.path = getattr(owner, "path", "")

    def begin_call(self, call: object, beat: object) -> None:
        """It does not."""

    def end_call(self, call: object) -> None:
        """It never began."""

    def took_here(self, seconds: float) -> None:
        """Never on the reactor."""


def _python_path() -> str:
    """Where the child finds smapd, and drivers beside the config, as this process does."""
    ours = str(Path(__file__).resolve().parent.parent.parent)
    return os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH", ""), ours]))


__all__ = ["OwnDaemon", "main", "quiet", "running_on"]
