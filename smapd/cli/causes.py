"""The traceback of what a driver raised, from the driver's own code on.

Only for exceptions that are bugs: those of smapd are sentences, and say all there is.
"""

from __future__ import annotations

import os
import traceback
from types import TracebackType

from smapd.errors import MissingExtra, SmapError

_OURS = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "")
_DRIVERS = os.path.join(_OURS, "drivers", "")
_PYTHON = os.path.dirname(os.path.abspath(os.__file__))
_BETWEEN = ("<frozen ", *(os.path.join(_PYTHON, part, "") for part in ("importlib", "asyncio")))
_DEFERRED = os.path.join("twisted", "internet", "defer.py")


def cause_of(error: SmapError) -> str:
    """The traceback of its cause, "" where that says no more than the error itself."""
    cause = error.__cause__
    if cause is None or isinstance(cause, SmapError) or isinstance(error, MissingExtra):
        return ""
    return "".join(traceback.format_exception(type(cause), cause, _own(cause.__traceback__)))


def _own(found: TracebackType | None) -> TracebackType | None:
    """Without the frames that stand before it: of smapd, and of what it calls drivers through."""
    while found is not None and found.tb_next is not None:
        file = found.tb_frame.f_code.co_filename
        is_ours = file.startswith(_OURS) and not file.startswith(_DRIVERS)
        if not is_ours and not file.startswith(_BETWEEN) and not file.endswith(_DEFERRED):
            break
        found = found.tb_next
    return found
