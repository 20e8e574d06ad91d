"""Receives reports, and keeps them in a SQLite file, or in a CSV file that grows.

Whatever the path, a POST or PUT of a report (JSON, Avro or CSV, plain or packed) is kept, and
answered 200 once it is on the disk. A report that comes twice is kept once.
"""

from __future__ import annotations

import argparse
import asyncio
import ipaddress
import signal
import ssl
import sys

from smapd.errors import ListenError, SmapError

from . import peer
from .bar import counted
from .ports import port
from .receive_http import Receiver
from .receive_store import open_store


def arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``receive``."""
    parser.add_argument("file", metavar="FILE", help="SQLite, or CSV if its name ends in .csv")
    parser.add_argument(
        "-p", "--port", type=port, default=8081, metavar="N", help="default 8081; 0: a free one"
    )
    parser.add_argument(
        "--interface",
        default="127.0.0.1",
        metavar="A",
        help="address to listen on; any but loopback needs a token and a certificate",
    )
    parser.add_argument("--format", choices=("sqlite", "csv"), help="whatever the name ends in")
    parser.add_argument(
        "--token-file", metavar="F", help="holds the token that senders must present"
    )
    parser.add_argument("--certificate", metavar="F", help="PEM file with certificate and chain")
    parser.add_argument("--private-key", metavar="F", help="PEM file with its key")


def run(args: argparse.Namespace) -> int:
    """Receive until SIGTERM or SIGINT.

    :raises SmapError: if the file or the port cannot be used.
    """
    tls = _tls(args)
    token = peer.token_of(args.token_file) if args.token_file is not None else ""
    _check(args, token, tls)
    as_csv = args.format == "csv" if args.format else args.file.lower().endswith(".csv")
    store = open_store(args.file, as_csv=as_csv)
    try:
        asyncio.run(_receive(args, Receiver(store, token, _say), tls))
    finally:
        store.close()
    return 0


async def _receive(
    args: argparse.Namespace, receiver: Receiver, tls: ssl.SSLContext | None
) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        bound = await receiver.listen(args.interface, args.port, tls)
    except OSError as e:
        raise ListenError(
            f"port {args.port} on {args.interface} cannot be opened: {e.strerror or e}.",
            hint="Choose another with --port; 0 takes a free one.",
        ) from None
    host = f"[{args.interface}]" if ":" in args.interface else args.interface
    scheme = "http" if tls is None else "https"
    print(f"smapd receives at {scheme}://{host}:{bound}, into {args.file}", flush=True)
    await stop.wait()
    await receiver.close()
    readings = counted(receiver.readings, "reading")
    print(f"{counted(receiver.reports, 'report')}, {readings}, {receiver.new} of them new.")


def _tls(args: argparse.Namespace) -> ssl.SSLContext | None:
    if (args.certificate is None) != (args.private_key is None):
        raise SmapError("--certificate and --private-key belong together.")
    if args.certificate is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(args.certificate, args.private_key)
    except (OSError, ssl.SSLError) as e:
        why = e.strerror or e
        raise SmapError(f"certificate {args.certificate}, key {args.private_key}: {why}.") from None
    return context


def _check(args: argparse.Namespace, token: str, tls: ssl.SSLContext | None) -> None:
    try:
        address = ipaddress.ip_address(args.interface)
    except ValueError:
        text = f"--interface {args.interface}: not an IP address. Write one like 127.0.0.1."
        raise SmapError(text) from None
    if not address.is_loopback and (not token or tls is None):
        raise SmapError(
            f"other machines can reach {args.interface}, which needs --token-file, --certificate "
            "and --private-key.",
            hint="Without --interface it listens on loopback.",
        )


def _say(sentence: str) -> None:
    print(f"smapd: {sentence}", file=sys.stderr, flush=True)
