"""Runs the daemon that a config file describes, until it gets SIGTERM or SIGINT."""

from __future__ import annotations

import argparse

from . import plans
from .directories import directory
from .ports import port


def arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``run``."""
    parser.add_argument("config", metavar="CONFIG", help="the config file")
    parser.add_argument(
        "--port", type=port, metavar="N", help="wins over [server] Port; 0 takes a free one"
    )
    parser.add_argument(
        "--data-dir", type=directory, metavar="DIR", help="wins over [server] DataDir"
    )
    parser.add_argument("--no-http", action="store_true", help="read and report without a server")
    parser.add_argument("--log-format", choices=("text", "json"), help="default text")
    parser.add_argument(
        "--log-level", choices=("debug", "info", "warn", "error", "critical"), help="default info"
    )


def run(args: argparse.Namespace) -> int:
    """Run it; the exit status after it has stopped.

    :raises ConfigError: if the file has errors; nothing was started.
    """
    plan = plans.load(args.config)
    from smapd import server

    return server.run_plan(
        plan,
        port=args.port,
        data_dir=args.data_dir,
        http=not args.no_http,
        log_format=args.log_format,
        log_level=args.log_level,
    )
