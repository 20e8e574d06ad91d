"""``run-driver``: tries one driver without a config file, mapped in as the root of a tree.

::

    run-driver smapd.drivers.example.Driver -p 8080 StartVal=5 Rate=1s

It serves the tree, and prints each reading as it comes: path, time, value, unit, with tabs between.
Options read as they would in a config file. What the run keeps goes to a directory that is removed
at the end, unless --data-dir names one. Readings go to stdout, all else to stderr.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from .directories import directory
from .ports import port

if TYPE_CHECKING:
    from smapd.assembly import Daemon
    from smapd.config import Plan

T = TypeVar("T")

ONCE_LIMIT: Final = "60s"

_KEY = re.compile(r"[A-Za-z][^\s=#\[\]\"']*")
_TAKEN = ("type", "uuid", "key")
_EPILOG = (
    "without DRIVER: lists those that are installed; `smapd docs DRIVER` shows the options of one; "
    "exit status: 0 done, 1 failed, 2 wrong usage, 78 wrong option"
)


def run_driver(argv: Sequence[str] | None = None) -> int:
    """The ``run-driver`` command; its exit status.

    :raises SystemExit: with 2 for wrong usage.
    """
    from .exits import guarded

    return guarded(lambda: _run(_parser().parse_intermixed_args(argv)), "run-driver")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="run-driver",
        description="Runs one driver, without a config file, as the root of a tree; serves it, and "
        "prints its readings as they come: path, time, value, unit.",
        epilog=_EPILOG,
        allow_abbrev=False,
    )
    parser.add_argument(
        "driver",
        nargs="?",
        type=_word,
        metavar="DRIVER",
        help="like smapd.drivers.example.Driver",
    )
    parser.add_argument(
        "option", nargs="*", type=_option, metavar="KEY=VALUE", help="an option of the driver"
    )
    parser.add_argument("-p", "--port", type=port, metavar="N", help="default 8080")
    parser.add_argument(
        "-u", "--uuid", type=_word, metavar="UUID", help="of the root; without it a new one"
    )
    parser.add_argument(
        "-d", "--data-dir", type=directory, metavar="DIR", help="keep what the run keeps"
    )
    parser.add_argument(
        "--once",
        action="store_true",
        help="end after the first reading of each stream, or one call of each poll; 1 on failure; "
        "serves only with --port",
    )
    parser.add_argument(
        "--timeout",
        type=_limit,
        metavar="TIME",
        help=f"how long --once waits, default {ONCE_LIMIT}",
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="set the driver up, print the tree it makes, and start nothing",
    )
    return parser


def section(driver: str, uuid: str, options: Sequence[tuple[str, str]]) -> str:
    """The config text that maps this driver in at the root; values as they stand in a config."""
    lines = ["[/]", f"type = {driver}", f"uuid = {uuid}"]
    lines += [f"{key} = {value}" for key, value in options]
    return "\n".join(lines) + "\n"


def _run(args: argparse.Namespace) -> int:
    if args.driver is None:
        from . import drivers

        return drivers.run(args)
    from uuid import uuid4

    uuid = args.uuid or str(uuid4())
    plan = _checked(args.driver, uuid, args.option)
    if args.uuid is None and not args.once:
        _note(f"to keep these streams, run it again with -u {uuid}")
    if args.dry_run:
        return _show(plan)
    if args.data_dir is not None:
        return _serve(plan, args, args.data_dir)
    with tempfile.TemporaryDirectory(prefix="run-driver-") as scratch:
        return _serve(plan, args, Path(scratch) / "data")


def _checked(driver: str, uuid: str, options: Sequence[tuple[str, str]]) -> Plan:
    """The plan of this one driver.

    :raises ConfigError: if there is none of that name; with every problem of its options.
    :raises SmapError: if its module cannot be imported; a daemon would try again, which is of no
        use to who sits before it.
    """
    from smapd.assembly import TABLES
    from smapd.config import load_text, with_driver
    from smapd.errors import ConfigError
    from smapd.values import Severity

    _refuse_doubled(options)
    _refuse_unknown(driver)
    try:
        plan = load_text(section(driver, uuid, options), "run-driver", tables=TABLES)
        root = plan.sections[0]
        if root.driver is None:
            root = _loudly(lambda: with_driver(root))
    except ConfigError as e:
        # The lines are not the user's; the keys are. Nor has [/] a place for a warning's cure.
        raise ConfigError(
            [
                replace(p, file="", line=0, section="")
                for p in e.problems
                if p.severity is Severity.ERROR
            ]
        ) from None
    warnings = tuple(replace(p, file="", line=0, section="") for p in root.warnings)
    return replace(plan, sections=(root,), warnings=warnings)


def _refuse_doubled(options: Sequence[tuple[str, str]]) -> None:
    from smapd.errors import ConfigError
    from smapd.values import Problem

    keys = [key for key, _ in options]
    doubled = [key for key in dict.fromkeys(keys) if keys.count(key) > 1]
    if doubled:
        raise ConfigError([Problem("given twice. Keep one of them.", key=key) for key in doubled])


def _refuse_unknown(driver: str) -> None:
    """A config section may be a Collection or Timeseries, too; here a driver alone is of use."""
    from smapd.config import find_driver
    from smapd.errors import ConfigError, NoSuchDriver, SmapError
    from smapd.values import Problem

    from .docs import unknown

    try:
        find_driver(driver)
    except NoSuchDriver as e:
        error = unknown(e, driver)
        raise ConfigError([Problem(f"{error.message} {error.hint}")]) from None
    except SmapError:
        pass  # it is there, and cannot be used now: that is told with its traceback


def _show(plan: Plan) -> int:
    from .dry_run import picture, planted

    tree = _loudly(lambda: planted(plan))
    for line in picture(tree):
        print(line)
    return 0


def _serve(plan: Plan, args: argparse.Namespace, data_dir: str | Path) -> int:
    from smapd import server
    from smapd.runtime import PoolSize

    from .exits import FAILED, PIPE_CLOSED
    from .first_look import FirstLook
    from .printer import POOL, Printer, to_stdout

    def watch(daemon: Daemon, end: Callable[[int], None]) -> None:
        def lost(error: OSError) -> None:
            if not isinstance(error, BrokenPipeError):
                _note(f"readings cannot be printed: {error.strerror or error}.")
            end(PIPE_CLOSED if isinstance(error, BrokenPipeError) else FAILED)

        daemon.run.threads.add_pool(POOL, PoolSize(kept=1, most=1, queue=1))
        printer = Printer(daemon.run.threads, to_stdout(), lost=lost, note=_note)
        if args.once:
            limit_s = _limit(ONCE_LIMIT) if args.timeout is None else args.timeout
            daemon.inst.attach(FirstLook(daemon, printer, end, _note, limit_s))
        else:
            daemon.inst.attach(printer)

    return server.run_plan(
        plan,
        port=args.port,
        data_dir=data_dir,
        http=not args.once or args.port is not None,
        announce=(lambda line: None) if args.once else _say,
        on_daemon=watch,
    )


def _loudly(step: Callable[[], T]) -> T:
    """The result of a step of the driver's; the traceback of a bug in it is shown."""
    from smapd.errors import SmapError

    from .causes import cause_of

    try:
        return step()
    except SmapError as e:
        sys.stderr.write(cause_of(e))
        raise


def _note(sentence: str) -> None:
    _say(f"run-driver: {sentence}")


def _say(line: str) -> None:
    # Not by print(): while a daemon runs, that goes to its log.
    err = sys.__stderr__
    if err is not None:
        err.write(line + "\n")
        err.flush()


def _limit(text: str) -> float:
    from smapd.options import duration

    try:
        seconds = duration(text)
    except ValueError as e:
        raise argparse.ArgumentTypeError(f"{text!r} is {e}") from None
    if seconds == 0:
        raise argparse.ArgumentTypeError("it must be more than 0")
    return seconds


def _word(text: str) -> str:
    """What stands bare in the config text, and must not bring lines of its own."""
    if not re.fullmatch(r"[\w.:-]+", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a name")
    return text


def _option(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not _KEY.fullmatch(key):
        raise argparse.ArgumentTypeError(f"{text!r} is not KEY=VALUE")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise argparse.ArgumentTypeError(f"{text!r} is not UTF-8 text") from None
    if key in _TAKEN:
        raise argparse.ArgumentTypeError(f"{key} is no option of a driver; see --help")
    return key, _value(value)


def _value(text: str) -> str:
    """As it would stand in a config file; what only a shell can mean gets the quotes it needs."""
    if text[:1] in ("'", '"') or (text == text.strip() and "#" not in text and "\n" not in text):
        return text
    for quotes in ('"""', "'''") if "\n" in text else ('"', "'"):
        if quotes not in text and not text.endswith(quotes[0]):
            return quotes + text + quotes
    raise argparse.ArgumentTypeError(f"{text!r} holds too many kinds of quotes")
