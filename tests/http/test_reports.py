"""/reports over HTTP: as recorded, and who may."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from smapd.errors import StorageFull

from ..reports.house import ONE, TWO, House, asked, plant, section

GOLDEN = Path(__file__).parent.parent / "golden"
RECORDED = [
    case
    for case in json.loads((GOLDEN / "http.json").read_text())["cases"]
    if case["config"] == "reports.ini"
]
TOKEN = b"0123456789abcdef0123456789abcdef"
CONFIG = [
    section("report 0", ReportDeliveryLocation="http://127.0.0.1:9/nobody"),
    section(
        "report second",
        ReportDeliveryLocation="http://127.0.0.1:9/first",
        ReportDeliveryLocation0="http://127.0.0.1:9/zero",
        ReportDeliveryLocation3="http://127.0.0.1:9/three",
        ReportResource="/instrument0/sensor0",
        Format="csv",
        MaxAge="3600",
    ),
]


@pytest.fixture
def house() -> House:
    return House(grow=plant)


def test_every_recorded_case_is_answered_as_the_original_did(serve: Any) -> None:
    """SM-24: GET, POST, PUT and DELETE in the recorded order, on one daemon."""
    served = serve(reports=House(CONFIG).reports)
    for case in RECORDED:
        request, recorded = case["request"], case["response"]
        body = (request["body"] or "").encode()
        answer = served.ask(request["method"], request["path"], request["headers"], body)

        assert answer.status == recorded["status"], case["name"]
        if not case["body_checked"]:
            continue
        if "json" in recorded:
            assert answer.json == recorded["json"], case["name"]
        elif recorded["status"] >= 400:
            assert answer.json["message"].startswith(recorded["text"].strip()), case["name"]
        else:
            assert answer.body == recorded["text"].encode(), case["name"]
            assert answer.headers["content-type"] == recorded["content_type"]


def test_201_is_sent_only_once_it_is_durable(serve: Any, house: House) -> None:
    """SM-24: until then the request stands open."""
    held: Deferred[None] = Deferred()
    house.definitions.put = lambda kind, key, value: held  # type: ignore[method-assign]
    served = serve(reports=house.reports)
    wire = served.connect()
    text = json.dumps(asked()).encode()

    head = f"POST /reports HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(text)}\r\n\r\n"
    wire.protocol.dataReceived(head.encode() + text)
    assert wire.value() == b""

    held.callback(None)
    assert wire.value().startswith(b"HTTP/1.1 201 ")


def test_a_full_disk_is_507_and_makes_nothing(serve: Any, house: House) -> None:
    """SM-24, SM-29."""
    house.definitions.error = StorageFull()
    served = serve(reports=house.reports)

    assert served.post("/reports", asked()).status == 507
    assert served.get("/reports").json == {"Contents": []}


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"5", b"null", b'"x"', b"\xff"])
def test_a_body_that_is_no_report_is_400(serve: Any, house: House, body: bytes) -> None:
    """SM-24."""
    served = serve(reports=house.reports)

    for method, path in (("POST", "/reports"), ("PUT", f"/reports/{ONE}")):
        answer = served.ask(method, path, body=body)
        assert answer.status == 400
        assert answer.json["hint"] is not None


def test_the_original_message_stands_in_front(serve: Any, house: House) -> None:
    """SM-24: and behind it the reason."""
    served = serve(reports=house.reports)
    broken = asked() | {"ReportDeliveryLocation": ["ftp://x/"]}

    message = served.post("/reports", broken).json["message"]

    assert message.startswith(
        "Invalid Reporting object (does not validate): ReportDeliveryLocation"
    )


def test_put_takes_the_uuid_of_the_body_and_else_that_of_the_address(
    serve: Any, house: House
) -> None:
    """SM-24: recorded; without one in the body the original had none."""
    served = serve(reports=house.reports)
    body = {key: value for key, value in asked().items() if key != "uuid"}

    assert served.ask("PUT", f"/reports/{ONE}", body=json.dumps(body).encode()).status == 201
    assert served.ask("PUT", f"/reports/{ONE}", body=json.dumps(asked(TWO)).encode()).status == 201
    assert served.get("/reports").json == {"Contents": [str(ONE), str(TWO)]}


def test_delete_is_200_and_empty_also_when_unknown(serve: Any, house: House) -> None:
    """SM-24."""
    served = serve(reports=house.reports)
    served.post("/reports", asked())

    for _ in range(2):
        answer = served.ask("DELETE", f"/reports/{ONE}")
        assert (answer.status, answer.body) == (200, b"")
    assert served.ask("DELETE", "/reports/nonsense").status == 404
    assert served.get("/reports").json == {"Contents": []}


def test_what_is_asked_over_loopback_without_an_origin_is_local(serve: Any, house: House) -> None:
    """SEC-04."""
    served = serve(reports=house.reports)

    served.post("/reports", asked(ONE))
    served.post("/reports", asked(TWO), Origin="http://localhost:8080")

    assert house.made == [(ONE, True), (TWO, False)]


def test_from_afar_nothing_is_local_and_the_token_is_needed(serve: Any, house: House) -> None:
    """SEC-04, SEC-02."""
    served = serve(token=TOKEN, interface="0.0.0.0", reports=house.reports)
    text = json.dumps(asked()).encode()
    bearer = {"Authorization": f"Bearer {TOKEN.decode()}"}

    assert served.ask("POST", "/reports", {}, text, "192.0.2.7").status == 401
    assert served.ask("POST", "/reports", bearer, text, "192.0.2.7").status == 201
    assert house.made == [(ONE, False)]


def test_a_place_it_may_not_go_to_is_403(serve: Any, house: House) -> None:
    """SEC-04."""
    house.forbidden["http://169.254.169.254/"] = "it is a metadata service's address"
    served = serve(token=TOKEN, interface="0.0.0.0", reports=house.reports)
    text = json.dumps(asked(ReportDeliveryLocation=["http://169.254.169.254/"])).encode()

    answer = served.ask(
        "POST", "/reports", {"Authorization": f"Bearer {TOKEN.decode()}"}, text, "192.0.2.7"
    )

    assert answer.status == 403
    assert "metadata" in answer.json["message"]


def test_without_a_room_there_are_no_reports_and_none_can_be_made(serve: Any) -> None:
    """SM-24."""
    served = serve(reports=None)

    assert served.get("/reports").json == {"Contents": []}
    assert served.get(f"/reports/{ONE}").status == 404
    assert served.post("/reports", asked()).status == 503
