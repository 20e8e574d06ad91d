import json

import pytest

from smapd.cli import main, status
from tests.cli.daemon import FakeDaemon

pytestmark = pytest.mark.real


def test_it_shows_one_fact_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    found = {
        "daemon": {
            "version": "0.1.0",
            "uptime_s": 12.3456789,
            "ready": True,
            "problems": [],
            "last": None,
        },
        "pools": {"poll": {"idle": 3, "busy": 1}, "none": {}},
        "drivers": [{"path": "/host", "errors": ["a", "b"]}, {"path": "/x", "deep": [{"y": 1}]}],
    }
    with FakeDaemon({"/status": (200, found)}) as daemon:
        assert main(["status", "--url", daemon.url]) == 0

    assert capsys.readouterr().out == (
        f"{daemon.url}\n"
        "  daemon:\n"
        "    version: 0.1.0\n"
        "    uptime_s: 12.3457\n"
        "    ready: yes\n"
        "    problems: none\n"
        "    last: none\n"
        "  drivers:\n"
        "    - path: /host\n"
        "      errors: a, b\n"
        "    - path: /x\n"
        "      deep:\n"
        "        - y: 1\n"
        "  pools:\n"
        "    poll:\n"
        "      idle: 3\n"
        "      busy: 1\n"
        "    none: none\n"
    )


def test_json_comes_as_the_daemon_gives_it(capsys: pytest.CaptureFixture[str]) -> None:
    found = {"daemon": {}, "a": [1, {"b": None}]}
    with FakeDaemon({"/status": (200, found)}) as daemon:
        assert main(["status", "--url", daemon.url, "--json"]) == 0

    assert json.loads(capsys.readouterr().out) == found


@pytest.mark.parametrize("found", [b"", None, [], {}, {"daemon": "no"}, {"version": 1}])
def test_what_is_no_daemon_is_said_to_be_none(
    found: object, capsys: pytest.CaptureFixture[str]
) -> None:
    with FakeDaemon({"/status": (200, found)}) as daemon:
        assert main(["status", "--url", daemon.url]) == 1

    assert capsys.readouterr() == (
        "",
        f"smapd: what answers at {daemon.url} is no smapd: it tells no status of a daemon.\n",
    )


def test_what_people_look_for_comes_first() -> None:
    found = dict.fromkeys(["pools", "tree", "new", "drivers", "daemon"], 0)

    assert list(status.ordered(found)) == ["daemon", "drivers", "tree", "pools", "new"]


def test_what_a_device_says_cannot_steer_the_terminal() -> None:
    assert list(status.lines({"model\x1b[2J": "x\r\n\x9bH"})) == ["model\\x1b[2J: x\\r\\n\\x9bH"]


def test_a_list_of_lists_is_shown_in_full() -> None:
    assert list(status.lines([[1, [2, 3]], []])) == ["- - 1", "  - 2, 3", "- none"]
