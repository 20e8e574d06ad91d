"""Who gets in: tokens, Hosts, Origins, and the table of every route and every role."""

from __future__ import annotations

from typing import Any

import pytest

from smapd.http.gate import decoded, host_name
from smapd.http.routes import ROUTES, action_of
from smapd.values import Action

TOKEN = b"0123456789abcdef0123456789abcdef"
BEARER = f"Bearer {TOKEN.decode()}"
FAR = "192.0.2.7"
READS = {Action.READ, Action.STATUS}
BODIES = {"/readings": b'{"/a/n": {"Readings": [[1, 2]]}}'}
# what a route answers to those it lets in; any other is 200
ALLOWED = {("PUT", "/data/<path:path>"): 405}
ALLOWED |= {(method, "/jobs"): 404 for method in ("GET", "PUT", "DELETE")}  # no actuators here
ALLOWED |= {(method, "/reports/<uuid>"): 404 for method in ("GET", "PUT", "DELETE")}  # no uuid
ALLOWED |= {("POST", "/reports"): 400}  # an empty body
ABSENT = {400, 404, 503}  # no body, no number, and the room is not there


def ask(served: Any, route: Any, peer: str, headers: dict[str, str]) -> int:
    """The status of this route, as asked from ``peer``."""
    target = route.rule.replace("<path:path>", "a")
    body = BODIES.get(route.rule, b"") if route.method == "POST" else b""
    return served.ask(route.method, target, headers, body, peer).status


@pytest.mark.parametrize("route", ROUTES, ids=lambda r: f"{r.method} {r.rule}")
@pytest.mark.parametrize("bearer", ["none", "right", "wrong"])
@pytest.mark.parametrize("listener", ["loopback", "loopback with token", "all with token"])
def test_every_route_for_every_role(serve: Any, route: Any, bearer: str, listener: str) -> None:
    """SEC-02, SEC-03: the whole table, route by role by listener."""
    token = None if listener == "loopback" else TOKEN
    everywhere = listener.startswith("all")
    served = serve(token=token, interface="0.0.0.0" if everywhere else "127.0.0.1")
    headers = {
        "none": {},
        "right": {"Authorization": BEARER},
        "wrong": {"Authorization": "Bearer x"},
    }

    status = ask(served, route, FAR if everywhere else "127.0.0.1", headers[bearer])

    is_in = bearer == "right" or (not everywhere and (route.action in READS or token is None))
    if not is_in:
        assert status == 401
    elif route.segment in ("assets", "desired", "things") and route.rule != "/assets":
        assert status in ABSENT
    elif (route.method, route.rule) == ("POST", "/assets"):
        assert status == 400
    else:
        assert status == ALLOWED.get((route.method, route.rule), 200)


def test_the_table_knows_every_route() -> None:
    """SEC-03: what a route needs is what the access check finds for it, HEAD and OPTIONS too."""
    for route in ROUTES:
        assert action_of(route.method, route.rule) is route.action
        if route.method == "GET":
            assert action_of("HEAD", route.rule) is route.action


def test_an_unknown_address_asks_as_reading_or_writing() -> None:
    """SEC-03: what is not in the table is not open."""
    assert action_of("GET", "nope") is Action.READ
    assert action_of("POST", "nope") is Action.WRITE
    assert action_of("DELETE", "data") is Action.WRITE


def test_an_unknown_address_is_401_before_it_is_404(serve: Any) -> None:
    """SEC-01: a stranger does not learn what there is."""
    served = serve(token=TOKEN, interface="0.0.0.0")

    assert [served.ask("GET", t, peer=FAR).status for t in ("/nope", "/data/x", "/%ff")] == [
        401
    ] * 3
    assert served.ask("OPTIONS", "/data", peer=FAR).status == 401


@pytest.mark.parametrize(
    ("value", "status"),
    [
        (BEARER, 200),
        (f"bearer {TOKEN.decode()}", 200),
        (f"Bearer  {TOKEN.decode()} ", 200),
        (f"Basic {TOKEN.decode()}", 401),
        (TOKEN.decode(), 401),
        (f"Bearer {TOKEN.decode()}x", 401),
        (f"Bearer {TOKEN.decode()[:-1]}", 401),
        ("Bearer", 401),
        ("", 401),
        ("Bearer \xff\xfe", 401),
    ],
)
def test_the_token_is_presented_as_a_bearer(serve: Any, value: str, status: int) -> None:
    """SEC-02: Authorization: Bearer TOKEN, and nothing like it."""
    served = serve(token=TOKEN)

    answer = served.ask("POST", "/readings", {"Authorization": value}, BODIES["/readings"])

    assert answer.status == status
    if status == 401:
        assert answer.headers["www-authenticate"] == 'Bearer realm="smapd"'
        assert answer.json["error"] == "unauthorized"


def test_two_authorizations_are_none(serve: Any) -> None:
    """SEC-02: a request that says two things says nothing."""
    served = serve(token=TOKEN)
    wire = served.connect()

    wire.protocol.dataReceived(
        b"PUT /data/a HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer x\r\n"
        b"Authorization: " + BEARER.encode() + b"\r\n\r\n"
    )

    assert wire.value().startswith(b"HTTP/1.1 401 ")


def test_the_token_is_kept_nowhere(serve: Any) -> None:
    """SEC-02, SEC-07: only its hash is, and /status shows neither."""
    served = serve(token=TOKEN)

    kept = [served.site.listener.token, *vars(served.site.gate).values()]
    assert TOKEN not in [value for value in kept if isinstance(value, bytes)]
    assert TOKEN not in served.get("/status").body


# --- Host


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "localhost:8080",
        "LocalHost:1",
        "127.0.0.1",
        "127.0.0.1:8080",
        "127.0.1.1:80",
        "[::1]",
        "[::1]:8080",
    ],
)
def test_loopback_answers_to_its_own_names(served: Any, host: str) -> None:
    """SEC-09: with any port."""
    assert served.ask("GET", "/data", {"Host": host}).status == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8080",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "192.0.2.1:8080",
        "[2001:db8::1]",
        "0.0.0.0:8080",
        "a..b",
        "",
        "\xff\xfe",
        "[",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_loopback_answers_to_no_other_name(served: Any, host: str, method: str) -> None:
    """SEC-09: a page whose name was rebound to 127.0.0.1 gets nothing, reading neither."""
    answer = served.ask(method, "/readings", {"Host": host}, b"{}")

    assert (answer.status, answer.json["error"]) == (403, "forbidden")


def test_a_request_has_one_host(served: Any) -> None:
    """SEC-09: none, or two, is no request."""
    for lines in (b"", b"Host: localhost\r\nHost: localhost\r\n"):
        wire = served.connect()
        wire.protocol.dataReceived(b"GET / HTTP/1.1\r\n" + lines + b"\r\n")
        assert wire.value().startswith(b"HTTP/1.1 400 ")


def test_elsewhere_any_name_will_do(serve: Any) -> None:
    """SEC-01: the daemon does not know by what names it is reached; the token guards it."""
    served = serve(token=TOKEN, interface="0.0.0.0")

    for host in ("plant.example:8443", "a..b", "x" * 300, "\xff"):
        for target in ("/data", "/", "/nope/x"):
            answer = served.ask("GET", target, {"Host": host, "Authorization": BEARER}, peer=FAR)
            assert answer.status in (200, 404)


def test_the_memory_of_hosts_is_bounded(served: Any) -> None:
    """SEC-06: names that passed are remembered, a few of them."""
    for n in range(100):
        assert served.ask("GET", "/", {"Host": f"localhost:{n}"}).status == 200

    assert len(served.site.gate._hosts) <= 32


# --- Origin


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "https://localhost:8080"},
        {"Origin": "http://localhost:3000"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "http://evil.example", "Content-Type": "text/plain"},
    ],
)
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_a_page_of_another_origin_cannot_write(
    served: Any, headers: dict[str, str], method: str
) -> None:
    """SEC-09: 403 before anything is looked at."""
    answer = served.ask(method, "/readings", headers, BODIES["/readings"])

    assert (answer.status, answer.json["error"]) == (403, "forbidden")
    assert served.tree.taken == 0


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://localhost:8080"},
        {"Sec-Fetch-Site": "same-origin", "Origin": "http://localhost:8080"},
        {"Sec-Fetch-Site": "none"},
        {},
    ],
)
def test_our_own_page_and_programs_can_write(served: Any, headers: dict[str, str]) -> None:
    """SEC-09: what does not come from elsewhere is let through."""
    assert served.ask("POST", "/readings", headers, BODIES["/readings"]).status == 200


def test_a_preflight_gets_no_leave(served: Any) -> None:
    """SEC-09: no CORS header on any answer, so no page of another origin reads one."""
    headers = {"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"}
    for answer in (
        served.ask("OPTIONS", "/readings", headers),
        served.ask("GET", "/data/+", {"Origin": "http://evil.example"}),
    ):
        assert not [name for name in answer.headers if name.startswith("access-control")]
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_body_that_is_not_wanted_is_not_read(serve: Any) -> None:
    """SEC-06: who may not write is told before the body is sent."""
    served = serve(token=TOKEN)
    wire = served.connect()

    wire.protocol.dataReceived(
        b"POST /readings HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n"
        b"Expect: 100-continue\r\n\r\n"
    )

    assert wire.value().startswith(b"HTTP/1.1 401 ")
    assert b"100 Continue" not in wire.value()


def test_decoding_never_fails() -> None:
    """SEC-06: what is no UTF-8 is carried along until it is refused."""
    assert decoded(b"/a%2Fb%C3%BC") == "/a/bü"
    assert decoded(b"/%ff").encode("utf-8", "surrogateescape") == b"/\xff"
    assert decoded(b"/%zz%") == "/%zz%"
    assert decoded(b"http://localhost:8080/data/a") == "/data/a"
    assert decoded(b"http://localhost") == "/"


def test_host_names_lose_port_and_brackets() -> None:
    """SEC-09: a bare IPv6 address keeps its colons."""
    assert [host_name(h) for h in (b"A:1", b"[::1]:2", b"::1", b"a", b"")] == [
        "a",
        "::1",
        "::1",
        "a",
        "",
    ]
