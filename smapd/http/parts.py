"""What the server is handed: it finds nothing by itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from smapd.interfaces import IAccess, IIntake, IStatus, ITree


@dataclass(frozen=True)
class HttpParts:
    """The rooms behind the routes. All are called on the reactor's thread.

    ``ready``, ``healthy``: give "" while all is well, else the reason why not, as a sentence.
    """

    tree: ITree
    intake: IIntake
    access: IAccess
    status: IStatus
    ready: Callable[[], str]
    healthy: Callable[[], str]
    version: str
