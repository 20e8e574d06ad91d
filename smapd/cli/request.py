"""Asks whoever serves an asset, and writes what it answers."""

from __future__ import annotations

import argparse
import base64
import binascii
import contextlib
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

from smapd.errors import SmapError
from smapd.options import duration, read_regular

from . import peer
from .peer import printable

_MOST_DATA: Final = 1024 * 1024
_SLACK_S: Final = 10.0


def arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``request``."""
    peer.arguments(parser)
    parser.add_argument("asset", metavar="ASSET", help="its id")
    parser.add_argument("type", metavar="TYPE", help="of the request, as the integrator knows it")
    data = parser.add_mutually_exclusive_group()
    data.add_argument("--data", metavar="FILE", help="what goes with it; - for standard input")
    data.add_argument("--text", metavar="TEXT", help="the same, given here")
    parser.add_argument("--mime", default="application/octet-stream", help="what that is")
    parser.add_argument(
        "--timeout", default="30s", metavar="TIME", help="how long nothing may come (default 30s)"
    )
    parser.add_argument(
        "--output", "-o", metavar="FILE", help="written whole or not at all; else standard output"
    )


def run(args: argparse.Namespace) -> int:
    """Ask, and write the answer as it comes.

    :raises NotRunning: if no daemon answers.
    :raises SmapError: with the daemon's sentence, or if the answer ends before its end.
    """
    try:
        timeout_s = duration(args.timeout)
    except ValueError as e:
        raise SmapError(f"--timeout {args.timeout}: {e}") from None
    if not (args.mime.isascii() and args.mime.isprintable()):
        raise SmapError(f"--mime {printable(args.mime)}: write one like application/json.")
    data = _data(args)
    daemon = peer.find(args)
    headers = {"Accept": "application/x-ndjson", "Content-Type": args.mime}
    with (
        daemon.stream(
            "POST",
            f"/assets/{args.asset}/requests/{args.type}",
            data,
            headers,
            {"timeout": f"{timeout_s:g}"},
            timeout_s + _SLACK_S,
        ) as answer,
        _output(args.output) as out,
    ):
        for raw in answer:
            line = json.loads(raw)
            if line.get("end"):
                return 0
            if "error" in line:
                why = line.get("reason") or line["error"]
                message = printable(str(line.get("message") or ""))
                raise SmapError(f"the answer broke off: {message} ({printable(str(why))})")
            try:
                out.write(base64.b64decode(line["data"], validate=True))
            except (KeyError, binascii.Error):
                raise peer.stranger(daemon.url, "a line of its answer is no chunk") from None
            out.flush()
        raise SmapError("the answer broke off: its end is missing.")


def _data(args: argparse.Namespace) -> bytes:
    if args.text is not None:
        return os.fsencode(args.text)  # as the shell gave it
    if args.data is None:
        return b""
    if args.data == "-":
        data = sys.stdin.buffer.read(_MOST_DATA + 1)
    else:
        try:
            data = read_regular(args.data, _MOST_DATA)
        except OSError as e:
            raise SmapError(f"--data {args.data}: {e.strerror or e}.") from e
    if len(data) > _MOST_DATA:
        raise SmapError(f"--data {args.data}: more than 1 MiB, which no request may carry.")
    return data


@contextlib.contextmanager
def _output(file: str | None) -> Iterator[BinaryIO]:
    """Standard output, or a new file that takes its name once the answer is complete."""
    if file is None:
        yield sys.stdout.buffer
        return
    if os.path.exists(file) and not os.path.isfile(file):  # a device or a pipe: never replaced
        try:
            special = open(file, "wb")  # noqa: SIM115 - what the block raises is not the file's
        except OSError as e:
            raise SmapError(f"--output {file}: {e.strerror or e}.") from e
        with special:
            yield special
        return
    where = Path(os.path.realpath(file))  # what a link names is written, and the link stays
    try:
        number, name = tempfile.mkstemp(prefix=f".{where.name}.", dir=where.parent)
    except OSError as e:
        raise SmapError(f"--output {file}: {e.strerror or e}.") from e
    try:
        with os.fdopen(number, "wb") as out:
            yield out
        os.chmod(name, 0o666 & ~_umask())
        os.replace(name, where)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise


def _umask() -> int:
    was = os.umask(0o077)
    os.umask(was)
    return was
