import json

import pytest

from smapd.cli import main, status
from smapd.cli.summary import summary
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
        assert main(["status", "--all", "--url", daemon.url]) == 0

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


def test_a_screenful_says_what_runs_and_what_does_not() -> None:
    found = {
        "daemon": {
            "version": "0.1.0",
            "pid": 7,
            "config": "a.ini",
            "data_dir": "/d",
            "started_ms": 0,
            "now_ms": 7_200_000,
            "not_ready": "",
        },
        "tree": {"nodes": 78, "readings": 94, "refused": 3, "dropped": 0},
        "journal": {"error": "no space left on device"},
        "drivers": [
            {"path": "/host", "state": "running"},
            {"path": "/x", "state": "running", "error": "[/x] read failed: \x1b[2Jrefused"},
            {"path": "/y", "state": "setting up"},
        ],
        "reports": [
            {"name": "report 0", "state": "idle", "gaps": {}},
            {
                "name": "report 1",
                "state": "waiting",
                "to": "http://a",
                "why": "refused",
                "waiting": 94,
                "hours_until_loss": 3.5,
                "gaps": {"bounds": 2},
            },
        ],
        "things": [{"section": "follower f", "state": "failed", "why": "no module nix."}],
        "late": {"report 2": "no such file"},
        "faults": [{"text": "old", "count": 1, "for_s": 90}, {"text": "new", "count": 4}],
    }

    assert list(summary(found)) == [
        "  smapd      0.1.0, pid 7, up 2 h; ready",
        "  config     a.ini",
        "  data       /d",
        "  tree       78 nodes, 94 readings",
        "             3 refused; the log says which",
        "  journal    the disk takes nothing: no space left on device",
        "  drivers    2 running, 1 setting up",
        "             [/x] read failed: \\x1b[2Jrefused",
        "             /y: setting up",
        "  reports    1 idle, 1 waiting",
        "             report 1 to http://a: refused; 94 readings wait, the first is lost in 3.5 h,"
        " 2 lost",
        "  things     1 failed",
        "             follower f: no module nix.",
        "  not yet    [report 2] no such file",
        "  trouble    new (4 times, for 0 s)",
        "             old (for 90 s)",
    ]


def test_a_screenful_of_another_version_is_shown_as_far_as_it_goes() -> None:
    for found in ({"daemon": {}}, {"daemon": {}, "drivers": 3, "reports": [1], "tree": None}):
        assert next(summary(found)).startswith("  smapd")


def test_a_follower_that_stands_still_is_shown_with_what_waits() -> None:
    """FO-20: it gets the rest when it is mended, and nothing else fails meanwhile."""
    still = {"asset": "hall-1", "unacked": 256, "waiting": 1240, "for_s": 720.0}
    sessions = [
        {"name": "bom", "roles": {"integrator": {"t2": True}}},
        {"name": "well", "roles": {"follower": {"unacked": 2, "standing_still": 0}}},
        {"name": "archive", "roles": {"follower": {"standing_still": 22, "still": [still] * 20}}},
    ]
    found = {"assets": {"assets": 30, "connected": 3, "sessions": sessions}}

    lines = list(summary(found))

    assert lines[2:4] == [
        "  assets     30, 3 things connected",
        "  followers  1 of 2 stands still",
    ]
    assert (
        lines[4:24]
        == [
            "             archive at asset hall-1: none of 256 events acknowledged for 12 min,"
            " 1240 more wait"
        ]
        * 20
    )
    assert lines[24:] == ["             and at 2 more assets"]


def test_followers_that_go_on_take_no_line() -> None:
    followers = [{"name": "well", "roles": {"follower": {"unacked": 2, "standing_still": 0}}}]

    lines = list(summary({"assets": {"assets": 1, "connected": 1, "sessions": followers}}))

    assert "  assets     1, 1 things connected" in lines
    assert not [line for line in lines if "follower" in line or "well" in line]
