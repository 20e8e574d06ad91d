"""runtime/logs.py: one record a line, in text or JSON, with the driver it came from."""

from __future__ import annotations

import io
import json
import logging
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from twisted.logger import Logger, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from smapd.runtime import CallOwner, start_logging
from smapd.runtime.logs import LineObserver, StandardLogging, json_line, text_line
from smapd.testing import FakeRuntime

log = Logger(namespace="smapd.test")


def begin(observers: list[Any], redirectStandardIO: bool) -> None:
    """In place of Twisted's, which may be begun once a process."""
    for observer in observers:
        globalLogPublisher.addObserver(observer)
    if redirectStandardIO:
        sys.stdout = io.StringIO()


@pytest.fixture
def started() -> Iterator[Callable[..., io.StringIO]]:
    running = []

    def start(form: str = "text", level: str = "info", **more: Any) -> io.StringIO:
        stream = io.StringIO()
        more.setdefault("take_prints", False)
        running.append(start_logging(stream, form, level, begin=begin, **more))
        return stream

    yield start
    for one in running:
        one.stop()


def lines(stream: io.StringIO) -> list[str]:
    return stream.getvalue().splitlines()


EVENT = {
    "log_time": 1_795_165_200.1239,
    "log_level": None,
    "log_namespace": "smapd.x",
    "log_format": "poll took {took_s:.1f} s",
    "took_s": 1.25,
}


def test_text_line() -> None:
    assert text_line(EVENT) == "2026-11-20T09:00:00.123Z info poll took 1.2 s"


def test_text_line_names_driver_and_place() -> None:
    event = {**EVENT, "driver": "/hall/meter", "path": "/hall/meter/power", "section": ""}

    assert "info [driver=/hall/meter path=/hall/meter/power] poll" in text_line(event)


def test_a_path_that_the_message_has_is_not_said_twice() -> None:
    event = {**EVENT, "log_format": "no unit on {path}", "path": "/x"}

    assert text_line(event).endswith("info no unit on /x")


def test_json_line_has_the_fields() -> None:
    event = {**EVENT, "driver": "/m", "n": 3, "bad": float("nan"), "what": object}

    record = json.loads(json_line(event))

    assert record == {
        "time": "2026-11-20T09:00:00.123Z",
        "level": "info",
        "namespace": "smapd.x",
        "message": "poll took 1.2 s",
        "took_s": 1.25,
        "driver": "/m",
        "n": 3,
        "bad": "nan",
        "what": "<class 'object'>",
    }


def test_one_record_is_one_line_and_harmless_to_a_terminal() -> None:
    event = {**EVENT, "log_format": "{text}", "text": "a\nb\x1b[31m\u2028c\x00 ä"}

    assert text_line(event).endswith(r"a\nb\x1b[31m\u2028c\x00 ä")
    assert "\n" not in json_line(event)


def test_a_format_that_does_not_fit_its_fields_is_still_told() -> None:
    event = {**EVENT, "log_format": "{missing} {0"}

    assert "missing" in text_line(event)


def test_a_long_message_is_cut() -> None:
    event = {**EVENT, "log_format": "{text}", "text": "x" * 1_000_000}

    assert len(text_line(event)) < 33_000
    assert len(json_line(event)) < 70_000


class Tracebacks(SynchronousTestCase):
    def event(self, problem: Exception | None = None) -> dict[str, Any]:
        events: list[dict[str, Any]] = []
        globalLogPublisher.addObserver(events.append)
        try:
            raise problem or ZeroDivisionError("division by zero")
        except Exception:
            log.failure("polling")
        globalLogPublisher.removeObserver(events.append)
        self.flushLoggedErrors()
        return events[0]

    def test_in_text_it_follows_indented(self) -> None:
        first, *rest = text_line(self.event()).splitlines()

        self.assertTrue(first.endswith("critical polling"))
        self.assertIn("ZeroDivisionError: division by zero", rest[-1])
        self.assertTrue(all(line.startswith("    ") for line in rest))

    def test_in_json_it_is_a_field(self) -> None:
        record = json.loads(json_line(self.event()))

        self.assertIn("ZeroDivisionError: division by zero", record["traceback"])
        self.assertEqual(record["message"], "polling")

    def test_one_of_any_length_is_bounded_and_stays_indented(self) -> None:
        """SM-36: a driver may raise a whole dump; where it did so stays to be read."""
        for text in ("x" * 10_000_000, "\n" * 200_000, "\x1b" * 200_000, "y\n" * 200_000):
            event = self.event(ValueError(text))

            line = text_line(event)
            record = json.loads(json_line(event))

            self.assertLess(len(line), 65 * 1024)
            self.assertLess(len(record["traceback"]), 65 * 1024)
            self.assertIn("test_logs.py", line)
            self.assertTrue(all(part.startswith("    ") for part in line.splitlines()[1:]))
            self.assertNotIn("\x1b", line)

    def test_an_exception_whose_text_cannot_be_made_is_logged_all_the_same(self) -> None:
        class Mute(Exception):
            def __str__(self) -> str:
                raise KeyError("no text")

        event = self.event(Mute()) | {"path": Mute(), "about": Mute()}

        self.assertIn("Mute", text_line(event))
        self.assertIn("Mute", json.loads(json_line(event))["about"])


def test_a_librarys_record_that_cannot_be_formatted_is_logged_as_it_came(
    started: Callable[..., io.StringIO],
) -> None:
    class Mute:
        def __str__(self) -> str:
            raise RuntimeError("no text")

    stream = started()
    record = logging.LogRecord("a.library", logging.WARNING, "x.py", 1, "%s came", (Mute(),), None)

    StandardLogging().emit(record)

    assert "%s came" in lines(stream)[0]


def test_records_below_the_level_are_left_out(started: Callable[..., io.StringIO]) -> None:
    stream = started(level="warn")

    log.info("quiet")
    log.warn("loud")

    assert [line.split()[-1] for line in lines(stream)] == ["loud"]


def test_twisteds_chatter_is_left_out_unless_all_is_wanted(
    started: Callable[..., io.StringIO],
) -> None:
    info, debug = started(), started(level="debug")

    Logger(namespace="twisted.web.server.Site").info("Starting factory")

    assert (len(lines(info)), len(lines(debug))) == (0, 1)


def test_what_libraries_log_comes_too(started: Callable[..., io.StringIO]) -> None:
    stream = started("json")

    logging.getLogger("pymodbus.client").warning("no answer from %s", "10.0.0.7")
    # straight to the handler: pytest's own would fail on it
    StandardLogging().handle(logging.LogRecord("lib", 45, "", 0, "odd %d", ("x",), None))

    first, second = map(json.loads, lines(stream))
    assert (first["level"], first["namespace"]) == ("warn", "pymodbus.client")
    assert first["message"] == "no answer from 10.0.0.7"
    assert second["message"] == "odd %d ('x',)"


def test_a_librarys_traceback_is_kept(started: Callable[..., io.StringIO]) -> None:
    stream = started("json")

    try:
        raise KeyError("x")
    except KeyError:
        logging.getLogger("lib").exception("it broke")

    record = json.loads(lines(stream)[0])
    assert record["level"] == "error"
    assert "KeyError: 'x'" in record["traceback"]


def test_records_of_a_drivers_code_carry_its_path(started: Callable[..., io.StringIO]) -> None:
    stream = started()
    owner = CallOwner("meter", "/hall/meter", FakeRuntime().scheduler)

    owner.run(log.info, "mine")
    owner.run(logging.getLogger("lib").info, "a library's")
    log.info("nobody's")

    assert [line.split(" ", 1)[1] for line in lines(stream)] == [
        "info [driver=/hall/meter] mine",
        "info [driver=/hall/meter] a library's",
        "info nobody's",
    ]


def test_stop_takes_everything_back() -> None:
    root, stdout = logging.getLogger(), sys.stdout
    was = (list(root.handlers), root.level)
    stream = io.StringIO()

    running = start_logging(stream, begin=begin)
    taken = sys.stdout is not stdout
    running.stop()
    log.info("not heard")

    assert taken
    assert sys.stdout is stdout
    assert (list(root.handlers), root.level) == was
    assert stream.getvalue() == ""


class Broken(io.StringIO):
    def write(self, text: str) -> int:
        raise OSError(28, "No space left on device")


class Ascii(io.TextIOWrapper):
    pass


def test_a_stream_without_room_loses_the_line_and_stops_nothing() -> None:
    observer = LineObserver(Broken(), text_line)

    observer(dict(EVENT))

    assert observer.lost == 1


def test_a_stream_that_cannot_write_a_letter_gets_it_escaped() -> None:
    raw = io.BytesIO()
    observer = LineObserver(io.TextIOWrapper(raw, "ascii"), text_line)

    observer({**EVENT, "log_format": "Zähler €"})

    assert raw.getvalue().endswith(b"Z\\xe4hler \\u20ac\n")


@pytest.mark.parametrize(
    ("form", "level", "text"),
    [
        ("xml", "info", "the log's form is text or json: got 'xml'"),
        ("text", "loud", "the log's level is one of debug, info, warn, error, critical: got"),
    ],
)
def test_another_form_or_level_is_refused(form: str, level: str, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        start_logging(io.StringIO(), form, level, begin=begin)


@pytest.mark.real
def test_prints_and_warnings_do_not_break_json() -> None:
    """In a process of its own: what a driver prints becomes records."""
    import subprocess

    program = (
        "import sys, warnings\n"
        "from smapd.runtime import start_logging\n"
        "log = start_logging(sys.stderr, 'json')\n"
        "print('half', end=' '); print('a line')\n"
        "print('to stderr', file=sys.stderr)\n"
        "warnings.warn('old', DeprecationWarning)\n"
        "log.stop(); print('plain')\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "always", "-c", program],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )

    records = [json.loads(line) for line in done.stderr.splitlines()]
    assert [r["message"] for r in records[:2]] == ["half a line", "to stderr"]
    assert "old" in records[2]["message"]
    assert done.stdout == "plain\n"
