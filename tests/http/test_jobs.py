"""/jobs: listed, added and taken off over HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from smapd.errors import Forbidden
from smapd.testing import START_MS
from smapd.values import Action, Principal

TOKEN = b"0123456789abcdef0123456789abcdef"
BEARER = f"Bearer {TOKEN.decode()}"
NOW = [{"Actions": [{"Path": "/a/lamp", "State": 1}]}]
LATER = [{"Name": "x", "StartTime": START_MS + 1000, "Actions": NOW[0]["Actions"]}]


def delete(house: Any, body: bytes) -> Any:
    return house.served.ask("DELETE", "/jobs", {"Content-Length": str(len(body))}, body)


def test_jobs_are_put_listed_and_taken_off(house: Any) -> None:
    """SM-34: a uuid for each; DELETE answers with those left."""
    first = house.put("/jobs", LATER + NOW)
    assert (first.status, first.headers["content-type"]) == (200, "application/json")
    one, two = first.json

    assert house.served.get("/jobs").json == [
        {"name": "x", "start_time": START_MS + 1000, "after": None, "actions": NOW[0]["Actions"]},
        {"name": None, "start_time": None, "after": None, "actions": NOW[0]["Actions"]},
    ]
    assert house.lamp.state == 1
    full = house.served.get("/jobs?full=1").json
    assert [(job["uuid"], job["State"]) for job in full] == [(one, "waiting"), (two, "done")]
    gone = delete(house, f'["{one}"]'.encode())
    assert (gone.status, gone.json) == (200, [two])


def test_a_job_runs_when_its_time_comes(house: Any) -> None:
    """SM-34: StartTime in ms."""
    house.put("/jobs", LATER)

    house.runtime.advance(1)

    assert house.lamp.state == 1


@pytest.mark.parametrize("label", ["application/x-www-form-urlencoded", "text/plain", None])
def test_the_label_of_the_body_does_not_matter(house: Any, label: str | None) -> None:
    """SM-34: as in the original, so that curl -T and -d both do."""
    headers = {} if label is None else {"Content-Type": label}

    assert house.put("/jobs", NOW, **headers).status == 200


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "The body is empty."),
        (b"[", "The body is not JSON"),
        (b"{}", "The body is a list of jobs"),
        (b"[{}]", "Job 0: Actions is a list"),
        (b'[{"Actions": [{"Path": "/a/lamp", "State": 5}]}]', "Invalid state: None"),
        (b'[{"After": "y", "Actions": []}]', "Job 0: No job named y comes before it."),
    ],
)
def test_a_bad_body_is_400(house: Any, body: bytes, message: str) -> None:
    """SM-34: where the original answered 500."""
    answer = house.served.ask("PUT", "/jobs", {}, body)

    assert answer.status == 400
    assert answer.json["message"].startswith(message)
    assert house.served.get("/jobs").json == []


@pytest.mark.parametrize(("path", "status"), [("/nope", 404), ("/a/plain", 405), ("/a", 405)])
def test_a_job_for_what_cannot_be_set_is_refused(house: Any, path: str, status: int) -> None:
    """SM-34: the same answer as of a PUT there."""
    assert house.put("/jobs", [{"Actions": [{"Path": path, "State": 1}]}]).status == status


@pytest.mark.parametrize("body", [b"{}", b'"x"', b"[1]", b"["])
def test_a_bad_list_of_uuids_is_400(house: Any, body: bytes) -> None:
    """SM-34: and takes nothing off."""
    house.put("/jobs", LATER)

    assert delete(house, body).status == 400
    assert len(house.served.get("/jobs").json) == 1


def test_delete_without_a_body_takes_nothing_off(house: Any) -> None:
    """SM-34: it answers with the uuids of all."""
    uuids = house.put("/jobs", LATER + LATER).json

    assert house.served.ask("DELETE", "/jobs").json == uuids


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "POST", "HEAD"])
def test_there_are_no_jobs_without_actuators(served: Any, method: str) -> None:
    """SM-34: 404, as recorded."""
    assert served.ask(method, "/jobs").status == 404


@pytest.mark.parametrize("target", ["/jobs/", "/jobs/x", "/jobsx", "/jobs//"])
def test_only_jobs_itself_is_an_address(house: Any, target: str) -> None:
    """SM-34: a slash behind it is another one, as recorded."""
    assert house.served.get(target).status == 404


@pytest.mark.parametrize(
    ("method", "status"), [("POST", 405), ("PATCH", 501), ("OPTIONS", 204), ("HEAD", 200)]
)
def test_other_methods(house: Any, method: str, status: int) -> None:
    """SM-34: with Allow."""
    answer = house.served.ask(method, "/jobs")

    assert answer.status == status
    if status != 200:
        assert answer.headers["allow"] == "DELETE, GET, HEAD, OPTIONS, PUT"


def test_jobs_need_the_token_where_there_is_one(serve_house: Any) -> None:
    """SEC-02, SM-34: to put and to take off; not to list, on loopback."""
    house = serve_house(token=TOKEN)

    assert house.put("/jobs", NOW).status == 401
    assert house.served.ask("DELETE", "/jobs").status == 401
    assert house.lamp.asked == []
    assert house.put("/jobs", NOW, Authorization=BEARER).status == 200
    assert house.served.get("/jobs").status == 200


def test_each_set_of_a_job_needs_the_right_to_it(serve_house: Any) -> None:
    """SM-34: that to /jobs does not suffice, neither when it comes nor when it runs."""
    denied = {"/data/a/lamp"}

    class Rule:
        def decide(self, who: Principal, what: Action, where: str) -> None:
            if what is Action.ACTUATE and where in denied:
                raise Forbidden(f"Not {where}.")

    house = serve_house(access=Rule())

    assert house.put("/jobs", LATER).status == 403
    denied.clear()
    assert house.put("/jobs", LATER).status == 200
    denied.add("/data/a/lamp")
    house.runtime.advance(1)
    [job] = house.served.get("/jobs?full=1").json
    assert (job["State"], job["Error"]) == ("failed", "Action 0, /a/lamp: Not /data/a/lamp.")
    assert house.lamp.asked == []
