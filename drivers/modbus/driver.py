"""The driver of a Modbus/TCP device: which streams there are, what a poll adds, what is written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from smapd.driver import (
    REQUIRED,
    BadReading,
    DeviceUnavailable,
    Option,
    SmapDriver,
    bad,
    boolean,
    duration,
    integer,
    path,
    port,
)
from smapd.util import periodicSequentialCall

from .blocks import MOST_WORDS, Block, halves, merge
from .faults import Garbled, Lost, Refused
from .maps import MapError, load_map
from .outputs import output
from .registers import NoValue, Number, Register
from .transport import Link, TcpLink, Transport, load_codec

MOST_PROBES = 32
"""Reads in one poll that only look for the register that spoils its block."""

MOST_LOSSES = 2
"""Blocks in one poll that may stay without an answer, each for a whole timeout."""

LEAST_LIMIT_S = 10.0
"""For a call of an actuator, beside the timeouts of its exchange and of those before it."""

_MOST_NAMED = 5


class ModbusDriver(SmapDriver):
    """Reads and writes a Modbus/TCP device, or one behind a gateway, by a register map."""

    OPTIONS = (
        Option(
            "Map",
            path,
            REQUIRED,
            "the register map: a .csv or .ini file, or the name of one that comes with smapd",
        ),
        Option("Address", str, REQUIRED, "host name or address of the device or gateway"),
        Option("Port", port, 502, "TCP port"),
        Option(
            "Unit",
            integer,
            1,
            "unit id; behind a gateway it tells devices apart",
            at_least=0,
            at_most=255,
        ),
        Option("Rate", duration, "30s", "time between two polls", at_least="100ms"),
        Option(
            "Timeout",
            duration,
            "3s",
            "how long to wait for a connection, and for each answer",
            at_least="10ms",
            at_most="60s",
        ),
        Option(
            "Pause",
            duration,
            "0s",
            "wait before each request, for devices that cannot keep up",
            at_most="10s",
        ),
        Option(
            "MaxBlock",
            integer,
            MOST_WORDS,
            "how many registers one request may ask for",
            at_least=1,
            at_most=MOST_WORDS,
        ),
        Option(
            "MaxGap",
            integer,
            0,
            "how many registers that are not in the map a request may go over, to save another one",
            at_least=0,
            at_most=MOST_WORDS,
        ),
        Option(
            "KeepOpen",
            boolean,
            True,
            "whether the connection stays open between two polls; no, for a device that serves "
            "one master at a time",
        ),
        Option(
            "ReadLimit",
            duration,
            "1s",
            "a value that can be written is asked of the device by GET, but not more often",
        ),
        Option(
            "Settle",
            duration,
            "0s",
            "between writing a value and reading it back",
            at_most="60s",
        ),
        Option(
            "WriteMultiple",
            boolean,
            False,
            "write single values by functions 15 and 16 too, for devices without 5 and 6",
        ),
    )

    transport: Transport | None = None
    """None until ``setup`` has read the map."""

    def setup(self, opts: Mapping[str, Any]) -> None:
        self.every_s: float = opts["Rate"]
        self.unit: int = opts["Unit"]
        self.keep_open: bool = opts["KeepOpen"]
        self.registers = load_map(opts["Map"])
        self.merged = merge(self.registers, opts["MaxBlock"], opts["MaxGap"])
        self.blocks = list(self.merged)
        self.bad: dict[str, str] = {}
        link = self.link(opts["Address"], opts["Port"])
        self.transport = Transport(
            link, load_codec(), timeout_s=opts["Timeout"], pause_s=opts["Pause"]
        )
        self.set_metadata(
            "/", {"Extra/ModbusAddress": link.name, "Extra/ModbusUnit": str(self.unit)}
        )
        self.write_multiple: bool = opts["WriteMultiple"]
        limit_s = LEAST_LIMIT_S + 4 * (opts["Timeout"] + opts["Pause"])
        for register in self.registers:
            try:
                if register.writable is not None:
                    self.add_actuator(
                        register.path,
                        register.unit,
                        output(self, register),
                        data_type=register.data_type,
                        description=register.description or None,
                        read_limit=opts["ReadLimit"],
                        settle=opts["Settle"],
                        # what is written is rounded to what the register can hold
                        tolerance=register.step / 2 or None,
                        timeout_s=limit_s,
                    )
                    continue
                self.add_timeseries(
                    register.path,
                    register.key or register.path,
                    register.unit,
                    data_type=register.data_type,
                    description=register.description or None,
                )
            except ValueError as e:  # a path that cannot be, or lies below another one's
                raise MapError(f"{opts['Map'].name}: {register.place}: {e}") from e

    def start(self) -> None:
        periodicSequentialCall(self.read).start(self.every_s)

    def stop(self) -> None:
        if self.transport is not None:
            self.transport.stop()

    def link(self, host: str, port: int) -> Link:
        """The connection to read over; a test gives another one."""
        return TcpLink(host, port)

    def read(self) -> None:
        """Poll once; in a poll thread, at most for some timeouts.

        :raises DeviceUnavailable: if nothing was answered.
        :raises BadReading: if some of it was not, after all the rest was added.
        """
        transport = self.transport
        assert transport is not None
        transport.begin()
        try:
            _Poll(self, transport).run()
        finally:
            if not self.keep_open:
                transport.close()

    def ask(self, register: Register) -> Number:
        """The value of one register, now; in a thread of the actuators.

        :raises DeviceUnavailable: if there is none.
        """
        transport = self.transport
        assert transport is not None
        transport.begin()
        try:
            words = transport.read(self.unit, register.table, register.address, register.count)
            return register.value(words)
        except (Lost, Garbled, Refused, NoValue) as e:
            raise DeviceUnavailable(f"{register.place}: {e}") from e
        finally:
            if not self.keep_open:
                transport.close()

    def write(self, register: Register, value: Number) -> None:
        """Write the value of one register; in a thread of the actuators.

        :raises DeviceUnavailable: if the device does not say that it has it.
        """
        transport = self.transport
        assert transport is not None
        words = register.words(value)
        try:
            transport.write(
                self.unit, register.table, register.address, words, many=self.write_multiple
            )
        except (Lost, Garbled, Refused) as e:
            raise DeviceUnavailable(f"{register.place}: {e}") from e
        finally:
            if not self.keep_open:
                transport.close()

    def take(self, block: Block, words: Sequence[int]) -> None:
        """Add the values of a block that was read."""
        for register in block.registers:
            try:
                value = register.value(block.words_of(register, words))
            except NoValue as e:
                self.mark([register], str(e))
            else:
                self.bad.pop(register.path, None)
                self.add(register.path, value)

    def mark(self, registers: Iterable[Register], why: str) -> None:
        """Say once, until it changes, why there is no value."""
        for register in registers:
            if self.bad.get(register.path) != why:
                self.bad[register.path] = why
                self.add(register.path, None, quality=bad(why))


class _Poll:
    """One round over the blocks, and which blocks the next round is to ask for.

    A block that is refused because of one of its registers is read again in halves, until that one
    is found; the halves stay. One without an answer, where others have theirs, is halved for the
    next round and goes to its end: a device that is silent about what it does not have holds up
    nothing else.
    """

    def __init__(self, driver: ModbusDriver, transport: Transport) -> None:
        self._driver, self._transport = driver, transport
        self._waiting = list(reversed(driver.blocks))  # a stack, the next one last
        self._next: list[Block] = []
        self._last: list[Block] = []
        self._probes = 0
        self._losses = 0
        self._answered = False
        self._good = False
        self._wrong: list[str] = []

    def run(self) -> None:
        """All of it; raises as ``ModbusDriver.read``."""
        driver, transport = self._driver, self._transport
        while self._waiting:
            block = self._waiting.pop()
            try:
                words = transport.read(driver.unit, block.table, block.address, block.count)
            except Refused as e:
                if e.is_of_the_gateway:
                    self._lost(block, str(e))
                else:
                    self._answered = True
                    self._refused(block, e)
            except Garbled as e:
                self._answered = True
                self._fail(block, str(e))
                self._next.append(block)
            except Lost as e:
                self._lost(block, str(e))
            else:
                self._answered = self._good = True
                self._next.append(block)
                driver.take(block, words)
        # where nothing is had from any block, cutting them up helps nobody
        driver.blocks = self._next + self._last if self._good else list(driver.merged)
        if self._wrong:
            more = len(self._wrong) - _MOST_NAMED
            told = "; ".join(self._wrong[:_MOST_NAMED])
            raise BadReading(told + f"; and {more} more" * (more > 0))

    def _refused(self, block: Block, why: Refused) -> None:
        parts = halves(block) if why.is_of_a_register else (block,)
        if len(parts) == 1:
            self._fail(block, str(why))
            self._next.append(block)
        elif self._probes + len(parts) > MOST_PROBES:
            self._fail(block, str(why))
            self._next.extend(parts)
        else:
            self._probes += len(parts)
            self._waiting.extend(reversed(parts))

    def _lost(self, block: Block, why: str) -> None:
        driver = self._driver
        if not self._answered:
            driver.mark(driver.registers, why)
            driver.blocks = list(driver.merged)
            raise DeviceUnavailable(why)
        self._losses += 1
        self._fail(block, why)
        self._last.extend(halves(block))
        if self._losses >= MOST_LOSSES:
            while self._waiting:
                rest = self._waiting.pop()
                self._fail(rest, why)
                self._next.append(rest)

    def _fail(self, block: Block, why: str) -> None:
        self._driver.mark(block.registers, why)
        first = block.registers[0].path
        paths = first if len(block.registers) == 1 else f"{first} …"
        self._wrong.append(f"{block.place} ({paths}): {why}")
