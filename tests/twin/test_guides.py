"""The programs of the two guides, run as they are printed but for their import lines."""

from __future__ import annotations

import importlib
import logging
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from smapd.twin import Integrator, T2ProviderFailureReason, log_exceptions
from smapd.twin.settings import LINK
from tests.twin.programs import Heard, Home, home, until

FOLDER = Path(__file__).parent / "guides"
MODULES = ("guide_events", "guide_integrator", "guide_follower")


@pytest.fixture(autouse=True)
def _guides(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(str(FOLDER))
    yield
    for name in MODULES:
        sys.modules.pop(name, None)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "small.pdf").write_bytes(random.Random(1).randbytes(5 * 2**20 + 17))
    (tmp_path / "empty.pdf").write_bytes(b"")
    return tmp_path


class Both:
    """The two programs, running."""

    def __init__(self, at: Home, files: Path, *, t2: bool = True) -> None:
        own = {"loop_time": "0.05", "files": str(files)}
        self.sender = importlib.import_module("guide_integrator").IntegratorExample(
            {"name": "bom", LINK: at.link, "integrator": {"t2": t2}, "config": own}
        )
        part = {"t2": t2, "event_modules": ["guide_events"]}
        self.reader = importlib.import_module("guide_follower").FollowerExample(
            {"name": "archive", LINK: at.link, "follower": part}
        )
        self.sender.run(background=True)
        self.reader.run(background=True)

    def stop(self) -> None:
        assert self.sender.stop(10)
        assert self.reader.stop(10)


@pytest.mark.real
def test_the_integrator_publishes_and_the_follower_follows(files: Path) -> None:
    """IN-01 to IN-05, IN-14, IN-15, IN-20, IN-36, IN-41, FO-01 to FO-07, FO-10, FO-37."""
    with home("1000020", "1000021") as at:
        both = Both(at, files)
        until(lambda: len(both.reader.seen) == 2 and len(both.sender.processed) > 2)
        until(lambda: len(both.reader.internal) == 2)
        both.stop()

    part = [{"Matnr": "4711"}]
    assert sorted(both.reader.seen) == [
        ("BomBuiltSet", "1000020", 0, part),
        ("BomBuiltSet", "1000021", 0, part),
    ]
    assert both.reader.assets == ["1000020", "1000021"]
    assert sorted(word.partition("@")[0] for word in both.reader.internal) == [
        "<IntTwinEofReplay v1 ('1000020'",
        "<IntTwinEofReplay v1 ('1000021'",
    ]
    assert both.sender.ends == [None]


@pytest.mark.real
def test_named_events_and_unmatched_ones(files: Path, caplog: pytest.LogCaptureFixture) -> None:
    """FO-07, FO-08, FO-11: do_newdocset, and on_event_unmatched for the rest."""
    with home("a") as at, caplog.at_level(logging.INFO):
        both = Both(at, files)
        events: Any = importlib.import_module("guide_events")
        client = at.client("other")
        integrator = Integrator({"source": "docs"}, client, Heard())
        integrator.start()
        integrator.publish_event(events.NewDocSet("a", data={"Name": "manual.pdf"}))
        integrator.publish_event(events.OtherSet("a"))
        until(lambda: len(both.reader.seen) == 3)
        until(lambda: ("follower:archive", "a", 3) in at.to_reactor(at.house.log.cursors))
        assert client.close()
        both.stop()

    seen = {name: data for name, _asset, _offset, data in both.reader.seen}
    assert seen["NewDocSet"] == {"Name": "manual.pdf"}
    assert seen["OtherSet"] is None
    assert "OtherSet (from docs) @" in caplog.text


@pytest.mark.real
def test_a_file_is_streamed_as_the_guide_has_it(files: Path) -> None:
    """IN-24 to IN-29, FO-26 to FO-29: 5 MiB in pieces of 1 MiB."""
    with home("a") as at:
        both = Both(at, files)
        until(lambda: both.reader.assets and both.sender.client.is_connected)
        both.reader.ask("a")
        both.reader.ask("a", name="empty.pdf")
        both.stop()

    assert {mime for mime, _ in both.reader.chunks} == {"application/pdf"}
    data = b"".join(chunk for _, chunk in both.reader.chunks)
    assert data == (files / "small.pdf").read_bytes()
    assert both.reader.was_ok == 2


@pytest.mark.real
@pytest.mark.parametrize(
    ("more", "t2", "told"),
    [
        ({"asset": "b"}, True, "T2 - Asset b no longer known, ignoring"),
        ({"what": "SomethingElse"}, True, "T2 request not handled by provider"),
        ({"name": "none.pdf"}, True, "Data not available for given request and asset"),
        ({}, False, "T2 functionality not enabled in follower"),
    ],
)
def test_each_exception_of_the_guide_is_raised(
    files: Path, caplog: pytest.LogCaptureFixture, more: dict[str, Any], t2: bool, told: str
) -> None:
    """FO-26, FO-31 to FO-33, FO-36, IN-34: every branch of the guide's try."""
    with home("a") as at:
        both = Both(at, files, t2=t2)
        until(lambda: both.reader.assets and both.sender.client.is_connected)
        both.reader.ask(**{"asset": "a", **more})
        both.stop()

    assert told in caplog.text
    assert both.reader.was_ok == 0


@pytest.mark.real
def test_the_timeout_of_the_guide_is_raised(files: Path, caplog: pytest.LogCaptureFixture) -> None:
    """FO-34: a provider that keeps the request and says nothing."""
    with home("a") as at:
        both = Both(at, files)
        kept: list[Any] = []
        both.sender.on_t2_request = kept.append
        until(lambda: both.reader.assets and both.sender.client.is_connected)
        both.reader.ask("a", timeout=0.2)
        both.stop()

    assert "T2 request timed out" in caplog.text
    assert len(kept) == 1


def test_log_exceptions_logs_and_does_not_raise(caplog: pytest.LogCaptureFixture) -> None:
    """IN-26: not lost, not raised on; what a function returns is returned."""
    log = logging.getLogger("worker")

    @log_exceptions(log)
    def work(a: int, b: int = 2) -> float:
        """Divides."""
        return a / b

    assert work(1) == 0.5
    assert work(1, b=0) is None
    assert "ZeroDivisionError" in caplog.text
    assert (work.__name__, work.__doc__) == ("work", "Divides.")


def test_log_exceptions_takes_a_twisted_log() -> None:
    """IN-26."""
    from twisted.logger import Logger, LogLevel, capturedLogs

    @log_exceptions(Logger())
    def work() -> None:
        raise ValueError("broken")

    with capturedLogs() as told:
        assert work() is None

    assert told[0]["log_level"] is LogLevel.critical
    assert told[0]["log_failure"].getErrorMessage() == "broken"


def test_every_reason_sent_can_be_seen() -> None:
    """FO-33: reasons sent arrive as sent."""
    from smapd.twin import T2ReqFailureReason

    for reason in T2ProviderFailureReason:
        assert T2ReqFailureReason(reason.value).name == reason.name
    assert {"REQ_UNHANDLED", "RESOURCE_UNKNOWN"} <= set(T2ReqFailureReason.__members__)
