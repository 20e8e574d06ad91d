"""driver/fetch.py: what is asked when, and what becomes of the answer; files are real, nets not."""

from __future__ import annotations

import json
import pathlib
import tempfile
from typing import Any

import pytest

from smapd.driver import FetchDriver, Option, fetch_options, uri
from smapd.driver.fetch import header
from smapd.driver.transfer import Body, NotNow, Validators
from smapd.errors import BadReading, ConfigError, DeviceUnavailable, DriverFailed, SmapError
from smapd.options import OptionTable, Where
from smapd.testing import DriverCase

WEB = "http://meter.example/now.json"


class Script:
    """A transfer that does what it is told, one step a call: a body, None, or an exception."""

    def __init__(self, *steps: Any) -> None:
        self.steps = list(steps)
        self.asked: list[tuple[str, Validators]] = []

    def get(self, address: str, known: Validators) -> Body | None:
        self.asked.append((address, known))
        step = self.steps.pop(0) if len(self.steps) > 1 else self.steps[0]
        if isinstance(step, Exception):
            raise step
        return Body(step) if isinstance(step, bytes) else step


def reads(script: Script) -> type[FetchDriver]:
    class Meter(FetchDriver):
        def setup(self, opts: Any) -> None:
            FetchDriver.setup(self, opts)
            self.seen: list[bytes] = []
            self.add_timeseries("/power", "power", "kW", data_type="double")

        def open(self, opts: Any) -> Any:
            return script

        def process(self, data: bytes) -> None:
            self.seen.append(data)
            self.add("/power", json.loads(data)["power"])

    return Meter


class Fetching(DriverCase):
    """SM-16."""

    def values(self) -> list[Any]:
        return [value for _, value in self.readings("/power")]

    def poll(self) -> Any:
        (status,) = self.runtime.scheduler.status()
        return status

    def test_it_looks_each_rate_and_processes_what_comes(self) -> None:
        script = Script(b'{"power": 1.5}', b'{"power": 2.5}', b'{"power": 3.5}')

        driver = self.load(reads(script), Uri=WEB, Rate="10s")
        self.advance(20)

        self.assertEqual(self.values(), [1.5, 2.5, 3.5])
        self.assertEqual(driver.seen[0], b'{"power": 1.5}')
        self.assertEqual({address for address, _ in script.asked}, {WEB})

    def test_it_runs_on_a_poll_thread_and_off_the_reactor(self) -> None:
        self.load(reads(Script(b'{"power": 1}')), Uri=WEB)

        self.assertEqual(self.runtime.threads.moved()["poll"], 1)

    def test_a_file_is_read_anew_at_each_look(self) -> None:
        home = tempfile.TemporaryDirectory()
        self.addCleanup(home.cleanup)
        file = pathlib.Path(home.name) / "it"
        file.write_text('{"power": 1}')

        class Meter(FetchDriver):
            def setup(self, opts: Any) -> None:
                super().setup(opts)
                self.add_timeseries("/power", "power", "kW")

            def process(self, data: bytes) -> None:
                self.add("/power", json.loads(data)["power"])

        self.load(Meter, Uri=file.as_uri())
        file.write_text('{"power": 2}')
        self.advance(60)

        self.assertEqual(self.values(), [1, 2, 2])

    def test_what_was_told_of_a_body_is_asked_with_the_next_time(self) -> None:
        """SM-16: ETag and Last-Modified come back; None stands for 304, and nothing is read."""
        told = Validators('"7"', "Tue, 14 Nov 2023 22:00:00 GMT")
        script = Script(Body(b'{"power": 1}', told), None)

        driver = self.load(reads(script), Uri=WEB, Rate="1s")
        self.advance(2)

        self.assertEqual([known for _, known in script.asked], [Validators(), told, told])
        self.assertEqual(len(driver.seen), 1)
        self.assertEqual(self.poll()["failed"], 0)

    def test_a_body_that_could_not_be_read_is_asked_for_whole_again(self) -> None:
        script = Script(Body(b"<html>", Validators('"7"')), Body(b'{"power": 2}', Validators()))

        self.load(reads(script), Uri=WEB, Rate="1s")
        self.advance(1)

        self.assertEqual([known for _, known in script.asked], [Validators(), Validators()])
        self.assertEqual(self.values(), [2.0])

    def test_another_address_is_asked_without_what_was_told_of_the_first(self) -> None:
        script = Script(Body(b'{"power": 1}', Validators('"7"')))

        class Moving(reads(script)):  # type: ignore[misc]
            def address(self) -> str:
                return f"{self.uri}?n={len(script.asked)}"

        self.load(Moving, Uri=WEB, Rate="1s")
        self.advance(1)

        self.assertEqual(script.asked, [(f"{WEB}?n=0", Validators()), (f"{WEB}?n=1", Validators())])

    def test_what_cannot_be_read_is_a_bad_reading_that_says_why(self) -> None:
        """SM-16: ValueError and LookupError of process; the next look still comes."""
        script = Script(b'{"power": "much"', b'{"current": 1}', b'{"power": 4}')

        self.load(reads(script), Uri=WEB, Rate="1s")
        first = self.poll()
        self.advance(1)
        second = self.poll()
        self.advance(1)

        self.assertIn(f"BadReading: {WEB} cannot be read: JSONDecodeError:", first["error"])
        self.assertEqual(second["error"], f"BadReading: {WEB} cannot be read: KeyError: 'power'")
        self.assertEqual((second["bad_readings"], second["failed"]), (2, 0))
        self.assertEqual(self.values(), [4.0])

    def test_a_bug_in_process_stays_a_bug(self) -> None:
        """An unknown path, or an attribute that is not there, is no fault of the document."""

        class Meter(reads(Script(b"x"))):  # type: ignore[misc]
            def process(self, data: bytes) -> None:
                self.add("/nowhere", 1)

        self.load(Meter, Uri=WEB)

        self.assertIn("NoSuchPath", self.poll()["error"])
        self.assertEqual((self.poll()["bad_readings"], self.poll()["failed"]), (0, 1))
        self.assertEqual(len(self.flushLoggedErrors()), 1)

    def test_what_cannot_be_fetched_backs_off(self) -> None:
        """SM-16: DeviceUnavailable, at growing pauses."""
        script = Script(DeviceUnavailable("http://meter.example/now.json: Connection refused"))

        self.load(reads(script), Uri=WEB, Rate="1s")
        self.advance(60)

        self.assertLess(len(script.asked), 15)
        self.assertIn("Connection refused", self.poll()["error"])

    def test_a_server_that_asks_for_time_gets_it(self) -> None:
        script = Script(NotNow(f"{WEB} answered 429 Too Many Requests", 300.0), b'{"power": 5}')

        self.load(reads(script), Uri=WEB, Rate="1s")
        self.advance(299)
        asked = len(script.asked)
        error = self.poll()["error"]
        self.advance(61)  # the longest pause of the backoff

        self.assertEqual(asked, 1)
        self.assertIn("429 Too Many Requests", error)
        self.assertEqual(self.values()[0], 5.0)

    def test_address_needs_a_uri(self) -> None:
        class Own(FetchDriver):
            OPTIONS = fetch_options(None)

        with self.assertRaisesRegex(DriverFailed, "Uri: missing. It is what to fetch"):
            self.load(Own)

    def test_setup_that_forgets_the_base_class_is_told_what_to_write(self) -> None:
        class Forgets(FetchDriver):
            def setup(self, opts: Any) -> None:
                self.add_timeseries("/power", "kW")

        with self.assertRaisesRegex(
            DriverFailed, r"Forgets\.setup must call FetchDriver\.setup\(self, opts\) first"
        ):
            self.load(Forgets, Uri=WEB)

    def test_driver_without_process_is_told_so(self) -> None:
        class Empty(FetchDriver):
            def open(self, opts: Any) -> Any:
                return Script(b"x")

        self.load(Empty, Uri=WEB)

        self.assertIn("Empty has no process(self, data)", self.poll()["error"])
        self.flushLoggedErrors(NotImplementedError)

    def test_unchecked_options_are_read_by_the_same_rules(self) -> None:
        """SM-16: sMAP's own subclasses take keys that no table names: OPTIONS = None."""

        class Old(reads(Script(b'{"power": 1}'))):  # type: ignore[misc]
            OPTIONS = None

            def setup(self, inst: Any, opts: Any) -> None:
                super().setup(opts)
                self.mine = opts["Floor"]

        driver = self.load(Old, Uri=WEB, Rate="5", Floor="3")

        self.assertEqual((driver.uri, driver.rate, driver.timeout, driver.mine), (WEB, 5, 30, "3"))

    def test_unchecked_options_that_are_wrong_are_one_sentence(self) -> None:
        class Old(reads(Script(b"x"))):  # type: ignore[misc]
            OPTIONS = None

        with self.assertRaisesRegex(DriverFailed, "setup failed: Rate = 5x: not a duration"):
            self.load(Old, Uri=WEB, Rate="5x")

    def test_options_are_checked_with_those_of_its_own(self) -> None:
        class More(reads(Script(b'{"power": 1}'))):  # type: ignore[misc]
            OPTIONS = (*FetchDriver.OPTIONS, Option("Floor", int, 0, "which one"))  # type: ignore[misc]

        self.load(More, Uri=WEB, Floor="3")
        with self.assertRaisesRegex(ConfigError, "Flor: no such key of More. Did you mean Floor"):
            self.load(More, Uri=WEB, Flor="3")

    def test_headers_are_read_and_a_bad_one_is_refused_unshown(self) -> None:
        class Plain(FetchDriver):
            def start(self) -> None:
                """Nothing is asked."""

        self.load(Plain, Uri=WEB, Header0="X-Api-Key: abc", Header7="Accept: text/plain")
        headers = self.driver._transfer._headers
        with self.assertRaises(ConfigError) as caught:
            self.load(Plain, Uri=WEB, Header0="s3cret\r\nHost: x")

        self.assertEqual({k: v.reveal() for k, v in headers.items()}["X-Api-Key"], "abc")
        self.assertIn("Header0 = ***: not a request header", str(caught.exception))
        self.assertNotIn("s3cret", str(caught.exception))


@pytest.mark.parametrize(
    "text",
    [
        "http://10.0.0.7/now",
        "https://user:word@host.example:8443/a?b=c",
        "file:///var/lib/x.csv",
        "file://localhost/var/lib/x%20y.csv",
    ],
)
def test_an_address_is_taken_as_it_is(text: str) -> None:
    assert uri(text) == text


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("meter.example/now", "not an address to fetch. Write one like https://host/path or"),
        ("ftp://host/x", "not an address to fetch"),
        ("python://loaders.load", "not an address to fetch"),
        ("http://", "not a URL of scheme http or https"),
        ("http://host/a b", "a URL with a blank"),
        ("file:x.csv", "not a file's address. Write its whole path"),
        ("file://server/share/x.csv", "not a file's address. Write its whole path"),
        ("file:///x.csv?a=1", "with [?] or # in it"),
    ],
)
def test_an_address_that_is_none_is_refused(text: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        uri(text)


def test_a_header_by_reference_is_not_looked_at_before_it_is_read() -> None:
    assert header("env:METER_KEY").reference == "env:METER_KEY"


def test_defaults_are_the_drivers_to_choose() -> None:
    table = OptionTable("x", fetch_options("https://a.example/", rate="5m", at_least="1m"))

    values, problems = table.parse({}, Where())
    _, too_often = table.parse({"Rate": "30s"}, Where())

    assert (values["Uri"], values["Rate"], problems) == ("https://a.example/", 300.0, [])
    assert [str(p) for p in too_often] == ["Rate = 30s: below the least allowed, 1m."]


def test_not_now_is_a_device_that_is_unavailable() -> None:
    """So a driver that knows of no such thing backs off all the same."""
    assert issubclass(NotNow, DeviceUnavailable)
    assert not issubclass(BadReading, DeviceUnavailable)
    assert issubclass(NotNow, SmapError)
