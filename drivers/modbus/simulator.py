"""The simulated three-phase meter as a Modbus/TCP server of its own, over pymodbus's.

::

    python -m smapd.drivers.modbus.simulator --port 15020

``maps/three-phase-meter.csv`` is its register map; registers outside it are refused. A coil keeps
what is written to it. It ends on SIGTERM and SIGINT.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from smapd.driver import MissingExtra
from smapd.util import now

from .maps import load_map
from .meter import shown
from .registers import Register, Table
from .simulated import LOOPBACK, PORT, listen

if TYPE_CHECKING:
    from pymodbus.simulator import SimDevice

MAP = Path("three-phase-meter")
_STDIN = 0
_BITS = 16
# by function; after a write pymodbus reads with the function that wrote
_TABLES = {1: Table.COIL, 2: Table.DISCRETE, 3: Table.HOLDING, 4: Table.INPUT}
_TABLES |= {5: Table.COIL, 15: Table.COIL}
_TABLES |= {6: Table.HOLDING, 16: Table.HOLDING, 22: Table.HOLDING, 23: Table.HOLDING}


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until it is told to end; the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m smapd.drivers.modbus.simulator",
        description="Serves a simulated three-phase meter by Modbus/TCP.",
        allow_abbrev=False,
    )
    parser.add_argument("--address", default=LOOPBACK, help=f"default {LOOPBACK}")
    parser.add_argument("--port", type=int, default=PORT, help=f"default {PORT}; 0 for a free one")
    parser.add_argument("--unit", type=int, default=1, help="unit id, default 1")
    parser.add_argument("--fd", type=int, help=argparse.SUPPRESS)  # a socket that listens already
    parser.add_argument(
        "--until-eof", action="store_true", help="end too when the standard input ends"
    )
    args = parser.parse_args(argv)
    try:
        if args.fd is not None:
            listener = socket.socket(fileno=args.fd)
        else:
            listener = listen(args.port, args.address)
        # it tells of every odd request, which here is the business of who sends it
        logging.getLogger("pymodbus").setLevel(logging.CRITICAL)
        asyncio.run(_serve(listener, args.unit, args.until_eof))
    except (OSError, OverflowError) as e:
        print(f"simulator: cannot listen on {args.address}:{args.port}: {e}", file=sys.stderr)
        return 1
    except MissingExtra as e:
        print(f"simulator: {e} {e.hint}", file=sys.stderr)
        return 1
    return 0


async def _serve(listener: socket.socket, unit: int, until_eof: bool) -> None:
    try:
        from pymodbus.server import ModbusTcpServer
    except ImportError as e:
        raise MissingExtra(
            f"The simulator needs the package pymodbus 3.16 ({e}).",
            hint="Install it: pip install 'smapd[modbus]'",
        ) from e
    address, port = listener.getsockname()[:2]
    server = ModbusTcpServer(_device(unit), address=(address, port))
    loop = asyncio.get_running_loop()
    # it can only be told an address; this way the port is open before there is a server
    server.call_create = partial(loop.create_server, server.handle_new_connection, sock=listener)
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)

    def look() -> None:
        if not os.read(_STDIN, 4096):
            ended.set()

    if until_eof:
        loop.add_reader(_STDIN, look)
    await server.serve_forever(background=True)
    print(f"listening on {address}:{port}", flush=True)
    await ended.wait()
    await server.shutdown()


def _device(unit: int) -> SimDevice:
    """The meter for pymodbus's simulator; its registers are filled when they are asked for."""
    from pymodbus.simulator import DataType, SimData, SimDevice

    registers = load_map(MAP)
    by_table = {table: [r for r in registers if r.table is table] for table in Table}

    def data(table: Table) -> list[SimData]:
        kind = DataType.BITS if table.is_bits else DataType.REGISTERS
        empty: Any = False if table.is_bits else 0
        return [
            SimData(r.address, values=[empty] * r.count, datatype=kind) for r in by_table[table]
        ]

    async def fill(
        function: int, first: int, address: int, count: int, words: list[int], written: Any
    ) -> None:
        if written is None:
            values = shown(now())
            for register in by_table[_TABLES[function]]:
                if register.path in values:
                    _put(register, register.words(values[register.path]), first, words)

    return SimDevice(
        id=unit,
        simdata=(
            data(Table.COIL),
            data(Table.DISCRETE),
            data(Table.HOLDING),
            data(Table.INPUT),
        ),
        action=fill,
    )


def _put(register: Register, values: Sequence[int], first: int, words: list[int]) -> None:
    """Write into a table's words, of which pymodbus keeps those from ``first`` on."""
    if not register.table.is_bits:
        at = register.address - first
        words[at : at + len(values)] = values
        return
    word, bit = divmod(register.address, _BITS)
    mask = 1 << bit
    words[word - first] = words[word - first] & ~mask | mask * values[0]


if __name__ == "__main__":
    sys.exit(main())
