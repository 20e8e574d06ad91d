"""The keys of a ``[report]`` section."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

import pytest

from smapd.options import Where, merge
from smapd.reports import TABLES
from smapd.reports.definition import from_section

from .house import ROOT, section

BASE = {"ReportDeliveryLocation": "http://sink.example/a", "ReportResource": "/+"}


def parse(**keys: Any) -> tuple[dict[str, Any], list[str]]:
    values, problems = merge(TABLES)["report*"].parse(BASE | keys, Where("f.ini", "report 0", 3))
    return values, [str(problem) for problem in problems]


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"ReportResource": "/a/+ where nonsense"}, "is no condition"),
        ({"ReportResource": ""}, "empty"),
        ({"ReportDeliveryLocation": "ftp://sink.example/"}, "http or https"),
        ({"Format": "xml"}, "not one of json"),
        ({"Format": "csv", "Gaps": "yes"}, "has no place for it"),
        ({"Order": "newest"}, "not one of oldest, fresh"),
        ({"MinPeriod": "10", "MaxPeriod": "5"}, "longer than MaxPeriod"),
        ({"Key": "k.pem"}, "without its ClientCert"),
        ({"CatchUpRate": "0"}, "below the least"),
        ({"Keep": "soon"}, "not a duration"),
    ],
)
def test_what_does_not_fit_is_refused_with_file_and_line(
    keys: dict[str, str], message: str
) -> None:
    """SM-23, SM-28."""
    _, problems = parse(**keys)

    assert len(problems) == 1
    assert problems[0].startswith("f.ini:3: [report 0]")
    assert message in problems[0]


def test_missing_keys_are_refused() -> None:
    """SM-23: the mended golden: both are required."""
    _, problems = merge(TABLES)["report*"].parse({})

    assert ["ReportDeliveryLocation" in str(p) for p in problems] == [True, False]
    assert "ReportResource" in str(problems[1])


def test_an_outage_budget_takes_the_place_of_the_default_bound() -> None:
    """U-04: Keep and KeepBytes; MaxReadings still counts where it is given."""
    from uuid import UUID

    def limits(**keys: str) -> Any:
        return from_section(UUID(ROOT), *section(**keys)).limits

    assert limits().max_readings == 10_000
    assert limits(Keep="14d", KeepBytes="2GiB").max_readings is None
    assert limits(Keep="14d").keep_s == 14 * 86_400
    assert limits(Keep="14d", MaxReadings="500").max_readings == 500
    assert limits(KeepBytes="2GiB", MaxBytes="1GiB").max_bytes == 2**30


def test_a_config_report_has_the_recorded_uuid() -> None:
    """SM-23: uuid5 of the root and the section's name."""
    from uuid import UUID

    found = from_section(UUID(ROOT), *section("report 0"))

    assert str(found.uuid) == "ca3fdb71-af0c-57d8-9e9f-2da9c41c1d96"


def test_allow_targets_is_a_list_of_networks() -> None:
    """SEC-04."""
    server = merge(TABLES)["server"]
    values, _ = server.parse({"AllowTargets": ["10.0.0.0/8", "fd00::/8"]})
    _, problems = server.parse({"AllowTargets": "ten"})

    assert values["AllowTargets"] == (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))
    assert "not a network" in str(problems[0])
