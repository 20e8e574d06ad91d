"""The one table of errors."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from twisted.logger import LogLevel, globalLogPublisher

from smapd import errors
from smapd.http.errors import BUGS, REASONS, STATUS, body_of, status_of

DOCUMENTED = {500, 501, 502, 503, 504, 507}


def every(kind: type[errors.SmapError]) -> Iterator[type[errors.SmapError]]:
    if kind.__module__ == errors.__name__:
        yield kind
        for below in kind.__subclasses__():
            yield from every(below)


ALL = sorted(set(every(errors.SmapError)), key=lambda kind: kind.__name__)


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_every_error_has_its_status(kind: type[errors.SmapError]) -> None:
    """SM-20: each class of errors.py is in the table, or among those no route may raise."""
    assert (kind in STATUS) != (kind in BUGS), f"{kind.__name__}: give it a place in http/errors.py"
    if kind in STATUS:
        assert 400 <= STATUS[kind] < 500 or STATUS[kind] in DOCUMENTED - {500}
        assert STATUS[kind] in REASONS


def test_every_code_is_one_errors_alone() -> None:
    """SM-20: a program can tell errors apart by their code."""
    codes = [kind.code for kind in ALL]

    assert len(set(codes)) == len(codes)


def test_a_class_of_its_own_has_the_status_of_its_base() -> None:
    """SM-20: an error derived elsewhere is not a bug because of that."""

    class Special(errors.NoSuchPath):
        pass

    class Odd(errors.SmapError):
        pass

    assert (status_of(Special()), status_of(Odd()), status_of(KeyError())) == (404, 500, 500)


def test_a_body_is_bounded_json() -> None:
    """SEC-06: a long address is not sent back whole."""
    told = json.loads(body_of(errors.NotFound("x" * 100_000, hint="Look elsewhere.")))

    assert set(told) == {"error", "message", "hint"}
    assert told["error"] == "not_found"
    assert told["hint"] == "Look elsewhere."
    assert len(told["message"]) == 1001


@pytest.fixture
def logged() -> Iterator[list[dict[str, Any]]]:
    """What is logged as a failure."""
    seen: list[dict[str, Any]] = []

    def observer(event: dict[str, Any]) -> None:
        if event["log_level"] is LogLevel.critical:
            seen.append(event)

    globalLogPublisher.addObserver(observer)
    yield seen
    globalLogPublisher.removeObserver(observer)


@pytest.mark.parametrize("target", ["/status", "/data/a", "/healthz"])
def test_a_bug_is_500_with_an_incident_and_nothing_of_the_inside(
    served: Any, logged: list[dict[str, Any]], target: str
) -> None:
    """SEC-06: the traceback is in the log, under the id that the client was given."""

    def broken(*_: object) -> Any:
        raise RuntimeError("a secret of the inside")

    served.status.section("broken", broken)
    served.tree.get = broken
    if target == "/healthz":
        served.reasons.pop("healthy")

    answer = served.get(target)

    assert answer.status == 500
    assert answer.json["error"] == "bug"
    assert b"secret" not in answer.body
    (event,) = logged
    assert event["incident"] in answer.json["message"]
    assert event["path"] == repr(target)
    assert "Traceback" in event["log_failure"].getTraceback()
    assert served.site.counts.incidents == 1


def test_an_error_of_starting_up_in_a_request_is_a_bug(
    served: Any, logged: list[dict[str, Any]]
) -> None:
    """SEC-06: a class that no route may raise is not shown to the client."""

    def broken() -> Any:
        raise errors.SecretUnreadable("file /etc/key: denied")

    served.status.section("broken", broken)

    answer = served.get("/status")

    assert answer.status == 500
    assert b"/etc/key" not in answer.body
    assert len(logged) == 1


def test_a_line_of_the_log_cannot_be_forged(served: Any, logged: list[dict[str, Any]]) -> None:
    """SEC-06: what a client writes into its address stands escaped in the log."""
    served.tree.get = None

    served.get("/data/a%0A2026-01-01T00:00:00Z%20info%20all%20is%20well")

    assert "\n" not in logged[0]["path"]


@pytest.mark.parametrize(
    ("raised", "status", "header"),
    [
        (errors.Busy(), 503, ("retry-after", "1")),
        (errors.ShutdownRequested(), 503, ("retry-after", "1")),
        (errors.StorageFull(), 507, None),
        (errors.BadRequest("no"), 400, None),
        (errors.PathExists("taken"), 409, None),
        (errors.DeviceUnavailable("gone"), 502, None),
    ],
)
def test_what_a_room_raises_is_answered(
    served: Any, raised: errors.SmapError, status: int, header: tuple[str, str] | None
) -> None:
    """SM-20: wherever it comes from, with its own sentence."""

    def take(body: object) -> int:
        raise raised

    served.intake.take = take

    answer = served.post("/readings", {})

    assert answer.status == status
    assert answer.json["message"] == raised.message
    if header:
        assert answer.headers[header[0]] == header[1]
