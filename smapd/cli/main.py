"""``smapd COMMAND``: the command line as a whole. One file a command stands beside this one.

A command is a module with ``arguments(parser)`` and ``run(args) -> exit status``; its docstring is
its description. Only the one that is asked for is imported.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Final

from smapd import __version__

COMMANDS: Final[Mapping[str, tuple[str, str]]] = {
    "run": ("run", "run the daemon of a config file"),
    "check": ("check", "check a config file, and name everything wrong with it"),
    "dump": ("dump", "print a config file in normal form"),
    "status": ("status", "show what a running daemon does"),
    "add": ("add", "add one reading to a timeseries of a running daemon"),
    "load": ("load", "load readings of the past from the devices of a config file"),
    "load-csv": ("load_csv", "load readings of the past from a CSV file"),
    "reports": ("reports", "list, make and remove the reports of a running daemon"),
    "asset": ("asset", "make, list and delete the assets of a running daemon"),
    "events": ("events", "show the events of an asset, or follow them"),
    "request": ("request", "ask whoever serves an asset, and write what it answers"),
    "receive": ("receive", "receive reports, and keep them in SQLite or CSV"),
    "desired": ("desired", "export a model of the desired state, deploy it, look what came of it"),
    "journal": ("journal", "look into the readings of a data directory while no daemon runs"),
    "drivers": ("drivers", "list the drivers that a config may name"),
    "docs": ("docs", "print the keys of a driver's section, of [server] or of a report"),
    "new-driver": ("new_driver", "make the folder of a new driver, with tests that pass"),
    "uuid": ("new_uuid", "print a new uuid, or the one of a stream"),
    "jprint": ("print_json", "print JSON for people"),
}
"""Command: its module beside this one, and its line of help."""

_EPILOG = "exit status: 0 done, 1 failed, 2 wrong usage, 78 wrong config; errors are on stderr"


def main(argv: Sequence[str] | None = None) -> int:
    """The ``smapd`` command; its exit status.

    :raises SystemExit: with 2 for wrong usage, with 0 after --help and --version.
    """
    from .exits import guarded

    return guarded(lambda: _run(sys.argv[1:] if argv is None else argv))


def _run(given: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="smapd",
        description="Instruments as a named tree of timeseries.",
        epilog=_EPILOG,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"smapd {__version__}")
    parsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    command = next((word for word in given if word in COMMANDS), None)
    module = None if command is None else import_module("smapd.cli." + COMMANDS[command][0])
    for name, (_, help_) in COMMANDS.items():
        if module is not None and name == command:
            module.arguments(
                parsers.add_parser(name, help=help_, description=module.__doc__, allow_abbrev=False)
            )
        else:
            parsers.add_parser(name, help=help_)
    args = parser.parse_args(given)
    assert module is not None  # argparse has refused every other word
    return int(module.run(args))
