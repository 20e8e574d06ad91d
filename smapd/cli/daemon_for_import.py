"""The daemon that an import goes to: a running one, or one for the time of the import."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from smapd.errors import NotRunning

from . import peer
from .importer import Importer
from .peer import Peer


def arguments(parser: argparse.ArgumentParser, *, config: bool = True) -> None:
    """The arguments that name it, and say how to go about it."""
    peer.arguments(parser)
    if config:
        parser.add_argument(
            "--config",
            metavar="CONFIG",
            help="where no daemon runs on its data directory, load into that by the config file",
        )
    parser.add_argument(
        "--no-check",
        action="store_true",
        help="do not ask first which readings the daemon holds already",
    )
    parser.add_argument(
        "--no-wait",
        action="store_true",
        help="do not wait for reports that are behind; they may lose the oldest that wait",
    )


@contextmanager
def daemon(args: argparse.Namespace) -> Iterator[Peer]:
    """The daemon; one that was started for it is stopped behind it, all on its disk.

    :raises NotRunning: if none is named that runs, and no config file is given.
    :raises SmapError: if it cannot be reached or started.
    """
    config = args.config
    if config is None or args.url is not None:
        found = peer.find(args)
        found.get("/readyz")
        yield found
        return
    from .own_daemon import OwnDaemon, running_on

    running = running_on(config, args.data_dir)
    if running is not None:
        if not running.url:
            raise NotRunning(
                f"the daemon with pid {running.pid} has no HTTP, or not yet.",
                hint="It answers once it is ready, unless it was started with --no-http.",
            )
        yield peer.at(args, running.url)
        return
    with OwnDaemon(config, args.data_dir) as own:
        yield own


def importer(args: argparse.Namespace, to: Peer, note: Callable[[str], None]) -> Importer:
    """What sends to it, as the arguments have it."""
    return Importer(to, note, check=not args.no_check, patient=not args.no_wait)
