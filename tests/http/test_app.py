"""The addresses beside /data."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
import zlib
from typing import Any

import pytest

from smapd.http.routes import ROUTES

ONE = {"/a/n": {"Readings": [[1_700_000_000_000, 5]]}}


def packed(body: bytes) -> bytes:
    """As gzip, without a time in it: the test's name is made of it."""
    return gzip.compress(body, mtime=0)


@pytest.mark.parametrize("target", ["/", "//"])
def test_the_root_is_exactly_as_recorded(served: Any, target: str) -> None:
    """SM-20: GET / names data, docs and reports, and has a length."""
    answer = served.get(target)

    assert (answer.status, answer.json) == (200, {"Contents": ["data", "docs", "reports"]})
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["content-length"]


@pytest.mark.parametrize("target", ["/reports", "/reports/", "//reports"])
def test_there_are_no_reports_yet(served: Any, target: str) -> None:
    """SM-20: with and without a slash at the end."""
    assert served.get(target).json == {"Contents": []}
    assert served.ask("HEAD", target).status == 200


@pytest.mark.parametrize(
    "target",
    [
        "/nope",
        "/nope/x",
        "/data2",
        "/reports//",
        "/reports/x",
        "/jobs/",
        "/Data",
        "/status/x",
        "/%00",
    ],
)
def test_elsewhere_is_404_with_our_json(served: Any, target: str) -> None:
    """SM-20: a sentence, and where to look."""
    answer = served.get(target)

    assert (answer.status, answer.json["error"]) == (404, "not_found")
    assert answer.json["hint"] == "GET /docs names the routes."


@pytest.mark.parametrize(
    ("method", "target", "status", "allow"),
    [
        ("POST", "/", 405, "GET, HEAD, OPTIONS"),
        ("PUT", "/status", 405, "GET, HEAD, OPTIONS"),
        ("GET", "/readings", 405, "OPTIONS, POST"),
        ("DELETE", "/readings", 501, "OPTIONS, POST"),
        ("PATCH", "/docs", 501, "GET, HEAD, OPTIONS"),
        ("OPTIONS", "/", 204, "GET, HEAD, OPTIONS"),
        ("OPTIONS", "/readings", 204, "OPTIONS, POST"),
        ("OPTIONS", "/nope", 204, "OPTIONS"),
        ("OPTIONS", "*", 204, "DELETE, GET, HEAD, OPTIONS, POST, PUT"),
        ("GET", "*", 400, None),
        ("POST", "/nope", 404, None),
    ],
)
def test_other_methods(
    served: Any, method: str, target: str, status: int, allow: str | None
) -> None:
    """SM-20: OPTIONS anywhere is 204 with Allow; 405 has Allow too."""
    answer = served.ask(method, target)

    assert answer.status == status
    assert answer.headers.get("allow") == allow
    if status >= 400:
        assert set(answer.json) == {"error", "message", "hint"}


def test_the_page_names_every_route_and_runs_nothing(served: Any) -> None:
    """SEC-09: the page is under a policy that lets its own style pass and nothing else."""
    answer = served.get("/docs")
    text = answer.body.decode()

    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    for route in ROUTES:
        assert re.sub(r"<(?:path:)?(\w+)>", lambda m: m[1].upper(), route.rule) in text
    policy = answer.headers["content-security-policy"]
    style = re.search("<style>(.*?)</style>", text, re.DOTALL)
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'")
    assert "frame-ancestors 'none'" in policy
    assert "<script" not in text
    assert " style=" not in text


def test_status_shows_every_section_and_what_the_server_did(served: Any) -> None:
    """SM-20: counters, and none of them a secret."""
    served.status.section("disk", lambda: {"free": 1})
    served.get("/nope")

    found = served.get("/status").json

    assert found["version"] == "1.2.3"
    assert found["ready"] is True
    assert found["disk"] == {"free": 1}
    assert found["http"]["answers"] == {"404": 1}
    assert found["http"]["connections"] == 1


@pytest.mark.parametrize(
    ("target", "name", "error"),
    [("/healthz", "healthy", "unhealthy"), ("/readyz", "ready", "not_ready")],
)
def test_health_is_200_or_503_with_the_reason(
    served: Any, target: str, name: str, error: str
) -> None:
    """SM-20: what a supervisor asks."""
    assert served.get(target).status == 200

    served.reasons[name] = "the disk thread has not moved for 12 s"
    answer = served.get(target)

    assert answer.status == 503
    assert answer.json["error"] == error
    assert answer.json["message"] == "the disk thread has not moved for 12 s"
    assert answer.headers["retry-after"] == "1"


# --- POST /readings


def test_readings_are_in_the_tree_when_the_answer_comes(served: Any) -> None:
    """SM-21: what was posted is what GET shows next."""
    answer = served.post("/readings", ONE)

    assert (answer.status, answer.json) == (200, {"Readings": 1})
    assert served.get("/data/a/n").json["Readings"] == [[1_700_000_000_000, 5]]


@pytest.mark.parametrize(
    ("label", "pack"),
    [
        ("gzip", packed),
        ("x-gzip", packed),
        ("gzip", zlib.compress),
        ("deflate", zlib.compress),
        ("identity", bytes),
    ],
)
def test_packed_readings_are_unpacked(served: Any, label: str, pack: Any) -> None:
    """SM-21: gzip, and the zlib bytes that the original labels so."""
    body = pack(json.dumps(ONE).encode())

    answer = served.ask("POST", "/readings", {"Content-Encoding": label}, body)

    assert answer.json == {"Readings": 1}


@pytest.mark.parametrize(
    ("body", "headers", "status", "says"),
    [
        (b"", {}, 400, "The body is empty. Send JSON."),
        (b"{", {}, 400, "The body is not JSON: "),
        (b"[]", {}, 400, "The body must be an object"),
        (b"null", {}, 400, "The body must be an object"),
        (b"\xff", {}, 400, "The body is not JSON: "),
        (b'"\\ud800"', {}, 400, "The body is not JSON: "),
        (b"[" * 100_000, {}, 400, "The body is not JSON: "),
        (b"{}", {"Content-Type": "text/plain"}, 400, "The body is labelled text/plain."),
        (
            b"a=b",
            {"Content-Type": "application/x-www-form-urlencoded"},
            400,
            "The body is labelled",
        ),
        (b"{}", {"Content-Encoding": "br"}, 400, "The body is packed as br."),
        (b"{}", {"Content-Encoding": "gzip"}, 400, "The body is not gzip"),
        (packed(b"{}")[:-3], {"Content-Encoding": "gzip"}, 400, "The packed body is cut"),
        (packed(b"{}") + b"x", {"Content-Encoding": "gzip"}, 400, "The packed body is cut"),
        (b'{"/nope": {"Readings": [[1, 2]]}}', {}, 404, "No such timeseries or collection: /nope"),
        (b'{"/a/n": {"Readings": [[1, 2.5]]}}', {}, 400, "/a/n: Readings[0]"),
        (b'{"/a/n": 1}', {}, 400, "/a/n: "),
    ],
)
def test_bad_bodies_are_told_what_is_wrong(
    served: Any, body: bytes, headers: dict[str, str], status: int, says: str
) -> None:
    """SEC-06: 400 with a sentence, never 500."""
    answer = served.ask("POST", "/readings", headers, body)

    assert answer.status == status
    assert answer.json["message"].startswith(says)
    assert served.tree.taken == 0


@pytest.mark.parametrize(
    "kind", ["application/json", "application/json; charset=utf-8", "application/x.y+json"]
)
def test_json_may_be_labelled_so(served: Any, kind: str) -> None:
    """SM-21: with parameters, or as a kind of JSON."""
    assert served.post("/readings", ONE, Content_Type=kind).status == 200


def test_a_small_body_that_unpacks_to_a_huge_one_is_413(serve: Any) -> None:
    """SEC-06: no more is unpacked than a plain body may have."""
    served = serve(max_body=100_000)
    body = gzip.compress(b" " * 50_000_000)
    assert len(body) < 100_000

    answer = served.ask("POST", "/readings", {"Content-Encoding": "gzip"}, body)

    assert (answer.status, answer.json["error"]) == (413, "too_large")


def test_one_wrong_reading_keeps_all_out(served: Any) -> None:
    """SM-21: a body is taken whole, or not at all."""
    body = {"/a/n": {"Readings": [[1, 2], [2, 3], [3, "x"]]}, "/s": {"Readings": [[1, "y"]]}}

    answer = served.post("/readings", body)

    assert answer.status == 400
    assert "/a/n: Readings[2]" in answer.json["message"]
    assert served.tree.taken == 0


def test_a_whole_report_is_a_body(served: Any) -> None:
    """SM-21: what GET /data/+ gives can be posted back."""
    served.post("/readings", ONE)

    answer = served.ask("POST", "/readings", {}, served.get("/data/+").body)

    assert answer.json == {"Readings": 1}


def test_a_form_is_never_parsed(served: Any) -> None:
    """SEC-06: Twisted's own form parser would hold a body in pieces; it is off."""
    answer = served.ask(
        "POST",
        "/readings?state=1",
        {"Content-Type": "multipart/form-data; boundary=x"},
        b"--x\r\nContent-Disposition: form-data; name=a\r\n\r\nb\r\n--x--\r\n",
    )

    assert answer.status == 400
