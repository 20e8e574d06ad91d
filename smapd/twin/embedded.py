"""The integrators and followers that run inside the daemon, each on threads of its own.

A section names a class; it is made and run on the thread ``thing-NAME``, as it would be in a
process of its own. If it raises it is made anew, after a pause that grows. Nothing it does, not
even to hang, holds up the reactor, another thing, or the stop for longer than its time limit.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from twisted.internet.defer import Deferred, DeferredList
from twisted.logger import LogLevel
from twisted.python.failure import Failure

from smapd.errors import ConfigError, MissingExtra, SmapError
from smapd.interfaces import IHub
from smapd.options import nearest
from smapd.runtime import Runtime, attempt
from smapd.runtime.program import Flag, ProgramThread, give_way, spawn
from smapd.values import Json, Problem

from .callbacks import FollowerCallbacks, IntegratorCallbacks
from .client import Client
from .event import EventTypes
from .event.types import look_here
from .links import DirectLink
from .runner import ThingRunner
from .sections import config_of, name_of
from .settings import LINK

STOP_S: Final = 2.8
"""How long all of them together may take to stop."""
ASK_S: Final = 0.25
LOOK_S: Final = 1.0
STEADY_S: Final = 60.0
"""Who ran for so long waits shortly again when it fails."""


@dataclass(frozen=True, slots=True)
class ThingSection:
    """One section of a thing. ``kind``: integrator, follower or thing; ``header``: as in the file.

    ``resolve``: gives its values with secrets fetched; it may read files, and may raise SmapError.
    """

    kind: str
    header: str
    resolve: Callable[[], Mapping[str, Any]]

    @property
    def name(self) -> str:
        """NAME of the header: under it the thing's places are kept."""
        return name_of(self.header)


class EmbeddedThings:
    """All of them; every method on the reactor's thread."""

    def __init__(self, hub: IHub, run: Runtime, types: EventTypes | None = None) -> None:
        """``types``: told of the event modules that their sections name."""
        self._hub, self._run, self._types = hub, run, types
        self._things: dict[str, _Thing] = {}
        self._started = False

    def add(self, section: ThingSection) -> None:
        """Take this section; it runs at once if ``start`` was called.

        :raises ConfigError: if there is one of its name.
        """
        for other in self._things.values():
            if other.section.name == section.name:
                raise ConfigError(
                    [
                        Problem(
                            f"[{other.section.header}] has the name {section.name} already. "
                            "Give each integrator and follower a name of its own; one that is "
                            f"both is a [thing {section.name}].",
                            section=section.header,
                        )
                    ]
                )
        thing = _Thing(section, self._hub, self._run, self._types)
        self._things[section.header] = thing
        if self._started:
            thing.start()

    def start(self) -> None:
        """Run them all, from the order of the file; returns at once."""
        self._started = True
        for thing in self._things.values():
            thing.start()

    def remove(self, header: str) -> Deferred[list[str]]:
        """Stop the one of that section, and forget it; fires as ``stop`` does."""
        thing = self._things.pop(header, None)
        return self._stop([thing] if thing is not None else [])

    def stop(self) -> Deferred[list[str]]:
        """Stop them all, side by side; fires within 3 s with the threads that were left behind."""
        self._started = False
        return self._stop(list(self._things.values()))

    def status(self) -> list[Json]:
        """One entry a section, in their order."""
        return [thing.status() for thing in self._things.values()]

    def _stop(self, things: Sequence[_Thing]) -> Deferred[list[str]]:
        ends = DeferredList([thing.stop() for thing in things])
        return ends.addCallback(lambda _: [name for thing in things for name in thing.left()])


class _Thing:
    """One section."""

    def __init__(
        self, section: ThingSection, hub: IHub, run: Runtime, types: EventTypes | None
    ) -> None:
        self.section = section
        self.thread_name = f"thing-{section.name}"
        self._hub, self._run, self._types = hub, run, types
        self._backoff = run.backoff()
        self._stopping = Flag()
        self._thread: ProgramThread | None = None
        self._runner: ThingRunner | None = None
        self._client: Client | None = None
        self._state, self._why = "waiting for the start", ""
        self._since_ms = run.clock.wall_ms()
        self._type = ""
        self.starts = self.failures = 0
        self._ended: list[Deferred[None]] = []
        self._is_done = False  # its thread has nothing left to do but end

    # --- on the reactor's thread

    @property
    def is_alive(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def left(self) -> list[str]:
        """The threads of it that have not ended."""
        calling = self._client is not None and self._client.is_calling
        names = [self.thread_name] if self.is_alive and not self._is_done else []
        return names + [f"{self.thread_name}-calls"] * calling

    def start(self) -> None:
        if not self.is_alive:
            self._stopping.clear()
            self._is_done = False
            self._thread = spawn(self.thread_name, self._live)

    def stop(self) -> Deferred[None]:
        """Ask it to stop, again and again; fires when it has, or the time is over."""
        done: Deferred[None] = Deferred()
        if self._is_done or not self.is_alive:
            done.callback(None)
            return done
        self._stopping.set()
        self._ended.append(done)
        clock = self._run.clock
        asking = clock.every(ASK_S, self._ask)
        over = clock.later(STOP_S, self._is_over)
        self._ask()

        def tidy(_: None) -> None:
            asking.stop()
            over.discard()

        return done.addCallback(tidy)

    def status(self) -> Json:
        runner = self._runner
        return {
            "section": self.section.header,
            "name": self.section.name,
            "type": self._type,
            "state": self._state,
            "since_ms": self._since_ms,
            "starts": self.starts,
            "failures": self.failures,
            "connected": runner is not None and runner.client.is_connected,
            "why": self._why,
        }

    def _ask(self) -> None:
        runner = self._runner
        if runner is not None:
            ThingRunner.stop(runner, 0)  # not one that the class may have put in its place

    def _is_over(self) -> None:
        ended, self._ended = self._ended, []
        for done in ended:
            done.callback(None)

    # --- on its own thread

    def _live(self) -> None:
        give_way()  # to the reactor above all
        try:
            while not self._stopping.is_set():
                began_s = self._run.clock.seconds()
                result = attempt(self._run_once)
                self._runner = None
                if not isinstance(result, Failure):
                    self._be("ended")
                    break
                if self._run.clock.seconds() - began_s > STEADY_S:
                    self._backoff.reset()
                self._failed(result)
                self._stopping.wait(self._backoff.next())
                while self._client is not None and self._client.is_calling:
                    self._be("failed", "a callback of it still runs; it is not made anew yet")
                    if self._stopping.wait(LOOK_S):
                        break
        finally:
            if self._stopping.is_set():
                self._be("stopped")
            self._is_done = True
            attempt(self._say_ended)

    def _say_ended(self) -> None:
        self._run.threads.to_reactor(self._is_over, wait=False)

    def _run_once(self) -> None:
        self.starts += 1
        self._be("starting")
        section = self.section
        options = section.resolve()
        self._type = str(options.get("type") or "")
        found = find_thing(self._type, section.header)
        check_kind(found, section)
        config = config_of(section.kind, section.name, options)
        config[LINK] = self._link
        if self._types is not None:
            for module in options.get("EventModules") or ():
                self._types.add_module(module)
        runner = made(found, config)
        self._runner, self._client = runner, runner.client
        if self._stopping.is_set():
            return
        self._be("running")
        runner.run()
        self._run.faults.cleared(("thing", section.header), f"[{section.header}] runs again")

    def _link(self) -> DirectLink:
        run = self._run
        return DirectLink(self._hub, run.threads.to_reactor, run.clock, run.backoff())

    def _failed(self, failure: Failure) -> None:
        self.failures += 1
        error: Any = failure.value
        known = isinstance(error, SmapError)
        text = error.message if known else f"{type(error).__name__}: {error}"
        if isinstance(error, ConfigError):  # its own words say that nothing was started
            text = " ".join(str(problem) for problem in error.problems)
        text = " ".join(text.split())[:1000].removeprefix(f"[{self.section.header}] ")
        self._be("failed", text)
        self._run.faults.fault(
            ("thing", self.section.header),
            f"[{self.section.header}] failed, and is made anew: {text}",
            failure=None if known else failure,
            level=LogLevel.error,
            section=self.section.header,
        )

    def _be(self, state: str, why: str = "") -> None:
        self._state, self._why = state, why
        self._since_ms = self._run.clock.wall_ms()


def find_thing(name: str, header: str = "") -> type[ThingRunner]:
    """The class ``package.module.Class``; also from a module in the working directory.

    Runs the module's code.

    :raises ConfigError: if there is none, or it is no ThingRunner.
    :raises MissingExtra: if the module needs a package that is not installed.
    """

    def wrong(text: str) -> ConfigError:
        return ConfigError([Problem(text, section=header, key="type", value=name)])

    module_name, _, attribute = name.replace(":", ".").rpartition(".")
    if not module_name or not attribute.isidentifier():
        raise wrong("not a class. Write package.module.Class.")
    look_here()
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if module_name == missing or module_name.startswith(missing + "."):
            raise wrong(f"there is no module {missing}.") from None
        raise MissingExtra(
            f"{name} needs the package {missing}, which is not installed.",
            hint=f"Install it with pip: {missing.partition('.')[0]}",
        ) from error
    found = getattr(module, attribute, None)
    if not inspect.isclass(found) or not issubclass(found, ThingRunner):
        classes = [
            key
            for key, value in vars(module).items()
            if inspect.isclass(value)
            and issubclass(value, ThingRunner)
            and value.__module__ == module.__name__
        ]
        close = nearest(attribute, classes) or (classes[0] if classes else None)
        meant = f" Did you mean {module_name}.{close}?" if close else ""
        what = "there is no such class" if found is None else "it is no ThingRunner"
        raise wrong(f"{what}.{meant}")
    return found


def check_kind(found: type[ThingRunner], section: ThingSection) -> None:
    """Refuse the class of a follower in the section of an integrator, and the other way round.

    :raises ConfigError: naming the section it wants.
    """
    wants = {
        kind
        for kind, callbacks in (
            ("integrator", IntegratorCallbacks),
            ("follower", FollowerCallbacks),
        )
        if issubclass(found, callbacks)
    }
    if section.kind == "thing" or len(wants) != 1 or section.kind in wants:
        return
    (kind,) = wants
    text = f"its callbacks are those of a {kind}. Write [{kind} {section.name}]."
    if kind == "integrator":
        text = text.replace("of a ", "of an ")
    name = f"{found.__module__}.{found.__qualname__}"
    raise ConfigError([Problem(text, section=section.header, key="type", value=name)])


def made(found: type[ThingRunner], config: Mapping[str, Any]) -> ThingRunner:
    """One of this class. A class that wants two configs, its own and the agent's, gets it twice."""
    make: Any = found
    try:
        wanted = [
            p
            for p in inspect.signature(found).parameters.values()
            if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
        ]
    except (TypeError, ValueError):
        wanted = []
    runner: ThingRunner = make(config, config) if len(wanted) == 2 else make(config)
    return runner
