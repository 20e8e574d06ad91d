"""http/metrics.py: what Prometheus reads."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, get_args

import pytest
from prometheus_client.parser import text_string_to_metric_families

from smapd.driver.lifecycle import SectionState
from smapd.http.metric_table import DRIVER_STATES, FAMILIES, REPORT_STATES
from smapd.http.metrics import Exposition
from smapd.runtime.durations import Durations
from smapd.storage import DeliveryState
from smapd.testing import DaemonProcess, FakeRuntime, RecordingSink
from smapd.values import GAP_CAUSES, Retry

from ..reports.house import House, plant, section
from .conftest import ROOT, TOKEN

DOCS = Path(__file__).parent.parent.parent / "docs" / "metrics.md"
NOW_MS = 1_700_000_000_000

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def parsed(text: str) -> Samples:
    """Every sample; what Prometheus would refuse fails here."""
    found: Samples = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in found, f"{key} twice"
            found[key] = sample.value
    return found


def value(samples: Samples, name: str, **labels: str) -> float | None:
    return samples.get((name, frozenset(labels.items())))


def scrape(served: Any) -> Samples:
    answer = served.get("/metrics")
    assert answer.status == 200, answer.body
    return parsed(answer.body.decode())


def row(**more: Any) -> dict[str, Any]:
    """A report as /status shows it."""
    return {
        "uuid": "u",
        "name": "report 0",
        "origin": "config",
        "format": "json",
        "state": "idle",
        "waiting": 0,
        "last_ms": NOW_MS - 60_000,
        "last_error_ms": 0,
        "gaps": {},
    } | more


def status(**sections: Any) -> dict[str, Any]:
    return {"daemon": {"now_ms": NOW_MS, "started_ms": NOW_MS - 3_600_000}} | sections


def samples_of(shown: dict[str, Any]) -> Samples:
    """What one look at this status gives."""
    return parsed(Exposition(lambda: shown).text())


# --- the answer


def test_the_answer_is_prometheus_text(served: Any) -> None:
    """P-12."""
    answer = served.get("/metrics")

    assert answer.status == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert value(parsed(answer.body.decode()), "smapd_build_info", version="1.2.3") == 1
    assert served.ask("HEAD", "/metrics").status == 200
    assert served.post("/metrics", {}).status == 405


def test_a_scrape_asks_who_may(serve: Any) -> None:
    """P-12: as for /status, from afar with the token alone."""
    served = serve(token=TOKEN, interface="192.0.2.1")
    key = {"Authorization": f"Bearer {TOKEN.decode()}"}

    assert served.ask("GET", "/metrics", peer="192.0.2.7").status == 401
    assert served.ask("GET", "/metrics", key, peer="192.0.2.7").status == 200


def test_ready_and_healthy_are_those_of_their_addresses(served: Any) -> None:
    samples = scrape(served)
    assert (value(samples, "smapd_ready"), value(samples, "smapd_healthy")) == (1, 1)

    served.reasons |= {"ready": "Starting: tree.", "healthy": "disk-readings does not move."}

    samples = scrape(served)
    assert (value(samples, "smapd_ready"), value(samples, "smapd_healthy")) == (0, 0)


def test_answers_are_counted_by_status(served: Any) -> None:
    """P-12: http answers by status."""
    served.get("/nope")
    served.get("/data/a/n")
    served.get("/data/a/n")

    samples = scrape(served)

    name = "smapd_http_answers_total"
    assert value(samples, name, listener="http", code="404") == 1
    assert value(samples, name, listener="http", code="200") == 2
    assert value(samples, "smapd_http_connections", listener="http") == 1


def test_the_page_lists_every_metric_with_type_labels_and_words(served: Any) -> None:
    """docs/metrics.md against /metrics: neither has one that the other has not."""
    text = served.get("/metrics").body.decode()
    answered = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))
    lines = re.findall(
        r"^\| `(\w+)` \| (\w+) \| ([^|]*)\| ([^|]+) \|$", DOCS.read_text("utf-8"), re.MULTILINE
    )

    assert [name for name, *_ in lines] == list(answered)
    assert {name: kind for name, kind, *_ in lines} == answered
    told = {
        name: (tuple(labels.replace("`", "").split()), words) for name, _, labels, words in lines
    }
    for family in FAMILIES:
        assert told[family.name] == (family.labels, family.doc)


def test_names_follow_prometheus() -> None:
    """P-12: base units, _total on counters alone, and none twice."""
    names = [family.name for family in FAMILIES]

    assert len(set(names)) == len(names)
    for family in FAMILIES:
        assert re.fullmatch(r"smapd_[a-z_]+", family.name)
        assert family.name.endswith("_total") == (family.kind.value == "counter")
        assert not re.search(r"_(ms|hours|minutes|kb|mb)\b", family.name)
        assert family.doc.endswith(".")


# --- connectors


def test_a_connectors_sources_are_told_each() -> None:
    """P-12: up, sent, queue and last error."""
    source = {
        "source": "pump",
        "state": "connected",
        "counters": {"notifications": 7, "queries": 2},
        "readings": {"waiting": 3, "readings": 40, "gaps": {"bounds": 5}, "last_error_ms": 9000},
        "events": None,
        "published": {"failed": 1, "last_error_ms": 12_000},
    }
    away = {"source": "fan", "state": "waiting"}
    samples = samples_of(status(connectors=[{"name": "plant", "sources": [source, away]}]))

    def of(name: str, source: str = "pump", **labels: str) -> float | None:
        labels |= {"connector": "plant", "source": source}
        return value(samples, f"smapd_connector_{name}", **labels)

    assert (of("up"), of("up", "fan")) == (1, 0)
    assert of("notifications_total") == 7
    assert (of("waiting_readings"), of("waiting_events")) == (3, None)
    assert of("gap_readings_total", why="bounds") == 5
    assert of("publish_failures_total") == 1
    assert of("last_error_timestamp_seconds") == 12
    assert of("last_error_timestamp_seconds", "fan") is None


# --- bounds


def test_a_larger_tree_makes_no_more_samples(serve: Any) -> None:
    """P-12: never a label for a stream."""
    served = serve()
    before = len(scrape(served))

    for i in range(1000):
        served.tree.add_timeseries(f"/more/s{i}", f"s{i}", "V")

    assert len(scrape(served)) == before + 1  # the first scrape's own answer is counted now


def test_only_reports_drivers_pools_loops_and_listeners_name_samples() -> None:
    """P-12: every other label has a fixed set of values."""
    free = {"report", "uuid", "driver", "pool", "loop", "listener", "version"}
    free |= {"connector", "source"}  # each stands in the config file
    fixed = {"state", "why", "code", "origin", "format"}

    assert {label for family in FAMILIES for label in family.labels} == free | fixed


def test_two_of_one_name_are_two_samples() -> None:
    """One doubled sample would make Prometheus refuse all of them."""
    rows = [row(readings=1), row(uuid="v", readings=2), row(uuid="v", readings=3)]

    samples = samples_of(status(reports=rows))

    name = "smapd_report_readings_total"
    assert value(samples, name, report="report 0") == 1
    assert value(samples, name, report="report 0 v") == 2
    assert value(samples, name, report="report 0 v 2") == 3


@pytest.mark.parametrize("name", ['a "b" \\ c', "two\nlines", "é", "half \ud800"])
def test_any_name_can_be_read_back(serve: Any, name: str) -> None:
    served = serve()
    served.status.section("reports", lambda: [row(name=name, waiting=7)])

    samples = scrape(served)

    shown = name.encode("utf-8", "replace").decode()
    assert value(samples, "smapd_report_waiting_readings", report=shown) == 7


# --- what is not there


def test_what_is_not_known_makes_no_sample() -> None:
    samples = samples_of({})

    assert {name for name, _ in samples} == {"smapd_build_info"}


@pytest.mark.parametrize(
    "broken",
    [
        {"error": "KeyError: 1"},
        None,
        [],
        "text",
        [None, 3],
        {"dropped": None, "hung": 3, "gets": "x", "answers": None, "busy": "b", "at_most": 1},
    ],
)
def test_a_section_that_cannot_be_read_costs_nothing_but_itself(serve: Any, broken: Any) -> None:
    served = serve()
    names = ["journal", "reports", "drivers", "polls", "threads", "faults", "clock", "jobs"]
    for name in [*names, "actuation", "daemon", "commits", "reactor", "disk writes", "http 2"]:
        served.status.section(name, lambda: broken)
    served.status.section("tree", lambda: {"readings": 5})

    samples = scrape(served)

    assert value(samples, "smapd_readings_total") == 5


def test_numbers_that_are_none_are_left_out() -> None:
    shown = status(tree={"readings": float("nan"), "nodes": None, "refused": float("inf")})

    assert not [name for name, _ in samples_of(shown) if name.startswith("smapd_tree_nodes")]
    assert value(samples_of(shown), "smapd_readings_total") is None
    assert value(samples_of(shown), "smapd_readings_refused_total") is None


# --- reports


def test_a_gap_of_each_cause_begins_at_0() -> None:
    """P-12: the first one lost must show as a rise."""
    samples = samples_of(status(reports=[row(gaps={"bounds": 3})], journal={"dropped": {}}))

    name = "smapd_report_gap_readings_total"
    assert {why: value(samples, name, report="report 0", why=why) for why in GAP_CAUSES} == {
        why: 3 if why == "bounds" else 0 for why in GAP_CAUSES
    }
    for why in GAP_CAUSES:
        assert value(samples, "smapd_journal_dropped_total", why=why) == 0


def test_a_cause_that_nobody_foresaw_is_shown_too() -> None:
    samples = samples_of(status(reports=[row(gaps={"moths": 1})]))

    name = "smapd_report_gap_readings_total"
    assert value(samples, name, report="report 0", why="moths") == 1


def test_the_states_are_those_of_the_rooms() -> None:
    deliveries = {state.__name__.lower() for state in get_args(DeliveryState)}
    assert {*REPORT_STATES} == deliveries | {"removed"}
    assert {*DRIVER_STATES} == {state.state for state in get_args(SectionState)}


@pytest.mark.parametrize("now", REPORT_STATES)
def test_one_state_is_1_and_the_others_are_0(now: str) -> None:
    samples = samples_of(status(reports=[row(state=now)]))

    shown = {
        state: value(samples, "smapd_report_state", report="report 0", state=state)
        for state in REPORT_STATES
    }
    assert shown == {state: float(state == now) for state in REPORT_STATES}


@pytest.mark.parametrize(
    ("keys", "lag_s"),
    [
        ({"lag_s": 5.0}, 0.0),  # all is delivered, whenever that was
        ({"waiting": 1, "lag_s": 5.0}, 5.0),
        ({"waiting": 1, "lag_s": -5.0}, 0.0),  # stamped in the future
        ({"waiting": 1, "state": "waiting", "oldest_unsent_ms": NOW_MS - 7000}, 7.0),
        ({"waiting": 1, "state": "sending", "oldest_unsent_ms": NOW_MS - 7000}, 7.0),
        # what fails is the metadata that goes first
        ({"waiting": 1, "state": "waiting", "oldest_unsent_ms": None}, 60.0),
        ({"waiting": 1, "state": "sending", "last_error_ms": NOW_MS, "lag_s": 0.0}, 60.0),
        ({"waiting": 1, "state": "paused"}, 60.0),
        ({"waiting": 1, "state": "paused", "last_ms": 0}, 3600.0),  # never: since the start
        ({"waiting": 1, "state": "removed", "last_ms": 0}, 3600.0),
        ({"waiting": 0, "state": "paused"}, 0.0),
    ],
)
def test_lag_is_how_far_delivery_is_behind(keys: dict[str, Any], lag_s: float) -> None:
    """P-12."""
    samples = samples_of(status(reports=[row(**keys)]))

    assert value(samples, "smapd_report_lag_seconds", report="report 0") == lag_s


def test_hours_until_loss_are_seconds_and_none_where_unknown() -> None:
    rows = [row(hours_until_loss=1.5), row(name="two", hours_until_loss=None)]

    samples = samples_of(status(reports=rows))

    name = "smapd_report_until_loss_seconds"
    assert value(samples, name, report="report 0") == 5400
    assert value(samples, name, report="two") is None


def test_reports_at_work_are_told(serve: Any) -> None:
    """P-12: bytes on the wire, waiting, the oldest unsent, and the state, of the real room."""
    sinks = [RecordingSink(), RecordingSink([Retry(None, "status 500")] * 9)]
    house = House(
        [section("report good"), section("report bad")],
        grow=plant,
        make=lambda definition: sinks["bad" in definition.name],
    )
    served = serve(house.tree, reports=house.reports)
    served.status.section("reports", house.reports.status)
    house.tree.add("/a/x", 1_700_000_000, 21)
    house.run.advance(0.5)

    samples = scrape(served)

    assert value(samples, "smapd_report_readings_total", report="report good") == 1
    assert value(samples, "smapd_report_waiting_readings", report="report good") == 0
    sent = sum(len(payload.body) for _, payload in sinks[0].sent)
    assert value(samples, "smapd_report_sent_bytes_total", report="report good") == sent
    assert value(samples, "smapd_report_state", report="report good", state="idle") == 1
    assert value(samples, "smapd_report_readings_total", report="report bad") == 0
    assert value(samples, "smapd_report_waiting_readings", report="report bad") == 1
    assert value(samples, "smapd_report_state", report="report bad", state="waiting") == 1
    assert value(samples, "smapd_report_failures_total", report="report bad") >= 1
    infos = [dict(labels) for name, labels in samples if name == "smapd_report_info"]
    assert {one["uuid"] for one in infos} == {str(uuid) for uuid in house.reports.uuids()}


# --- polls, threads, durations


def test_polls_and_threads_of_the_runtime_are_told(serve: Any) -> None:
    """P-12: runs, failed, missed; threads by pool."""
    run = FakeRuntime()
    served = serve()
    for name, read in (("polls", run.scheduler.summary), ("threads", run.threads.status)):
        served.status.section(name, read)

    samples = scrape(served)

    for name in ("calls", "runs_total", "missed_total", "failed_total", "hung"):
        assert value(samples, f"smapd_poll_{name}") == 0
    assert value(samples, "smapd_threads", pool="poll", state="idle") is not None
    assert value(samples, "smapd_thread_queue_calls", pool="work") == 0


def test_a_call_that_ends_takes_nothing_from_the_sums() -> None:
    """P-12: a counter that falls would be read as a restart, and counted twice."""
    shown = status(polls={"runs": 100})
    exposition = Exposition(lambda: shown)

    seen = []
    for runs in (100, 140, 30, 50, 50, 0, 7):
        shown["polls"] = {"runs": runs}
        seen.append(value(parsed(exposition.text()), "smapd_poll_runs_total"))

    assert seen == [100, 140, 140, 160, 160, 160, 167]


def test_durations_become_a_histogram() -> None:
    """P-12: fsync times and the reactor's lag."""
    took = Durations()
    for seconds in (0.002, 0.3, 20.0):
        took.add(seconds)

    samples = samples_of(status(commits=took.status()))

    name = "smapd_journal_commit_seconds"
    assert value(samples, f"{name}_bucket", le="0.001") == 0
    assert value(samples, f"{name}_bucket", le="0.5") == 2
    assert value(samples, f"{name}_bucket", le="10.0") == 2
    assert value(samples, f"{name}_bucket", le="+Inf") == 3
    assert value(samples, f"{name}_count") == 3
    assert value(samples, f"{name}_sum") == pytest.approx(20.302)


# --- for real


@pytest.mark.real
def test_prometheus_client_is_imported_by_the_first_scrape() -> None:
    """P-12: most daemons are never scraped."""
    code = """
import sys
import smapd.assembly, smapd.server, smapd.http.app
from smapd.http import HttpParts
from smapd.http.metrics import Metrics
from smapd.runtime import Status
parts = HttpParts(None, None, None, Status(), str, str, "1")
metrics = Metrics(parts)
before = "prometheus_client" in sys.modules
text = metrics.text()
after = "prometheus_client" in sys.modules
sys.exit(0 if (before, after) == (False, True) and b"smapd_ready 1.0" in text else 3)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)

    assert (done.stderr, done.returncode) == ("", 0)


CONFIG = f"""
[/]
uuid = {ROOT}
Properties/Timezone = UTC
[/i]
type = smapd.drivers.example.Driver
Rate = 0.1
[report good]
ReportDeliveryLocation = http://127.0.0.1:%d/
ReportResource = /+
[report nobody]
ReportDeliveryLocation = http://127.0.0.1:9/
ReportResource = /+
[connector plant]
type = vantiq
TargetServer = http://127.0.0.1:9/
AuthToken = a-token
Sources = pump
Notify = /+
Assets = *
"""


class Taker(BaseHTTPRequestHandler):
    """Accepts every report."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *a: Any) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def live() -> Iterator[Samples]:
    """A scrape of a daemon that has delivered, and has failed to."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Taker)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with DaemonProcess(CONFIG % server.server_address[1]) as daemon:
            for _ in range(200):
                samples = parsed(daemon.get("/metrics").body.decode())
                good = value(samples, "smapd_report_readings_total", report="report good")
                bad = value(samples, "smapd_report_failures_total", report="report nobody")
                if good and bad:
                    break
                time.sleep(0.05)  # the first commit comes after a second
            time.sleep(1.1)  # the reactor's lag is looked at each second
            yield parsed(daemon.get("/metrics").body.decode())
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.real
def test_a_real_daemon_tells_of_every_room(live: Samples) -> None:
    """P-12: in, on the disk, out; and what holds it up."""
    taken = value(live, "smapd_readings_total") or 0
    committed = value(live, "smapd_journal_committed_total") or 0
    out = value(live, "smapd_report_readings_total", report="report good") or 0
    assert taken >= committed >= out > 0
    assert value(live, "smapd_journal_failing") == 0
    assert (value(live, "smapd_journal_commits_total") or 0) > 0
    assert (value(live, "smapd_journal_written_bytes_total") or 0) > 0
    assert (value(live, "smapd_journal_bytes") or 0) > 0
    assert value(live, "smapd_journal_segments") == 1
    assert (value(live, "smapd_report_sent_bytes_total", report="report good") or 0) > 0
    assert (value(live, "smapd_report_waiting_readings", report="report nobody") or 0) > 0
    assert (value(live, "smapd_report_lag_seconds", report="report nobody") or 0) > 0
    assert value(live, "smapd_driver_state", driver="/i", state="running") == 1
    assert value(live, "smapd_driver_trouble", driver="/i") == 0
    assert value(live, "smapd_connector_up", connector="plant", source="pump") == 0
    waits = value(live, "smapd_connector_waiting_readings", connector="plant", source="pump")
    assert (waits or 0) > 0
    assert value(live, "smapd_healthy") == 1
    assert (value(live, "smapd_poll_runs_total") or 0) > 0
    assert value(live, "smapd_thread_queue_calls", pool="disk-readings") is not None
    assert (value(live, "smapd_http_answers_total", listener="http", code="200") or 0) > 0
    assert (value(live, "process_resident_memory_bytes") or 0) > 1e6


LATER = {
    "smapd_disk_written_bytes_per_day",  # after 10 minutes
    "smapd_disk_write_budget_bytes",  # where one is set
    "smapd_report_until_loss_seconds",  # after two looks, 10 s apart
    "smapd_report_oldest_unsent_timestamp_seconds",  # what fails first is the metadata
    "smapd_driver_reactor_seconds_total",  # of drivers on the reactor
    "smapd_connector_last_error_timestamp_seconds",  # it never got so far
}


@pytest.mark.real
def test_a_real_daemon_has_a_sample_of_every_metric(live: Samples) -> None:
    """P-12: each name of the table is what a room shows; but for those that come later."""
    seen = {re.sub(r"_(bucket|sum|count)$", "", name) for name, _ in live}

    assert {family.name for family in FAMILIES} - seen <= LATER
    assert (value(live, "smapd_reactor_lag_seconds_count") or 0) >= 1
    assert (value(live, "smapd_journal_commit_seconds_sum") or 0) > 0
    assert (value(live, "smapd_poll_seconds_total") or 0) > 0
