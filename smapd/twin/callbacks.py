"""What an integrator or follower implements: called on its call thread, one at a time, in order."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar

from twisted.python.failure import Failure

from smapd.errors import EventInvalid, MissingCallback
from smapd.runtime import attempt

from .event import UnknownEvent

if TYPE_CHECKING:
    from .event import AssetEvent
    from .responding import T2Request

P = ParamSpec("P")
T = TypeVar("T")
_log: Final = logging.getLogger(__name__)


class IntegratorCallbacks:
    """Implement all three; ``on_t2_request`` only if T2 is enabled.

    They come on the thing's call thread, one at a time, and each holds up the next. Publishing in
    any of them is allowed. What one raises is logged, and the next one comes.
    """

    def on_asset_created(self, asset_id: str) -> None:
        """An asset is there: once for each at the start, and once for each made later."""
        raise NotImplementedError

    def on_asset_deleted(self, asset_id: str) -> None:
        """An asset is gone: once."""
        raise NotImplementedError

    def on_t2_request(self, request: T2Request) -> None:
        """Somebody asks something of an asset; answer here, or later on any thread."""
        raise NotImplementedError


class FollowerCallbacks:
    """Implement the first three; with `NamedEventMixin` the first two.

    They come on the thing's call thread, one at a time, and each holds up the next.
    """

    def on_asset_created(self, asset_id: str) -> None:
        """An asset is there: once for each at the start, and once for each made later."""
        raise NotImplementedError

    def on_asset_deleted(self, asset_id: str) -> None:
        """An asset is gone: once."""
        raise NotImplementedError

    def on_event(self, event: AssetEvent) -> None:
        """Something happened to an asset; ``ack_event`` it when it is dealt with."""
        raise NotImplementedError

    def on_event_internal(self, event: AssetEvent) -> None:
        """The twin itself says something; see ``smapd.twin.event.internal``."""


class NamedEventMixin:
    """Gives each event to the method of its type: ``do_<type in lower case>(event)``.

    Put it before `FollowerCallbacks` among the bases.
    """

    def on_event(self, event: AssetEvent) -> None:
        """Find the method, and call it."""
        method = None if isinstance(event, UnknownEvent) else _method_of(self, event)
        (method if callable(method) else self.on_event_unmatched)(event)

    def on_event_unmatched(self, event: AssetEvent) -> None:
        """There is no method for this one: of another type, or of one not known here.

        Unless a class overrides this, such an event is acknowledged, since nobody else will; but
        one of an unknown type or version that has a method is not: it would be lost.
        """
        if isinstance(event, UnknownEvent) and callable(_method_of(self, event)):
            raise EventInvalid(
                f"{event!r} cannot be given to do_{event.name().lower()}(): no module of "
                "EventModules has that type and version. It is not acknowledged."
            )


def leaves_unmatched(callbacks: Any, event: AssetEvent) -> bool:
    """Whether nobody will see this event, so that the follower itself has to acknowledge it."""
    kind = type(callbacks)
    return (
        isinstance(callbacks, NamedEventMixin)
        and kind.on_event is NamedEventMixin.on_event
        and kind.on_event_unmatched is NamedEventMixin.on_event_unmatched
        and not callable(_method_of(callbacks, event))
    )


def _method_of(callbacks: Any, event: AssetEvent) -> Any:
    return getattr(callbacks, "do_" + event.name().lower(), None)


def check_callbacks(callbacks: Any, base: type[Any], required: Iterable[str]) -> None:
    """Return if all of these are implemented.

    :raises MissingCallback: naming those that are not.
    """
    missing = [
        name
        for name in required
        if not callable(getattr(callbacks, name, None))
        or getattr(type(callbacks), name, None) is getattr(base, name)
    ]
    if missing:
        methods = " and ".join(f"{name}()" for name in missing)
        raise MissingCallback(f"{type(callbacks).__name__} has no {methods}.")


def log_exceptions(log: Any) -> Callable[[Callable[P, T]], Callable[P, T | None]]:
    """For functions given to a pool: what they raise is logged with its traceback, and ends there.

    ``log``: of ``logging``, or a Twisted one. The decorated function returns None then.
    """

    def decorate(f: Callable[P, T]) -> Callable[P, T | None]:
        @functools.wraps(f)
        def guarded(*a: P.args, **kw: P.kwargs) -> T | None:
            result = attempt(functools.partial(f, *a, **kw))
            if isinstance(result, Failure):
                name = getattr(f, "__qualname__", repr(f))
                if isinstance(log, logging.Logger | logging.LoggerAdapter):
                    log.error("%s failed", name, exc_info=exc_info(result))
                else:
                    log.failure("{name} failed", result, name=name)
                return None
            return result

        return guarded

    return decorate


def exc_info(failure: Failure) -> tuple[type[BaseException], BaseException, Any]:
    """What ``logging`` wants of an exception."""
    problem: BaseException = failure.value  # type: ignore[assignment]
    return type(problem), problem, problem.__traceback__


def call(name: str, f: Callable[..., object], *a: Any) -> bool:
    """Call a user's function; log what it raises. Whether it returned."""
    result = attempt(f, *a)
    if isinstance(result, Failure):
        _log.error("%s raised", name, exc_info=exc_info(result))
        return False
    return True
