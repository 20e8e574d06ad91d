"""What handlers keep between their runs: a connection that all resources of a device share.

``@cache`` on a method keeps what it returns in the agent's ``AgentCache``, under the method itself
and the arguments of the call, defaults included. An entry ends by its timeout, with the deployment
of its version, when its place is needed, or when the agent stops; whichever comes first, and
``call_on_delete`` is called then, once.
"""

from __future__ import annotations

import functools
import heapq
import inspect
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any, Final, ParamSpec, Protocol, TypeVar, overload

from twisted.logger import Logger
from twisted.python.failure import Failure

from smapd.errors import ShutdownRequested
from smapd.runtime import attempt
from smapd.runtime.program import Monitor, seconds, thread_ident

from .resources import Resource

P = ParamSpec("P")
T = TypeVar("T")
_log = Logger()

TIMEOUT_S: Final = 5000.0
MOST_ENTRIES: Final = 10_000
"""In one cache; past that the oldest is dropped."""


class Seconds(Protocol):
    """A clock: ``runtime.Clock``, a fake one, or Twisted's."""

    def seconds(self) -> float:
        """Seconds that only grow."""


class AgentCache:
    """The entries of one agent. Every method from any thread.

    ``call_on_delete`` of an entry is called on the thread that finds it over; what it raises is
    logged.
    """

    def __init__(self, clock: Seconds | None = None, most: int = MOST_ENTRIES) -> None:
        """``clock``: the machine's if None. ``most``: entries at a time."""
        self._seconds = seconds if clock is None else clock.seconds
        self._most = most
        self._monitor = Monitor()
        self._entries: dict[Hashable, _Entry] = {}
        self._due: list[tuple[float, int, _Entry]] = []
        self._number = 0
        self._open: dict[Hashable, int] = {}
        self._making: dict[Hashable, _Making] = {}
        self._waits_for: dict[int, _Making] = {}
        self._is_closed = False

    def open_version(self, version: Hashable) -> None:
        """A deployment of this version begins; each has its ``close_version``."""
        with self._monitor:
            self._open[version] = self._open.get(version, 0) + 1

    def close_version(self, version: Hashable) -> None:
        """A deployment of this version is ready; with the last such one its entries end."""
        with self._monitor:
            left = self._open.pop(version, 0) - 1
            if left > 0:
                self._open[version] = left
                return
            bound = [one for one in self._entries.values() if one.version == version]
            over = [one for one in bound if self._remove(one)]
        _delete(over)

    def tick(self) -> None:
        """Let go of what is over; call it every few seconds, where ``call_on_delete`` may run."""
        now_s = self._seconds()
        over = []
        with self._monitor:
            while self._due and (self._due[0][0] <= now_s or self._due[0][2].is_gone):
                entry = heapq.heappop(self._due)[2]
                if self._remove(entry):
                    over.append(entry)
        _delete(over)

    def close(self) -> None:
        """The agent stops: every entry ends, the newest first; nothing is made any more."""
        with self._monitor:
            self._is_closed = True
            over = [one for one in reversed(self._entries.values()) if self._remove(one)]
            self._entries.clear()
            self._due.clear()
            self._monitor.wake()
        _delete(over)

    def __len__(self) -> int:
        """How many entries there are, those included whose time is up and that nobody asked for."""
        return len(self._entries)

    def get_or_make(
        self,
        key: Hashable,
        make: Callable[[], T],
        *,
        timeout_s: float = TIMEOUT_S,
        version: Hashable = None,
        cache_none: bool = True,
        call_on_delete: Callable[[T], object] | None = None,
    ) -> T:
        """What is kept under ``key``, or else what ``make`` gives, which is kept.

        Who asks while it is being made waits, and is given the same. What ``make`` raises is raised
        to all of them, and nothing is kept. ``version``: the one it is bound to; None for none.

        :raises ShutdownRequested: after ``close``, or when that came in between.
        :raises RuntimeError: if the makers would wait for each other for ever.
        """
        over: list[_Entry] = []
        try:
            with self._monitor:
                entry = self._look(key, over)
                if entry is not None:
                    return entry.value  # type: ignore[no-any-return]
                making = self._making.get(key)
                if making is not None:
                    return self._wait(key, making)  # type: ignore[no-any-return]
                making = self._making[key] = _Making(thread_ident())
        finally:
            _delete(over)
        made = attempt(make)
        entry, over = None, []
        with self._monitor:
            self._making.pop(key, None)
            if isinstance(made, Failure):
                making.error = made.value
            else:
                making.value = made
                if made is not None or cache_none:
                    due_s = self._seconds() + timeout_s
                    entry = _Entry(key, made, due_s, version, call_on_delete)
                if self._is_closed:
                    making.error = ShutdownRequested("The agent has stopped.")
                    over = [entry] if entry is not None else []
                elif entry is not None:
                    over = self._keep(entry)
            making.is_done = True
            self._monitor.wake()
        _delete(over)
        if making.error is not None:
            raise making.error
        return making.value  # type: ignore[no-any-return]

    # --- with the monitor held

    def _look(self, key: Hashable, over: list[_Entry]) -> _Entry | None:
        if self._is_closed:
            raise ShutdownRequested("The agent has stopped.")
        entry = self._entries.get(key)
        if entry is None or self._seconds() < entry.due_s:
            return entry
        if self._remove(entry):
            over.append(entry)
        return None

    def _wait(self, key: Hashable, making: _Making) -> Any:
        me = thread_ident()
        further: _Making | None = making
        while further is not None:
            if further.thread == me:
                raise RuntimeError(
                    f"{_called(key)} cannot be cached: what makes it waits, by way of other cached"
                    " methods, for itself"
                )
            further = self._waits_for.get(further.thread)
            if further is not None and further.is_done:  # it was woken, and has not run since
                break
        self._waits_for[me] = making
        try:
            while not making.is_done:
                self._monitor.wait()
        finally:
            del self._waits_for[me]
        if making.error is not None:
            raise making.error
        return making.value

    def _keep(self, entry: _Entry) -> list[_Entry]:
        """Those that had to go for it."""
        over = []
        while len(self._entries) >= self._most:
            oldest = next(iter(self._entries.values()))
            if self._remove(oldest):
                over.append(oldest)
        self._entries[entry.key] = entry
        self._number += 1
        heapq.heappush(self._due, (entry.due_s, self._number, entry))
        if len(self._due) > 2 * self._most + 64:
            self._due = [one for one in self._due if not one[2].is_gone]
            heapq.heapify(self._due)
        return over

    def _remove(self, entry: _Entry) -> bool:
        """Whether it was there; who is told so, calls its ``call_on_delete``."""
        if entry.is_gone:
            return False
        entry.is_gone = True
        if self._entries.get(entry.key) is entry and not self._is_closed:
            del self._entries[entry.key]
        return True


class _Entry:
    __slots__ = ("call_on_delete", "due_s", "is_gone", "key", "value", "version")

    def __init__(
        self,
        key: Hashable,
        value: Any,
        due_s: float,
        version: Hashable,
        call_on_delete: Callable[[Any], object] | None,
    ) -> None:
        self.key, self.value, self.due_s = key, value, due_s
        self.version, self.call_on_delete = version, call_on_delete
        self.is_gone = False


class _Making:
    """An entry on its way, and the thread that makes it."""

    __slots__ = ("error", "is_done", "thread", "value")

    def __init__(self, thread: int) -> None:
        self.thread = thread
        self.is_done = False
        self.value: Any = None
        self.error: BaseException | None = None


def _delete(entries: Iterable[_Entry]) -> None:
    for entry in entries:
        if entry.call_on_delete is None:
            continue
        result = attempt(entry.call_on_delete, entry.value)
        if isinstance(result, Failure):
            _log.failure("call_on_delete of {what} failed", failure=result, what=_called(entry.key))


def _called(key: Hashable) -> str:
    first = key[0] if isinstance(key, tuple) and key else key
    return str(getattr(first, "__qualname__", first))[:200]


@overload
def cache(timeout: Callable[P, T], /) -> Callable[P, T]: ...


@overload
def cache(
    timeout: float = TIMEOUT_S,
    for_version: bool = True,
    ignore: Iterable[str] = (),
    cache_none: bool = True,
    call_on_delete: Callable[[Any], object] | None = None,
) -> Callable[[Callable[P, T]], Callable[P, T]]: ...


def cache(
    timeout: Any = TIMEOUT_S,
    for_version: bool = True,
    ignore: Iterable[str] = (),
    cache_none: bool = True,
    call_on_delete: Callable[[Any], object] | None = None,
) -> Any:
    """Keep what a handler's method returns for the next call with the same arguments.

    ``timeout``: in seconds. ``for_version``: if the method has a parameter ``version``, the entry
    ends with that version's deployment too. ``ignore``: parameters that make no difference; ``ctx``
    is one. ``cache_none``: whether None is kept. ``call_on_delete``: called with what was kept when
    it is over. Other handlers of the agent share what a method of their common base keeps.

    :raises ValueError: if the timeout is not more than 0, or a name in ``ignore`` is no parameter.
    """
    if callable(timeout):
        return cache()(timeout)
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not timeout > 0:
        raise ValueError(f"@cache: the timeout is more than 0 seconds, not {timeout!r}")
    ignored = frozenset((ignore,) if isinstance(ignore, str) else ignore)

    def decorate(method: Callable[..., Any]) -> Callable[..., Any]:
        signature = inspect.signature(method)
        names = list(signature.parameters)
        if inspect.iscoroutinefunction(method) or inspect.isgeneratorfunction(method):
            raise ValueError(f"@cache: {method.__qualname__} returns what can be used once only")
        if not names:
            raise ValueError(f"@cache: {method.__qualname__} is not a method: it has no self")
        unknown = ignored.difference(names)
        if unknown:
            raise ValueError(
                f"@cache: {method.__qualname__} has no parameter {', '.join(sorted(unknown))}"
            )
        is_bound = for_version and "version" in names[1:]

        @functools.wraps(method)
        def cached(self: Any, *args: Any, **kwargs: Any) -> Any:
            bound = signature.bind(self, *args, **kwargs)
            bound.apply_defaults()
            given = bound.arguments
            key: list[Hashable] = [method]
            for name in names[1:]:
                if name not in ignored:
                    key.append(_part(given[name], name, method))
            held: AgentCache = self.cache
            return held.get_or_make(
                tuple(key),
                functools.partial(method, self, *args, **kwargs),
                timeout_s=timeout,
                version=given["version"] if is_bound else None,
                cache_none=cache_none,
                call_on_delete=call_on_delete,
            )

        return cached

    return decorate


def _part(value: Any, name: str, method: Callable[..., Any]) -> Hashable:
    """An argument as part of a key; equal arguments of one type give equal parts."""
    kind = type(value)
    if kind is str or kind is int or value is None:
        return (kind, value)
    if isinstance(value, Resource):
        return (Resource, value.id.resource_str())
    if isinstance(value, list | tuple):
        return (kind, tuple([_part(one, name, method) for one in value]))
    if isinstance(value, set | frozenset):
        return (kind, frozenset(_part(one, name, method) for one in value))
    if isinstance(value, Mapping):
        return (
            kind,
            frozenset((_part(k, name, method), _part(v, name, method)) for k, v in value.items()),
        )
    try:
        hash(value)
    except TypeError:
        raise TypeError(
            f"{method.__qualname__} cannot be cached by its argument {name}, a"
            f" {kind.__name__} without a hash: name it in ignore"
        ) from None
    return (kind, value)
