"""How a command ends: its exit status, and the sentence on stderr for what went wrong."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Final

from smapd.errors import ConfigError, SecretUnreadable, SmapError

OK: Final = 0
FAILED: Final = 1
CONFIG: Final = 78
"""EX_CONFIG of sysexits.h: starting again without a change is of no use."""

PIPE_CLOSED: Final = 141
"""Who read our output went away: what a shell shows for a program that SIGPIPE ended."""

_INTERRUPTED: Final = 130


def guarded(command: Callable[[], int], program: str = "smapd") -> int:
    """Run a command, and turn what it raises into its message on stderr and an exit status.

    A bug keeps its traceback. A reader that goes away (``smapd dump x | head``) is no error.
    """
    try:
        status = command()
        sys.stdout.flush()
    except SmapError as e:
        return said(e, program)
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        # The interpreter flushes once more at exit, which would complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED
    return status


def said(error: SmapError, program: str = "smapd") -> int:
    """Print what went wrong on stderr, and give the exit status for it."""
    if isinstance(error, ConfigError):
        print(error.message, file=sys.stderr)  # file:line first, as editors want it
        return CONFIG
    print(f"{program}: {error.message}", file=sys.stderr)
    if error.hint:
        print(error.hint, file=sys.stderr)
    return CONFIG if isinstance(error, SecretUnreadable) else FAILED
