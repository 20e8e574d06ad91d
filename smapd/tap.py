"""What ``twist smapd CONFIG`` runs: the daemon of ``smapd run`` under Twisted's own command.

``smapd run`` is the documented way. Here the log is twist's, and twist ends the process.
"""

from __future__ import annotations

import sys

from twisted.application.service import IService
from twisted.python import usage

from smapd.assembly import TABLES
from smapd.config import load_plan
from smapd.errors import ConfigError

__all__ = ["Options", "makeService"]

_EX_CONFIG = 78


class Options(usage.Options):
    """The arguments of ``twist smapd``; the checked plan is under ``plan``."""

    synopsis = "[options] CONFIG"
    optParameters = (
        ("port", "p", None, "wins over [server] Port; 0 takes a free one", int),
        ("data-dir", "d", None, "wins over [server] DataDir"),
    )

    def parseArgs(self, config: str = "") -> None:
        """Take the one argument.

        :raises usage.UsageError: if it is missing.
        """
        if not config:
            raise usage.UsageError("name the config file: twist smapd CONFIG")
        self["config"] = config

    def postOptions(self) -> None:
        """Load the plan here, so that what is wrong with it comes before anything is started.

        :raises usage.UsageError: if the port is none.
        :raises SystemExit: with status 78, after every problem of the file went to stderr.
        """
        port = self["port"]
        if port is not None and not 0 <= port <= 65535:
            raise usage.UsageError(f"{port} is not a port; write a number up to 65535")
        try:
            self["plan"] = load_plan(self["config"], tables=TABLES)
        except ConfigError as e:
            print(e.message, file=sys.stderr)
            raise SystemExit(_EX_CONFIG) from None


def makeService(options: Options) -> IService:
    """The daemon as a service; nothing is started yet."""
    from smapd import server

    return server.make_service(options["plan"], port=options["port"], data_dir=options["data-dir"])
