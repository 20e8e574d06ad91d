"""Whatever a client sends to actuators and jobs: no 500, and nothing left over."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from smapd.testing import START_MS

DOCUMENTED = {200, 400, 404, 405, 413, 502, 503, 504}
QUIET = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)

states = st.one_of(
    st.text(max_size=30).map(lambda text: quote(text.encode("utf-8", "replace"))),
    st.binary(max_size=30).map(quote),
    st.sampled_from(["1", "on", "1e9999", "-0", "9" * 5000, "%00", "+", "1&state=0", "nan"]),
    st.floats().map(str),
    st.integers(-(2**70), 2**70).map(str),
)
paths = st.sampled_from(["/a/lamp", "/a/mode", "/a/heat", "/a/plain", "/a", "/nope", "", "//a//x"])
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=8),
    paths,
    st.sampled_from(["Name", "x", START_MS + 1, START_MS - 5_000]),
)
actions = st.one_of(
    scalars,
    st.lists(
        st.one_of(scalars, st.fixed_dictionaries({"Path": paths, "State": scalars})), max_size=3
    ),
)
jobs = st.one_of(
    scalars,
    st.dictionaries(st.sampled_from(["Name", "After", "StartTime", "Actions", "x"]), scalars),
    st.fixed_dictionaries(
        {"Actions": actions}, optional={"Name": scalars, "After": scalars, "StartTime": scalars}
    ),
)
bodies = st.one_of(scalars, st.lists(jobs, max_size=4), st.dictionaries(st.text(), scalars))


@given(path=paths, state=states)
@QUIET
def test_a_state_of_any_kind_is_answered(house: Any, path: str, state: str) -> None:
    """SM-33: with a documented status, and JSON."""
    answer = house.served.ask("PUT", f"/data{path}?state={state}")

    assert answer.status in DOCUMENTED
    json.loads(answer.body)
    assert house.served.site.counts.incidents == 0


@given(body=bodies, method=st.sampled_from(["PUT", "DELETE"]))
@QUIET
def test_jobs_of_any_kind_are_answered(house: Any, body: Any, method: str) -> None:
    """SM-34: with a documented status, and JSON; the list can be shown, and ends."""
    raw = json.dumps(body).encode()
    answer = house.served.ask(method, "/jobs", {"Content-Length": str(len(raw))}, raw)
    house.runtime.advance(10)

    assert answer.status in DOCUMENTED
    json.loads(answer.body)
    assert house.served.get("/jobs?full=1").status == 200
    assert house.served.site.counts.incidents == 0
