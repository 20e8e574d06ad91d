"""A simulated device as a Modbus/TCP server of its own, over pymodbus's.

::

    python -m smapd.drivers.modbus.simulator --port 15020
    python -m smapd.drivers.modbus.simulator --port 15020 --map lamps.csv --set /lamp/level=50

Without a map it is the three-phase meter, whose map is ``maps/three-phase-meter.csv``. With one it
is a device that has those values, all 0 at first but for what ``--set`` says. Registers outside the
map are refused. Coils and holding registers keep what is written to them. It ends on SIGTERM and
SIGINT.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from smapd.driver import DriverFailed, MissingExtra
from smapd.util import now

from .maps import load_map
from .meter import shown
from .registers import Number, Register, Table
from .simulated import LOOPBACK, PORT, listen

if TYPE_CHECKING:
    from pymodbus.simulator import SimDevice

MAP = Path("three-phase-meter")
_STDIN = 0
_NOBODYS = 0xFFFF
_BITS = 16
# by function; after a write pymodbus reads with the function that wrote
_TABLES = {1: Table.COIL, 2: Table.DISCRETE, 3: Table.HOLDING, 4: Table.INPUT}
_TABLES |= {5: Table.COIL, 15: Table.COIL}
_TABLES |= {6: Table.HOLDING, 16: Table.HOLDING, 22: Table.HOLDING, 23: Table.HOLDING}


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until it is told to end; the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m smapd.drivers.modbus.simulator",
        description="Serves a simulated device by Modbus/TCP; without a map, a three-phase meter.",
        allow_abbrev=False,
    )
    parser.add_argument("--address", default=LOOPBACK, help=f"default {LOOPBACK}")
    parser.add_argument("--port", type=int, default=PORT, help=f"default {PORT}; 0 for a free one")
    parser.add_argument("--unit", type=int, default=1, help="unit id, default 1")
    parser.add_argument("--map", type=Path, default=MAP, help="register map of the device")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="PATH=VALUE",
        help="what a register holds at first; 0 without",
    )
    parser.add_argument("--fd", type=int, help=argparse.SUPPRESS)  # a socket that listens already
    parser.add_argument(
        "--until-eof", action="store_true", help="end too when the standard input ends"
    )
    args = parser.parse_args(argv)
    try:
        registers = load_map(args.map)
        first = _first_values(registers, args.set)
    except (DriverFailed, ValueError) as e:
        print(f"simulator: {e}", file=sys.stderr)
        return 2
    shown_now = (lambda: shown(now())) if args.map == MAP else dict
    try:
        if args.fd is not None:
            listener = socket.socket(fileno=args.fd)
        else:
            listener = listen(args.port, args.address)
        # it tells of every odd request, which here is the business of who sends it
        logging.getLogger("pymodbus").setLevel(logging.CRITICAL)
        device = partial(_device, args.unit, registers, first, shown_now)
        asyncio.run(_serve(listener, device, args.until_eof))
    except (OSError, OverflowError) as e:
        print(f"simulator: cannot listen on {args.address}:{args.port}: {e}", file=sys.stderr)
        return 1
    except MissingExtra as e:
        print(f"simulator: {e} {e.hint}", file=sys.stderr)
        return 1
    return 0


async def _serve(listener: socket.socket, device: Callable[[], SimDevice], until_eof: bool) -> None:
    try:
        from pymodbus.server import ModbusTcpServer
    except ImportError as e:
        raise MissingExtra(
            f"The simulator needs the package pymodbus 3.16 ({e}).",
            hint="Install it: pip install 'smapd[modbus]'",
        ) from e
    address, port = listener.getsockname()[:2]
    server = ModbusTcpServer(device(), address=(address, port))
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


def _first_values(registers: Sequence[Register], given: Sequence[str]) -> dict[str, Number]:
    """What ``--set`` says, by path.

    :raises ValueError: in a sentence.
    """
    by_path = {register.path: register for register in registers}
    values: dict[str, Number] = {}
    for one in given:
        path, _, text = one.partition("=")
        if path not in by_path:
            raise ValueError(f"--set {one}: the map has no {path}.")
        try:
            values[path] = float(text)
            by_path[path].words(values[path])
        except ValueError as e:
            raise ValueError(f"--set {one}: {e}.") from None
    return values


def _device(
    unit: int,
    registers: Sequence[Register],
    first: Mapping[str, Number],
    shown_now: Callable[[], Mapping[str, Number]],
) -> SimDevice:
    """For pymodbus's simulator. What is shown is filled in when it is asked for."""
    from pymodbus.simulator import DataType, SimData, SimDevice

    by_table = {table: [r for r in registers if r.table is table] for table in Table}

    def data(table: Table) -> list[SimData]:
        kind = DataType.BITS if table.is_bits else DataType.REGISTERS
        words: dict[int, int] = {}
        for register in by_table[table]:
            for n in range(register.count):
                words.setdefault(register.address + n, 0)
            if register.path in first:
                for n, word in enumerate(register.words(first[register.path])):
                    words[register.address + n] = word
        if not words:  # pymodbus knows no empty table
            words[_NOBODYS] = 0
        made: Any = [
            SimData(address, values=[bool(word) if table.is_bits else word], datatype=kind)
            for address, word in words.items()
        ]
        return list(made)

    async def fill(
        function: int, first: int, address: int, count: int, words: list[int], written: Any
    ) -> None:
        if written is None:
            values = shown_now()
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
