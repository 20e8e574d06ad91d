"""PUT /data/PATH?state=S, and what a GET of an actuator, and of all below a place, shows."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest

from smapd.actuation import POOL
from smapd.testing import START_MS
from smapd.values import ActuationRequest, Principal

TOKEN = b"0123456789abcdef0123456789abcdef"
BEARER = f"Bearer {TOKEN.decode()}"
LAMP = {"Model": "binary", "States": [["0", "off"], ["1", "on"]]}


def test_a_put_answers_the_series_with_the_state_read_back(house: Any) -> None:
    """SM-33: one reading, now."""
    answer = house.put("/data/a/lamp?state=on")

    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json == {
        "uuid": str(house.served.tree.uuid("/a/lamp")),
        "Properties": {"ReadingType": "long", "Timezone": "UTC", "UnitofMeasure": "on/off"},
        "Readings": [[START_MS, 1]],
        "Actuator": LAMP,
    }
    assert house.lamp.state == 1


@pytest.mark.parametrize(
    ("query", "state"),
    [
        ("state=%20ON%20", 1),
        ("state=1&state=0", 1),
        ("x=y&state=off", 0),
        ("release=0&state=", None),
    ],
)
def test_the_first_state_of_the_query_counts(house: Any, query: str, state: int | None) -> None:
    """SM-33: as recorded, decoded."""
    answer = house.put(f"/data/a//lamp/?{query}")

    if state is None:
        assert answer.status == 400
    else:
        assert (answer.status, answer.json["Readings"][0][1]) == (200, state)


def test_an_empty_state_is_a_state_that_there_is_not(house: Any) -> None:
    """SM-33: as recorded."""
    answer = house.put("/data/a/lamp?state=")

    assert (answer.status, answer.json["message"]) == (400, "Invalid state: None")


@pytest.mark.parametrize("body", [None, "state=1", {"state": 1}])
def test_a_put_without_a_state_is_refused_in_a_sentence(house: Any, body: Any) -> None:
    """SM-33: 400; a body is not looked at."""
    answer = house.put("/data/a/lamp", body)

    assert (answer.status, answer.json["error"]) == (400, "bad_request")
    assert answer.json["hint"] == "Send PUT /data/a/lamp?state=S, without a body."
    assert house.lamp.asked == []


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("/data/a/lamp?state=maybe", "Invalid state: None"),
        ("/data/a/mode?state=3", "Invalid state: 3"),
        ("/data/a/mode?state=x", "Invalid state: 'x' is not a whole number"),
        ("/data/a/heat?state=31", "Invalid state: 31.0"),
        ("/data/a/heat?state=nan", "Invalid state: nan"),
        ("/data/a/heat?state=hot", "Invalid state: 'hot' is not a number"),
        ("/data/a/lamp?state=%ff", "The state is not UTF-8."),
        ("/data/a/lamp?state=1&release=1", "Either ?state= or ?release=1, not both."),
        ("/data/a/lamp?release=1", "/a/lamp holds no state that could be let go."),
    ],
)
def test_a_bad_state_is_400(house: Any, target: str, message: str) -> None:
    """SM-33: the message begins with the original's text."""
    answer = house.put(target)

    assert (answer.status, answer.json["message"]) == (400, message)


@pytest.mark.parametrize(
    ("target", "status", "allow"),
    [
        ("/data/a/plain?state=1", 405, "GET, HEAD, OPTIONS"),
        ("/data/a?state=1", 405, "GET, HEAD, OPTIONS"),
        ("/data?state=1", 405, "GET, HEAD, OPTIONS"),
        ("/data/nope?state=1", 404, None),
        ("/data/a/lamp/x?state=1", 404, None),
        ("/data/a/+?state=1", 404, None),
    ],
)
def test_only_an_actuator_takes_a_put(
    house: Any, target: str, status: int, allow: str | None
) -> None:
    """SM-33: all else is 405, what is not there 404."""
    answer = house.put(target)

    assert (answer.status, answer.headers.get("allow")) == (status, allow)
    assert house.lamp.asked == []


def test_past_the_write_limit_it_is_503_with_retry_after(serve_house: Any) -> None:
    """SM-33: with the original's text."""
    house = serve_house(lamp={"write_limit": 60})
    house.put("/data/a/lamp?state=1")
    house.runtime.advance(20)

    answer = house.put("/data/a/lamp?state=0")

    assert (answer.status, answer.headers["retry-after"]) == (503, "40")
    assert answer.json["message"].startswith("Cannot actuate now due to rate limit")
    assert answer.json["error"] == "rate_limited"


def test_a_device_that_fails_is_502_with_its_text(house: Any) -> None:
    """SM-33: on GET and on PUT."""
    house.lamp.broken = "device is gone"

    for answer in (house.put("/data/a/lamp?state=1"), house.served.get("/data/a/lamp")):
        assert answer.status == 502
        assert answer.json["message"] == "device is gone"
        assert answer.json["error"] == "device_failed"


def test_a_device_that_does_not_answer_is_504(serve_house: Any) -> None:
    """SM-33: the client waits no longer than the time limit."""
    house = serve_house(lamp={"timeout_s": 3})
    real = house.runtime.threads.to_pool
    late: list[Any] = []

    def to_pool(name: str, f: Any, *a: Any) -> Any:
        done = real(name, f, *a)
        done.pause()
        late.append(done)
        return done

    house.runtime.threads.to_pool = to_pool
    wire = house.served.connect()
    wire.protocol.dataReceived(
        b"PUT /data/a/lamp?state=1 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"
    )
    assert wire.value() == b""

    house.runtime.advance(3)

    head, _, body = wire.value().partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 504 Gateway Time-out\r\n")
    assert json.loads(body)["error"] == "actuation_timeout"
    late[0].unpause()


def test_a_client_that_leaves_while_the_device_is_set_harms_nothing(house: Any) -> None:
    """SM-33: the set is made, the answer goes nowhere."""
    house.runtime.threads.hold(POOL)
    wire = house.served.connect()
    wire.protocol.dataReceived(
        b"PUT /data/a/lamp?state=1 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"
    )

    wire.loseConnection()
    house.runtime.threads.let_go(POOL)

    assert (house.lamp.state, wire.value()) == (1, b"")


def test_the_driver_sees_who_asked_for_what(house: Any) -> None:
    """SM-33: a value of its own, not the request."""
    house.put("/data/a/lamp?state=1&why=dark")

    [asked, _] = house.lamp.asked
    assert asked == ActuationRequest(
        "PUT", "/data/a/lamp", {b"state": [b"1"], b"why": [b"dark"]}, Principal(loopback=True)
    )


def test_a_put_needs_the_token_where_there_is_one(serve_house: Any) -> None:
    """SEC-02: actuation is a write."""
    house = serve_house(token=TOKEN)

    assert house.put("/data/a/lamp?state=1").status == 401
    assert house.lamp.asked == []
    assert house.put("/data/a/lamp?state=1", Authorization=BEARER).status == 200


def test_a_page_of_another_origin_may_not_set_anything(house: Any) -> None:
    """SEC-03: not even on loopback."""
    assert house.put("/data/a/lamp?state=1", Origin="http://evil.example").status == 403
    assert house.lamp.asked == []


# --- GET


def test_a_get_of_an_actuator_asks_its_device(house: Any) -> None:
    """SM-33: each time, and without an ETag that would say that nothing is new."""
    first = house.served.get("/data/a/lamp")
    house.lamp.state = 1
    second = house.served.get("/data/a/lamp", If_None_Match=first.headers.get("etag", "*"))

    assert "etag" not in first.headers
    assert [a.json["Readings"] for a in (first, second)] == [[[START_MS, 0]], [[START_MS, 1]]]
    assert house.served.tree.taken == 0


def test_a_get_with_quality_says_that_it_is_good(house: Any) -> None:
    """SM-33: as for any series."""
    answer = house.served.get("/data/a/lamp?quality=1")

    assert answer.json["Quality"] == [["good", "", 0]]


def test_a_discrete_actuator_shows_the_value_and_its_index(house: Any) -> None:
    """SM-33: the original showed the index in place of the value."""
    answer = house.put("/data/a/mode?state=5")

    assert answer.json["Readings"] == [[START_MS, 5]]
    assert answer.json["Actuator"] == {"Model": "discrete", "Values": [1, 2, 5], "Index": 2}


def test_a_head_of_an_actuator_is_a_get_without_the_body(house: Any) -> None:
    """SM-33: 200 where the original answered 500."""
    answer = house.served.ask("HEAD", "/data/a/lamp")

    assert (answer.status, answer.body) == (200, b"")


def test_root_names_jobs_where_there_are_actuators(house: Any, served: Any) -> None:
    """SM-34: as recorded."""
    assert house.served.get("/").json == {"Contents": ["data", "docs", "jobs", "reports"]}
    assert served.get("/").json == {"Contents": ["data", "docs", "reports"]}
    house.served.tree.remove("/a")
    assert house.served.get("/").json == {"Contents": ["data", "docs", "reports"]}


# --- all below a place


def test_all_below_a_place_shows_what_the_devices_say(house: Any) -> None:
    """SM-33: each is asked; what is no actuator shows the readings kept."""
    house.served.tree.add("/a/plain", 1, 7)
    house.mode.state = 2

    answer = house.served.get("/data/a/+")

    assert answer.status == 200
    assert list(answer.json) == ["/", "/lamp", "/mode", "/heat", "/plain"]
    readings = {p: node["Readings"] for p, node in answer.json.items() if p != "/"}
    assert readings == {
        "/lamp": [[START_MS, 0]],
        "/mode": [[START_MS, 2]],
        "/heat": [[START_MS, 10.0]],
        "/plain": [[1000, 7]],
    }
    assert "etag" not in answer.headers


def test_one_that_fails_shows_its_last_value_and_an_error(house: Any) -> None:
    """SM-33: the rest is served."""
    house.put("/data/a/lamp?state=1")
    house.runtime.advance(60)
    house.lamp.broken = "device is gone"

    answer = house.served.get("/data/+")

    assert answer.status == 200
    lamp = answer.json["/a/lamp"]
    assert (lamp["Readings"], lamp["Error"]) == ([[START_MS, 1]], "device is gone")
    assert "Error" not in answer.json["/a/mode"]


def test_a_single_actuator_with_plus_is_at_the_place_itself(house: Any) -> None:
    """SM-20: below a series there is itself."""
    assert list(house.served.get("/data/a/lamp/+").json) == ["/"]
    assert house.served.get("/data/a/lamp/+").json["/"]["Readings"] == [[START_MS, 0]]


def test_below_a_place_without_actuators_none_is_asked(house: Any) -> None:
    """SM-20: and the answer has its ETag."""
    answer = house.served.get("/data/a/plain/+")

    assert "etag" in answer.headers
    assert house.lamp.asked == []


def test_a_large_tree_with_actuators_streams(house: Any) -> None:
    """SM-20, SM-33: in pieces, packed if asked for."""
    for i in range(3_000):
        house.served.tree.add_timeseries(f"/many/s{i}", "V")

    answer = house.served.get("/data/+", Accept_Encoding="gzip")

    found = json.loads(gzip.decompress(answer.body))
    assert len(found) == 3_000 + 7
    assert found["/a/lamp"]["Readings"] == [[START_MS, 0]]


def test_a_head_of_all_below_asks_no_device(house: Any) -> None:
    """SM-33: nobody would see it."""
    assert house.served.ask("HEAD", "/data/+").status == 200
    assert house.lamp.asked == []
