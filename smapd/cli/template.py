"""The files of a new driver's folder, as ``smapd new-driver`` writes them.

A driver of a made-up device that answers text over TCP: small, and with all that a real one needs.
``@name@`` and its like stand for what differs; a test runs what comes of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

PACKAGE: Final[Mapping[str, str]] = {
    "__init__.py": '''\
"""The driver of @title@."""

from .driver import @Class@

__all__ = ["@Class@"]
''',
    "driver.py": '''\
"""@title@ as streams: what is read, and when."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from smapd.driver import (
    REQUIRED,
    BadReading,
    DeviceUnavailable,
    Option,
    SmapDriver,
    duration,
    port,
    words,
)
from smapd.util import periodicCallInThread

from .registers import NAMES, REGISTERS, decode
from .transport import Transport


class @Class@(SmapDriver):
    """Reads voltage, current and energy of @title@ over TCP."""

    OPTIONS = (
        Option("Address", str, REQUIRED, "host name or address of the device"),
        Option("Port", port, 9000, "its TCP port"),
        Option("Rate", duration, "30s", "time between two polls", at_least="1s"),
        Option("Timeout", duration, "5s", "how long one poll may take", at_least="100ms"),
        Option("Values", words, NAMES, "which values to read", choices=NAMES),
    )

    def setup(self, opts: Mapping[str, Any]) -> None:
        """Make the streams; the device is not asked yet."""
        self.rate_s: float = opts["Rate"]
        self.registers = [row for row in REGISTERS if row.name in opts["Values"]]
        self.device = self.open(opts)
        for row in self.registers:
            self.add_timeseries(
                row.path, row.name, row.unit, data_type=row.data_type, description=row.doc
            )

    def open(self, opts: Mapping[str, Any]) -> Transport:
        """The way to the device; a test gives another."""
        return Transport(opts["Address"], opts["Port"], opts["Timeout"], self.seconds)

    def start(self) -> None:
        """Begin to read."""
        periodicCallInThread(self.read).start(self.rate_s)

    def read(self) -> None:
        """Poll once; runs in a poll thread, and may block for up to Timeout."""
        try:
            answer = self.device.read_all()
        except OSError as e:
            raise DeviceUnavailable(e.strerror or str(e)) from e
        values, wrong = decode(answer, self.registers)
        for path, value in values.items():
            self.add(path, value)
        if wrong:
            raise BadReading("; ".join(wrong))
''',
    "registers.py": '''\
"""What the device tells, one row a value, and how its answer reads.

An answer is text, one value a line, and its last line is END::

    voltage 230.4
    current 1.52
    energy 81723
    END
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Register(NamedTuple):
    """``name``: the device's own word, and the key of the stream: it must never change."""

    name: str
    path: str
    unit: str
    data_type: str
    doc: str


REGISTERS = (
    Register("voltage", "/voltage", "V", "double", "between phase and neutral"),
    Register("current", "/current", "A", "double", "of the phase"),
    Register("energy", "/energy", "Wh", "long", "taken since the device was made"),
)
NAMES = tuple(row.name for row in REGISTERS)


def decode(
    answer: bytes, registers: Sequence[Register]
) -> tuple[dict[str, int | float], list[str]]:
    """The values of these registers by path; and what is wrong with the answer, a sentence each."""
    lines = answer.decode("ascii", "replace").splitlines()
    found = dict(line.split(maxsplit=1) for line in lines if len(line.split()) == 2)
    values: dict[str, int | float] = {}
    wrong = []
    for row in registers:
        text = found.get(row.name)
        if text is None:
            wrong.append(f"{row.name} is missing")
            continue
        try:
            values[row.path] = int(text) if row.data_type == "long" else float(text)
        except ValueError:
            wrong.append(f"{row.name} is no number: {text!r}")
    return values, wrong
''',
    "transport.py": '''\
"""Bytes to the device and back; it knows nothing of trees and options.

A connection is made for each poll. We send READ and a line feed; the device answers in lines, the
last of which is END. Then we close.
"""

from __future__ import annotations

import socket
from collections.abc import Callable

END = b"END\\n"
MOST_BYTES = 64 * 1024


class Transport:
    """One device."""

    def __init__(
        self, address: str, port: int, timeout_s: float, seconds: Callable[[], float]
    ) -> None:
        """``timeout_s``: for a whole poll. ``seconds``: a clock that only grows."""
        self.address, self.port, self.timeout_s = address, port, timeout_s
        self.seconds = seconds

    def read_all(self) -> bytes:
        """Ask once, and wait for the whole answer.

        :raises OSError: if the device is not there, too slow, or stops in the middle.
        """
        until_s = self.seconds() + self.timeout_s
        with self.connect() as device:
            device.sendall(b"READ\\n")
            answer = b""
            while not answer.endswith(END):
                left_s = until_s - self.seconds()
                if left_s <= 0:
                    raise TimeoutError(f"no whole answer within {self.timeout_s:g} s")
                device.settimeout(left_s)
                part = device.recv(4096)
                answer += part
                if not part:
                    raise ConnectionError("the answer stops in the middle")
                if len(answer) > MOST_BYTES:
                    raise ConnectionError("the answer does not end")
            return answer

    def connect(self) -> socket.socket:
        """A new connection; a test gives another."""
        return socket.create_connection((self.address, self.port), self.timeout_s)
''',
    "sample.ini": """\
[/]
uuid = @uuid@
Properties/Timezone = UTC

[/@name@]
type = @dotted@.@Class@
Address = 127.0.0.1
Port = 9000
Rate = 30s
""",
    "README.md": """\
# @dotted@.@Class@

Reads @title@: a made-up device that answers text over TCP. Replace what is said here, and in
the code, by what is true of yours.

## What it reads

| path | unit | type | what |
| --- | --- | --- | --- |
| `/voltage` | V | double | between phase and neutral |
| `/current` | A | double | of the phase |
| `/energy` | Wh | long | taken since the device was made |

## Options

`smapd docs @dotted@.@Class@ --markdown` prints this table anew.

| key | type | default | meaning |
| --- | --- | --- | --- |
| Address | text | required | host name or address of the device |
| Port | port | 9000 | its TCP port |
| Rate | duration | 30s | time between two polls; at least 1s |
| Timeout | duration | 5s | how long one poll may take; at least 100ms |
| Values | list of words | @names@ | which values to read; one of @names@ |

## sample.ini

```ini
@sample@```

## Example output

`run-driver @dotted@.@Class@ Address=10.0.0.7 --once`

```
/voltage	2026-11-20T09:00:00.123Z	230.4	V
/current	2026-11-20T09:00:00.123Z	1.52	A
/energy	2026-11-20T09:00:00.123Z	81723	Wh
```

## Known limits

- A connection is made for each poll, so there is none to free at the end.
""",
}
"""The package itself, by file name."""

TESTS: Final[Mapping[str, str]] = {
    "test_@name@_driver.py": '''\
"""driver.py: each folder of testcases/ is a test, and a new folder is a new one.

conf.ini has the section [/device]. device.txt is what the device answers; without it the connection
is refused. expected.json says what one poll reads, {path: value}; expected.err what it fails with.
"""

from __future__ import annotations

import json
import pathlib
import socket
from collections.abc import Callable, Mapping
from typing import Any

@imports_driver@

TESTCASES = pathlib.Path(__file__).parent / "testcases"


class Recorded(Transport):
    """A device that answers what is written in a file; without one it refuses."""

    answer: pathlib.Path
    other_end: socket.socket | None = None

    def connect(self) -> socket.socket:
        if not self.answer.exists():
            raise ConnectionRefusedError(111, "Connection refused")
        self.close()
        ours, self.other_end = socket.socketpair()
        self.other_end.sendall(self.answer.read_bytes())
        self.other_end.shutdown(socket.SHUT_WR)
        return ours

    def close(self) -> None:
        if self.other_end is not None:
            self.other_end.close()


class Cases(DriverCase):
    def play(self, case: pathlib.Path) -> tuple[dict[str, Any], str]:
        """What one poll of a case read, and what it failed with."""
        devices: list[Recorded] = []

        class Replayed(@Class@):
            def open(self, opts: Mapping[str, Any]) -> Transport:
                device = Recorded(opts["Address"], opts["Port"], opts["Timeout"], self.seconds)
                device.answer = case / "device.txt"
                devices.append(device)
                return device

        section = load_plan(case / "conf.ini", tables=()).section("/device")
        assert section is not None
        self.load(Replayed, **{k: v for k, v in section.raw.items() if k != "type"})
        for device in devices:
            device.close()
        (call,) = self.runtime.scheduler.status()
        read = {
            stream.path.removeprefix(self.path): self.journal.readings(stream.path)[-1][1]
            for stream in self.scope.streams
            if self.journal.readings(stream.path)
        }
        return read, call.get("error", "")

    def test_one_poll_a_rate(self) -> None:
        self.play(TESTCASES / "good answer")

        self.advance(60)

        self.assertEqual(len(self.readings("/voltage")), 3)

    def test_every_stream_has_a_unit(self) -> None:
        self.play(TESTCASES / "good answer")

        self.assertEqual([s.path for s in self.scope.streams if not s.unit], [])


def _test(case: pathlib.Path) -> Callable[[Cases], None]:
    def test(self: Cases) -> None:
        expected, error = case / "expected.json", case / "expected.err"

        read, failed = self.play(case)

        self.assertEqual(read, json.loads(expected.read_text()) if expected.exists() else {})
        self.assertEqual(failed, error.read_text().strip() if error.exists() else "")

    return test


for _case in sorted(TESTCASES.iterdir()):
    setattr(Cases, "test_" + _case.name.replace(" ", "_"), _test(_case))
''',
    "test_@name@_readme.py": '''\
"""README.md, sample.ini and the option table do not part."""

from __future__ import annotations

import inspect
import pathlib
import unittest

@imports_readme@

HERE = pathlib.Path(inspect.getfile(@Class@)).parent


class Readme(unittest.TestCase):
    def setUp(self) -> None:
        self.readme = (HERE / "README.md").read_text("utf-8")

    def test_shows_the_sample_itself(self) -> None:
        sample = (HERE / "sample.ini").read_text("utf-8")

        self.assertIn(f"```ini\\n{sample}```", self.readme)

    def test_shows_the_option_table(self) -> None:
        table = OptionTable("driver", @Class@.OPTIONS)

        self.assertIn(table.markdown(), self.readme)

    def test_the_sample_loads_without_a_warning(self) -> None:
        plan = load_plan(HERE / "sample.ini", tables=())

        self.assertEqual(plan.warnings, ())
        self.assertEqual([s.fault for s in plan.sections], ["", ""])
''',
}
"""Its tests, by file name."""

_CONF: Final = """\
[/]
uuid = @uuid@

[/device]
type = @dotted@.@Class@
Address = 10.0.0.7
"""
_ANSWER: Final = "voltage 230.4\ncurrent 1.52\nenergy 81723\nEND\n"

CASES: Final[Mapping[str, Mapping[str, str]]] = {
    "good answer": {
        "conf.ini": _CONF,
        "device.txt": _ANSWER,
        "expected.json": '{"/voltage": 230.4, "/current": 1.52, "/energy": 81723}\n',
    },
    "chosen values": {
        "conf.ini": _CONF + "Values = voltage, energy\n",
        "device.txt": _ANSWER,
        "expected.json": '{"/voltage": 230.4, "/energy": 81723}\n',
    },
    "wrong value": {
        "conf.ini": _CONF,
        "device.txt": "voltage 230.4\ncurrent ---\nEND\n",
        "expected.json": '{"/voltage": 230.4}\n',
        "expected.err": "BadReading: current is no number: '---'; energy is missing\n",
    },
    "short answer": {
        "conf.ini": _CONF,
        "device.txt": "voltage 230.4\ncurr",
        "expected.err": "DeviceUnavailable: the answer stops in the middle\n",
    },
    "refused connection": {
        "conf.ini": _CONF,
        "expected.err": "DeviceUnavailable: Connection refused\n",
    },
}
"""The recorded cases: what the test gives the driver, and what must come of it."""
