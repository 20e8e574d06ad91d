"""The one place that decides who may do what.

The rule: over loopback, to a daemon that listens on loopback alone, reading is open, and writing
is too until a token exists; then writing needs it. On any other listener everything needs it.

Nothing is compared here: that a token was presented, and was the right one, is a fact about the
request, which ``Principal.token`` states.
"""

from __future__ import annotations

from typing import Final

from zope.interface import implementer

from smapd.errors import Forbidden, Unauthorized
from smapd.interfaces import IAccess
from smapd.values import Action, Principal

_READS: Final = frozenset({Action.READ, Action.STATUS})


@implementer(IAccess)
class Access:
    """The rule for one listener; immutable, so any thread may ask.

    ``token``: the listener's token, None if it has none; only its presence is kept.
    ``loopback_only``: whether the listener is bound to a loopback address.
    """

    __slots__ = ("_has_token", "_loopback_only")

    def __init__(self, token: bytes | None, loopback_only: bool) -> None:
        self._has_token = bool(token)
        self._loopback_only = loopback_only

    def decide(self, who: Principal, what: Action, where: str) -> None:
        """Return if ``who`` may do ``what`` at ``where``; see ``IAccess.decide``."""
        if self._loopback_only and who.loopback:
            if what in _READS or who.token or not self._has_token:
                return
            raise Unauthorized(f"To {what.value} here needs the token.")
        if not self._has_token:
            # check_listener refuses such a config; whoever gets here by another way stays outside
            raise Forbidden("This daemon has no token, and without one it answers loopback alone.")
        if not who.token:
            raise Unauthorized("Every request to this daemon needs the token.")
