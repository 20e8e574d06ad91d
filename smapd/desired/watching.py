"""Who looks at the actions on a resource as they come."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from zope.interface import implementer

from smapd.errors import Busy
from smapd.interfaces import IWatching
from smapd.values import ActionFilter, Json

from .actions import seen

MOST: Final = 1_000


class Watchers:
    """All of them; on the reactor's thread."""

    def __init__(self) -> None:
        self._by_resource: dict[str, set[_Watching]] = {}

    def add(self, name: str, asked: ActionFilter, give: Callable[[Json], None]) -> IWatching:
        """Give each action on that resource that passes, until it is stopped.

        :raises Busy: if too many look already.
        """
        if sum(map(len, self._by_resource.values())) >= MOST:
            raise Busy(f"{MOST} clients look at actions already.")
        watching = _Watching(self._by_resource, name, asked, give)
        self._by_resource.setdefault(name, set()).add(watching)
        return watching

    def tell(self, action: Json) -> None:
        """This came."""
        for watching in list(self._by_resource.get(action["resource"], ())):
            watching.tell(action)


@implementer(IWatching)
class _Watching:
    def __init__(
        self,
        everyone: dict[str, set[_Watching]],
        name: str,
        asked: ActionFilter,
        give: Callable[[Json], None],
    ) -> None:
        self._everyone, self._name, self._asked, self._give = everyone, name, asked, give

    def tell(self, action: Json) -> None:
        told = seen(action, self._asked)
        if told is not None:
            self._give(told)

    def stop(self) -> None:
        """Give no more; may be repeated."""
        others = self._everyone.get(self._name)
        if others is not None:
            others.discard(self)
            if not others:
                del self._everyone[self._name]
