"""desired/builtin/report.py: smap::Report, through the reports of the daemon."""

from __future__ import annotations

import json
import time
from typing import Any
from uuid import uuid5

import pytest

from smapd.desired import AgentSide, Change, Exporter, HandlerContext, ResourceState, registry
from smapd.desired.builtin import Host, Report
from smapd.desired.builtin.report import NAMESPACE, ReportHandler
from smapd.desired.services import services
from smapd.errors import StorageFull
from smapd.testing import DaemonProcess
from tests.reports.consumer import running
from tests.reports.house import House, plant, values

from .conftest import failed, run, run_resource

HOST = Host("edge")
UUID = uuid5(NAMESPACE, "edge plant")
HERE = "http://93.184.216.34/a"
THERE = "http://93.184.216.34/b"


class Reporting(House):
    """The reports of a tree in memory, and an agent that reaches them."""

    def __init__(self) -> None:
        super().__init__(grow=plant)
        actuators: Any = None
        known = services(self.run.threads, actuators, self.reports, self.tree)
        self.side = AgentSide("edge", services=known)

    def bring(self, *, dry_run: bool = False, **more: Any) -> HandlerContext:
        given = {"name": "plant", "resource": "/a/+", "locations": [HERE]} | more
        return run(Report(HOST, **given), self.side, dry_run=dry_run)


@pytest.fixture
def house() -> Reporting:
    return Reporting()


def done(ctx: HandlerContext, change: Change, *fields: str) -> None:
    assert ctx.status is ResourceState.DEPLOYED, ctx.reason
    assert (ctx.change, sorted(ctx.changes)) == (change, sorted(fields))


def test_it_is_made_left_alone_changed_and_taken_away(house: Reporting) -> None:
    """IM-15 to IM-19, IM-21."""
    done(house.bring(), Change.CREATED, "purged")
    assert house.reports.uuids() == [UUID]
    done(house.bring(), Change.NOCHANGE)

    done(house.bring(resource="/b/z", locations=[THERE, HERE]), Change.UPDATED, *CHANGED)
    found = house.reports.get(UUID)
    assert found["ReportResource"] == "/b/z"
    assert found["ReportDeliveryLocation"] == [THERE, HERE]

    done(house.bring(purged=True), Change.PURGED, "purged", *CHANGED)
    assert house.reports.uuids() == []
    done(house.bring(purged=True), Change.NOCHANGE)


CHANGED = ("locations", "resource")


def test_what_is_selected_goes_out(house: Reporting) -> None:
    house.bring()
    house.tree.add("/a/x", 7)
    house.tree.drain()
    house.run.advance(1)

    bodies = house.bodies()
    assert values(bodies, "/a/x") == [7]
    assert not any("/b/z" in body for body in bodies)


def test_options_count_as_far_as_the_model_names_them(house: Reporting) -> None:
    house.bring(options={"MinPeriod": 5})
    assert house.reports.get(UUID)["MinPeriod"] == 5

    done(house.bring(options={"MinPeriod": 5.0}), Change.NOCHANGE)
    done(house.bring(), Change.NOCHANGE)
    ctx = house.bring(options={"MinPeriod": 5, "MaxPeriod": 60})
    done(ctx, Change.UPDATED, "options")
    assert house.reports.get(UUID)["MaxPeriod"] == 60


def test_every_key_of_a_report_may_be_desired_and_drifts(house: Reporting) -> None:
    wanted = {"Format": "gzip-json", "Keep": 1209600.0, "Sequence": True, "MaxReadings": 77}
    house.bring(options=wanted)
    assert house.bring(options=wanted).change is Change.NOCHANGE
    ctx = house.bring(options={**wanted, "Sequence": False})
    assert ctx.change is Change.UPDATED


def test_blanks_around_a_text_are_no_difference(house: Reporting) -> None:
    house.bring(resource=" /a/+ ")

    done(house.bring(resource=" /a/+ "), Change.NOCHANGE)


def test_somebody_elses_change_is_drift(house: Reporting) -> None:
    """U-12"""
    house.bring()
    house.reports.update(UUID, {"ReportResource": "/+"})

    ctx = house.bring()

    assert ctx.changes == {"resource": {"current": "/+", "desired": "/a/+"}}
    assert house.reports.get(UUID)["ReportResource"] == "/a/+"


def test_a_dry_run_makes_nothing(house: Reporting) -> None:
    """IM-23"""
    assert house.bring(dry_run=True).status is ResourceState.DRY
    assert house.reports.uuids() == []


def test_two_names_are_two_reports(house: Reporting) -> None:
    house.bring()
    house.bring(name="other")

    assert house.reports.uuids() == [UUID, uuid5(NAMESPACE, "edge other")]


def test_one_location_may_be_a_text() -> None:
    (one,) = Exporter().run([Report(HOST, "plant", "/+", HERE)], 1).resources

    assert one.serialize()["locations"] == [HERE]


def test_where_a_report_over_http_may_not_go_this_one_may_not_go(house: Reporting) -> None:
    house.forbidden[THERE] = "it is a private address"

    ctx = house.bring(locations=[THERE])

    assert ctx.status is ResourceState.FAILED
    assert ctx.reason.startswith("Forbidden: A report made over HTTP may not go there: it is a pri")


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        (
            {"locations": ["http://me:secret@93.184.216.34/a"]},
            "A location of a report in the model holds no login: everybody who may read reads it."
            " Put the report into the config file.",
        ),
        (
            {"options": {"Formt": "csv"}},
            "options: no report has Formt. There is BytesPerDay, CatchUpRate, ExpireTime, Format,"
            " Gaps, Keep, KeepBytes, MaxAge, MaxBytes, MaxPeriod, MaxReadings, MinPeriod, Order,"
            " Quality, Sequence.",
        ),
        ({"options": {"uuid": "x"}}, "options: uuid is none of them; it may have a field."),
    ],
)
def test_what_cannot_be_is_named(house: Reporting, fields: Any, reason: str) -> None:
    failed(house.bring(**fields), reason)


def test_a_resource_that_is_none_is_told_in_the_words_of_reports(house: Reporting) -> None:
    ctx = house.bring(resource="/+/a")

    assert ctx.status is ResourceState.FAILED
    assert ctx.reason.startswith("BadRequest: Invalid Reporting object (does not validate): Rep")


def test_while_the_disk_is_full_it_is_skipped(
    house: Reporting, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> Any:
        raise StorageFull("The disk is full.")

    monkeypatch.setattr(house.reports, "update", full)

    ctx = house.bring()

    assert (ctx.status, ctx.reason) == (ResourceState.SKIPPED, "The disk is full.")


def test_its_fact_is_its_uuid(house: Reporting) -> None:
    """IM-36"""
    (resource,) = Exporter().run([Report(HOST, "plant", "/+", [HERE])], 1).resources

    facts = ReportHandler(house.side).check_facts(HandlerContext(resource), resource)

    assert facts == {"uuid": str(UUID)}


def test_an_agent_elsewhere_has_no_reports() -> None:
    """IM-33"""
    (resource,) = Exporter().run([Report(HOST, "plant", "/+", [HERE])], 1).resources
    handler = registry.frozen().providers["smap::Report"].cls(AgentSide("edge"))

    assert not handler.available(resource)
    failed(
        _executed(handler, resource),
        "This agent reaches no reports: let one of the daemon serve it.",
    )


def _executed(handler: Any, resource: Any) -> HandlerContext:
    ctx = HandlerContext(resource)
    handler.execute(ctx, resource)
    return ctx


CONFIG = """
[/]
uuid = 75503ac2-abf0-11e0-b7d6-0026bb56ec92
Properties/Timezone = UTC
[/instrument0]
type = smapd.drivers.example.Driver
Rate = 100ms
[server]
AllowTargets = 127.0.0.0/8
[agent edge]
Handlers = smapd.desired.builtin.report
"""


@pytest.mark.real
def test_in_a_daemon_readings_arrive_where_the_model_says() -> None:
    """From POST /desired/versions to the readings at the other end, and away again."""
    with running() as consumer, DaemonProcess(CONFIG) as daemon:

        def deploy(**more: Any) -> None:
            given = {"locations": [f"http://127.0.0.1:{consumer.port}/add"]} | more
            export = Exporter().run([Report(HOST, "plant", "/instrument0/+", **given)])
            n = post(daemon, "/desired/versions", export.as_json())["version"]
            d = post(daemon, f"/desired/versions/{n}/deploy", {})["deploy"]
            for _ in range(200):
                told = daemon.get(f"/desired/deploys/{d}").json()
                if told["state"] == "done":
                    break
                time.sleep(0.05)
            assert told["counts"] == {"deployed": 1}, told

        deploy()
        assert daemon.get("/reports").json() == {"Contents": [str(UUID)]}
        for _ in range(400):
            if consumer.bodies:
                break
            time.sleep(0.05)
        assert any("Readings" in one for body in consumer.bodies for one in body.values())

        deploy(purged=True)
        assert daemon.get("/reports").json() == {"Contents": []}


def post(daemon: DaemonProcess, path: str, body: Any) -> Any:
    kind = {"Content-Type": "application/json"}
    answer = daemon.request("POST", path, json.dumps(body).encode(), kind)
    assert answer.status in (201, 202), answer.body
    return answer.json()


def test_a_resource_without_options_is_whole(house: Reporting) -> None:
    """As another program may send it."""
    (resource,) = Exporter().run([Report(HOST, "plant", "/+", [HERE])], 1).resources
    vars(resource)["options"] = None

    done(run_resource(resource, house.side), Change.CREATED, "purged")
    done(run_resource(resource, house.side), Change.NOCHANGE)
