"""``inst.reports``: before the daemon runs, and beside it."""

from __future__ import annotations

from typing import Any

import pytest

from smapd.errors import BadRequest, NoSuchReport, ReportExists
from smapd.reporting import Reporting

from .reports.house import ONE, TWO, House, asked, plant, values


def straight(f: Any, *a: Any) -> Any:
    return f(*a)


def test_a_report_added_by_a_program_is_delivered_anywhere() -> None:
    """SM-24: config, HTTP and programs make one kind; a program is trusted."""
    house = House(grow=plant)
    house.forbidden["http://127.0.0.1:9/"] = "loopback"
    reporting = Reporting()
    reporting.connect(house.reports, straight)

    uuid = reporting.add(asked(ReportDeliveryLocation=["http://127.0.0.1:9/"]))
    house.tree.add("/a/x", 1)

    assert uuid == ONE
    assert reporting.list() == [ONE]
    assert values(house.bodies(), "/a/x") == [1]
    assert reporting.get(ONE)["ReportResource"] == "/+"


def test_what_does_not_fit_is_raised_at_once() -> None:
    """SM-24."""
    house = House(grow=plant)
    reporting = Reporting()
    reporting.connect(house.reports, straight)
    reporting.add(asked())

    with pytest.raises(ReportExists):
        reporting.add(asked())
    with pytest.raises(BadRequest, match="Format"):
        reporting.add(asked(TWO, Format="xml"))
    with pytest.raises(BadRequest, match="uuid"):
        reporting.add({"uuid": "nonsense"})
    with pytest.raises(NoSuchReport):
        reporting.get(TWO)


def test_reports_added_before_the_daemon_runs_are_installed_with_it() -> None:
    """SM-24: and one that is there from the last run goes on where it was."""
    house = House(grow=plant)
    reporting = Reporting()
    reporting.add(asked(ONE))
    reporting.add(asked(TWO))
    reporting.update(ONE, {"MinPeriod": 5})
    reporting.delete(TWO)
    assert reporting.list() == [ONE]

    reporting.connect(house.reports, straight)
    house.bodies()
    after = house.restart(grow=plant)
    again = Reporting()
    again.add(asked(ONE))
    again.connect(after.reports, straight)

    assert after.reports.uuids() == [ONE]
    assert again.get(ONE)["MinPeriod"] == 5
    assert after.bodies() == []  # it was announced in the first run


def test_delete_and_update_reach_the_daemon() -> None:
    """SM-24."""
    house = House(grow=plant)
    reporting = Reporting()
    reporting.connect(house.reports, straight)
    reporting.update(ONE, asked())
    reporting.update(str(ONE), {"MinPeriod": 7})
    assert reporting.get(ONE)["MinPeriod"] == 7

    reporting.delete(ONE)
    reporting.delete(ONE)
    assert reporting.list() == []
    reporting.disconnect()
    assert reporting.list() == []
