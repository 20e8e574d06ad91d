"""How a command ends: its exit status, and the sentence on stderr for what went wrong."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Final

from smapd.errors import ConfigError, SecretUnreadable, SmapError

from .output import OutputLost, checked_output, say

OK: Final = 0
FAILED: Final = 1
CONFIG: Final = 78
"""EX_CONFIG of sysexits.h: starting again without a change is of no use."""

PIPE_CLOSED: Final = 141
"""Who read our output went away: what a shell shows for a program that SIGPIPE ended."""

_INTERRUPTED: Final = 130


def guarded(command: Callable[[], int], program: str = "smapd") -> int:
    """Run a command, and turn what it raises into its message on stderr and an exit status.

    A bug keeps its traceback. A reader that goes away (``smapd dump x | head``) is no error; an
    output that cannot be written is.

    :raises SystemExit: as the command does, for wrong usage and --help.
    """
    try:
        with checked_output():
            return _ended(command, program)
    except BrokenPipeError:
        return PIPE_CLOSED
    except OutputLost as e:
        say(f"{program}: the output cannot be written: {e}.")
        return FAILED


def _ended(command: Callable[[], int], program: str) -> int:
    try:
        return command()
    except SystemExit:
        sys.stdout.flush()  # of --help; what it meets then wins over the status
        raise
    except SmapError as e:
        return said(e, program)
    except KeyboardInterrupt:
        return _INTERRUPTED


def said(error: SmapError, program: str = "smapd") -> int:
    """Print what went wrong on stderr, and give the exit status for it."""
    if isinstance(error, ConfigError):
        say(error.message)  # file:line first, as editors want it
        return CONFIG
    say(f"{program}: {error.message}")
    if error.hint:
        say(error.hint)
    return CONFIG if isinstance(error, SecretUnreadable) else FAILED
