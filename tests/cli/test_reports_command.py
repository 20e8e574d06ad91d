"""``smapd reports``: what it asks of a daemon, and how it shows what that says."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import pytest

from smapd.cli import main
from tests.cli.daemon import FakeDaemon

pytestmark = pytest.mark.real

ONE, TWO = "ca3fdb71-af0c-57d8-9e9f-2da9c41c1d96", "3b2b9b0e-0000-11e1-8000-000000000001"
STATUS: dict[str, Any] = {
    "reports": [
        {
            "uuid": ONE,
            "name": "report 0",
            "origin": "config",
            "resource": "/+",
            "format": "json",
            "state": "waiting",
            "why": "500 Internal Server Error",
            "to": "http://one.example",
            "waiting": 120,
            "readings": 4000,
            "gaps": {"bounds": 7, "disk": 2},
            "last_ms": 1_700_000_000_000,
        },
        {
            "uuid": TWO,
            "name": f"report {TWO}",
            "origin": "http",
            "resource": "/hall/t",
            "state": "idle",
            "to": "http://two.example",
            "waiting": 0,
            "readings": 5,
            "gaps": {},
        },
    ]
}
SHOWN = {"uuid": ONE, "ReportResource": "/+", "ReportDeliveryLocation": ["http://one.example/***"]}
ANSWERS: dict[str, tuple[int, Any]] = {
    "/reports": (200, {"Contents": [ONE, TWO]}),
    "/status": (200, STATUS),
    f"/reports/{ONE}": (200, SHOWN),
    f"/reports/{TWO}": (200, b""),
}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SMAPD_TOKEN", raising=False)


def asked(*arguments: str, status: int = 0) -> list[tuple[str, str, Any]]:
    """What changes a daemon is asked for."""
    with FakeDaemon(ANSWERS) as daemon:
        what, *rest = arguments
        assert main(["reports", what, "--url", daemon.url, *rest]) == status
    return [(m, where, body) for m, where, _, body in daemon.asked if m != "GET"]


def test_the_list_says_what_where_and_how_far(capsys: pytest.CaptureFixture[str]) -> None:
    asked("list")

    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in lines] == ["REPORT", "report 0", TWO]
    assert lines[1].split()[-3:] == ["120", "4000", "9"]
    assert "waiting: 500 Internal Server Error" in lines[1]


def test_a_daemon_that_says_less_is_listed_too(capsys: pytest.CaptureFixture[str]) -> None:
    answers = {**ANSWERS, "/status": (200, {}), f"/reports/{TWO}": (404, {"message": "gone"})}
    with FakeDaemon(answers) as daemon:
        assert main(["reports", "list", "--url", daemon.url]) == 0

    assert "http://one.example/***" in capsys.readouterr().out


@pytest.mark.parametrize("name", [ONE, ONE.upper(), "ca3f", "report 0", "[report 0]", "0"])
def test_a_report_is_named_by_its_uuid_or_its_name(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    asked("show", name)

    said = capsys.readouterr().out
    assert f"uuid: {ONE}\n" in said
    assert "gaps:\n  bounds: 7\n" in said
    assert "last_ms: 2023-11-14 22:13:20+00:00\n" in said


def test_it_is_shown_as_json_too(capsys: pytest.CaptureFixture[str]) -> None:
    asked("show", "0", "--json")

    assert json.loads(capsys.readouterr().out)["waiting"] == 120


def test_a_report_is_made_with_the_keys_of_a_config(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["/hall/+", "http://sink.example/a", "http://sink.example/b", "--uuid", TWO]
    arguments += ["--format", "gzip-json", "--min-period", "5m", "--set", "Sequence=yes"]

    found = asked("create", *arguments, "--set", "KeepBytes=1MiB", "--set", "MaxReadings=500")

    assert found == [
        (
            "POST",
            "/reports",
            {
                "uuid": TWO,
                "ReportResource": "/hall/+",
                "ReportDeliveryLocation": ["http://sink.example/a", "http://sink.example/b"],
                "Format": "gzip-json",
                "MinPeriod": 300.0,
                "Sequence": True,
                "KeepBytes": 2**20,
                "MaxReadings": 500,
            },
        )
    ]
    assert capsys.readouterr().out == f"{TWO}\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--set", "Keep=long"], "Keep = long: not a duration."),
        (["--set", "Keeep=1d"], "--set Keeep: no such key. There are BytesPerDay, "),
        (["--set", "Keep"], "--set Keep: not KEY=VALUE."),
        (["--uuid", "x"], "--uuid x: no uuid."),
    ],
)
def test_what_does_not_fit_is_not_sent(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert asked("create", "/+", "http://sink.example/", *arguments, status=1) == []

    assert said in capsys.readouterr().err


@pytest.mark.parametrize("what", ["pause", "resume", "delete"])
def test_an_unknown_report_changes_nothing(what: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert asked(what, "3", status=1) == []

    assert capsys.readouterr().err.startswith("smapd: There is no report 3.\n")


def test_a_beginning_that_fits_two_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    twin = TWO[:-1] + "2"
    reports = {"reports": [*STATUS["reports"], {"uuid": twin, "name": "x"}]}
    contents = {"Contents": [ONE, TWO, twin]}
    with FakeDaemon({"/reports": (200, contents), "/status": (200, reports)}) as daemon:
        assert main(["reports", "delete", "--url", daemon.url, "3b2b"]) == 1

    assert capsys.readouterr().err.startswith(f"smapd: 3b2b may be {TWO} or {twin}.\n")


@pytest.mark.parametrize(
    ("what", "change"),
    [
        ("pause", ("PUT", f"/reports/{ONE}", {"Paused": True})),
        ("resume", ("PUT", f"/reports/{ONE}", {"Paused": False})),
        ("delete", ("DELETE", f"/reports/{ONE}", None)),
    ],
)
def test_a_report_is_changed_by_its_name(
    what: str, change: tuple[str, str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert asked(what, "report 0") == [change]

    assert capsys.readouterr().out.startswith(f"{ONE} is {what}d".replace("deleted", "removed"))
