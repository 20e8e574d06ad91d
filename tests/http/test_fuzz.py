"""Whatever a client sends: no 500, no undocumented 5xx, nothing raised, nothing left over."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from smapd.core import SmapInstance

DOCUMENTED = {501, 503, 507}
QUIET = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)

methods = st.one_of(
    st.sampled_from(["GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS", "PATCH", "TRACE"]),
    st.text("ABCxyz-!#", min_size=1, max_size=8),
)
segments = st.one_of(
    st.sampled_from(
        ["data", "a", "b", "t", "n", "s", "+", "%2B", "", "..", "%2e%2e", "%ff", "%00"]
    ),
    st.sampled_from(
        ["reports", "status", "docs", "readings", "healthz", "%", "%zz", "*", ";", "//"]
    ),
    st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=12),
    st.binary(max_size=6).map(lambda b: "".join(f"%{c:02x}" for c in b)),
)
targets = st.builds(
    lambda parts, query: "/" + "/".join(parts) + query,
    st.lists(segments, max_size=5),
    st.sampled_from(["", "?", "?quality=1", "?quality=%ff&quality", "?state=1", "?&&=&"]),
)
header_text = st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=40)
headers = st.dictionaries(
    st.sampled_from(
        ["Host", "Origin", "Accept-Encoding", "If-None-Match", "Content-Type", "Content-Encoding"]
        + ["Authorization", "Connection", "Expect", "Cookie", "Range", "Sec-Fetch-Site", "Accept"]
    ),
    st.one_of(header_text, st.sampled_from(["localhost", "gzip", "*", "close", "100-continue"])),
    max_size=4,
)
json_values = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**70), 2**70),
        st.floats(),
        st.text(max_size=8),
        st.sampled_from(["NaN", "good", "bad"]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(
            st.one_of(
                st.sampled_from(["Readings", "uuid", "NonFinite", "Quality", "/a/n", "/s", "/a"]),
                st.text(max_size=5),
            ),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=12,
)
rows = st.lists(st.lists(json_values, max_size=4), max_size=3)
bodies = st.one_of(
    json_values,
    st.dictionaries(
        st.sampled_from(["/a/n", "/a/b/t", "/s", "/a", "/nope"]),
        st.one_of(
            json_values,
            st.fixed_dictionaries(
                {"Readings": rows},
                optional={"NonFinite": rows, "Quality": rows, "uuid": json_values},
            ),
        ),
        max_size=3,
    ),
)


@QUIET
@given(methods, targets, headers, st.one_of(st.binary(max_size=50), st.just(b"")))
def test_any_request_gets_a_documented_answer(
    served: Any, method: str, target: str, given_headers: dict[str, str], body: bytes
) -> None:
    """SEC-06: method, address, headers and body as they come."""
    answer = served.ask(method, target, given_headers, body)

    assert answer.status < 500 or answer.status in DOCUMENTED
    if answer.status >= 400 and method != "HEAD":
        assert set(answer.json) == {"error", "message", "hint"}
    assert served.site.counts.incidents == 0


@QUIET
@given(bodies)
def test_any_body_is_taken_or_refused(served: Any, body: Any) -> None:
    """SEC-06: JSON of any form; and what was taken can be shown."""
    answer = served.ask("POST", "/readings", {}, json.dumps(body).encode())

    assert answer.status in (200, 400, 404)
    for target in ("/data/+", "/data/+?quality=1"):
        assert served.get(target).status == 200
    assert served.site.counts.incidents == 0


@QUIET
@given(
    st.lists(
        st.one_of(
            st.binary(max_size=40),
            st.sampled_from(
                [b"GET /data HTTP/1.1\r\n", b"POST /readings HTTP/1.1\r\n", b"Host: localhost\r\n"]
                + [
                    b"\r\n",
                    b"\r\n\r\n",
                    b"Content-Length: 5\r\n",
                    b"Transfer-Encoding: chunked\r\n",
                ]
                + [
                    b"5\r\nhello\r\n",
                    b"0\r\n\r\n",
                    b"ffffffffff\r\n",
                    b" folded\r\n",
                    b"x" * 17_000,
                ]
                + [
                    b"GET /data/+ HTTP/1.0\r\n",
                    b"Connection: close\r\n",
                    b"Expect: 100-continue\r\n",
                ]
            ),
        ),
        max_size=12,
    )
)
def test_any_bytes_on_the_wire_raise_nothing_and_end(served: Any, pieces: list[bytes]) -> None:
    """SEC-06: no HTTP at all, half of it, two of it; after two minutes the connection is gone."""
    wire = served.connect()

    for piece in pieces:
        if not wire.is_closed:
            wire.protocol.dataReceived(piece)
    for _ in range(125):
        served.reactor.advance(1)

    assert wire.is_closed
    assert served.site.counts.incidents == 0
    assert served.site._bodies.used == 0
    assert served.site._connections == set()
    assert served.reactor.getDelayedCalls() == []


@QUIET
@given(st.text(max_size=20), st.booleans())
def test_any_text_may_be_a_description(serve: Any, text: str, quality: bool) -> None:
    """SEC-06: what the tree takes, GET shows."""
    tree = SmapInstance("75503ac2-abf0-11e0-b7d6-0026bb56ec92")
    tree.add_timeseries("/x", "x", "V")
    try:
        tree.set_description("/x", text)
    except ValueError:
        return

    assert serve(tree).get(f"/data/x?quality={quality:d}").json.get("Description", "") == text
