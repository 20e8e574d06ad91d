"""The commands: ``smapd``, ``run-driver``, ``uuid`` and ``jprint``.

Importing this needs the standard library alone, so that ``uuid`` and ``jprint`` work anywhere and
every command starts at once; what a command needs beyond that it imports when it runs.
"""

from .main import main
from .new_uuid import uuid
from .one_driver import run_driver
from .print_json import jprint

__all__ = ["jprint", "main", "run_driver", "uuid"]
