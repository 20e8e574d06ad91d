"""config/others.py: the sections that are no nodes."""

from pathlib import Path

import pytest

from smapd.assembly import TABLES
from smapd.config import load_text
from smapd.errors import ConfigError

ROOT = "[/]\nuuid = 75503ac2-abf0-11e0-b7d6-0026bb56ec92\nProperties/Timezone = UTC\n"
REPORT = "ReportDeliveryLocation = http://127.0.0.1:9/add/KEY\n"


class Driver:
    def setup(self, opts):
        """Nothing is made."""


def plan_of(text):
    return load_text(ROOT + text, "f.ini", tables=TABLES, drivers=lambda name: Driver)


def errors(text):
    with pytest.raises(ConfigError) as caught:
        plan_of(text)
    return [str(p) for p in caught.value.problems]


def test_server_keys_are_typed_whatever_their_case():
    """SM-11"""
    server = plan_of("[server]\nport = 9000\nDATADIR = /var/lib/smapd\n").server

    assert server["Port"] == 9000
    assert server["DataDir"] == Path("/var/lib/smapd")
    assert server["Interface"] == "127.0.0.1"


def test_without_a_server_section_its_defaults_hold():
    assert plan_of("").server["Port"] == 8080


def test_each_named_server_section_is_one_more_listener():
    plan = plan_of("[server]\nPort = 1\n[server plant]\nPort = 2\n[server lab]\nPort = 3\n")

    assert plan.server["Port"] == 1
    assert [listener["Port"] for listener in plan.listeners] == [2, 3]


def test_a_report_section_has_typed_options():
    """SM-23, SM-27"""
    plan = plan_of(
        "[report 0]\n" + REPORT + "ReportDeliveryLocation3 = http://b/\n"
        "ReportDeliveryLocation0 = https://a/\nReportResource = /+\nFormat = csv\n"
        "MinPeriod = 5m\nMaxAge = 3600\n[reportage]\n" + REPORT + "ReportResource = /\n"
    )

    first, second = plan.others
    assert (first.kind, first.name, first.line) == ("report", "report 0", 4)
    assert first.options["ReportDeliveryLocation"].reveal() == "http://127.0.0.1:9/add/KEY"
    more = first.options["ReportDeliveryLocation*"]
    assert {n: u.reveal() for n, u in more.items()} == {0: "https://a/", 3: "http://b/"}
    assert (first.options["MinPeriod"], first.options["MaxAge"]) == (300.0, 3600.0)
    assert (first.options["Format"], first.options["MaxReadings"]) == ("csv", 10_000)
    assert second.name == "reportage"
    assert second.options["Format"] == "json"


@pytest.mark.parametrize(
    "resource",
    ["/+", "/", "/a", "/a/", "/a/+", "a/s", "/a/s/+", "/+/Metadata/X", "/m/x/+", "/b",
     "75503ac2-abf0-11e0-b7d6-0026bb56ec92", "Metadata/Location/City = A/B", "has Metadata/X/Y",
     "Has Properties/Timezone", "Properties/UnitofMeasure like k%/h", "/a where has Metadata/X/Y",
     "/a/+ where Metadata/X/Y = a/b", "/a/+/Metadata/Extra/Use = x"],
)  # fmt: skip
def test_a_report_may_be_on_what_is_there_or_comes_from_a_driver(resource):
    """SM-23"""
    plan_of(
        "[/a/s]\nProperties/UnitofMeasure = V\n[/m]\ntype = some.Driver\n"
        "[/b/c]\ntype = Collection\n"
        f"[report 0]\n{REPORT}ReportResource = {resource}\n"
    )


@pytest.mark.parametrize(
    ("resource", "path"),
    [
        ("/nope", "/nope"),
        ("/a/x/+", "/a/x"),
        ("/nope where has Metadata/X/Y", "/nope"),
        ("/Metadata/X", "/Metadata/X"),
    ],
)
def test_a_report_on_what_is_nowhere_is_refused(resource, path):
    """SM-23"""
    assert errors(
        f"[/a]\ntype = Collection\n[report 0]\n{REPORT}ReportResource = {resource}\n"
    ) == [
        f"f.ini:8: [report 0] ReportResource = {resource}: "
        f"there is no {path} in this file, and no driver above it."
    ]


def test_an_empty_resource_is_refused():
    assert errors(f'[report 0]\n{REPORT}ReportResource = ""\n') == [
        "f.ini:6: [report 0] ReportResource: empty. Write /+ for everything, or a path."
    ]


def test_an_unknown_section_is_a_warning_and_is_kept_for_dump():
    """SM-11"""
    plan = plan_of("[unrelated]\nfoo = bar, baz\n[logging]\n[meter]\ntype = Timeseries\n")

    assert [str(p) for p in plan.warnings] == [
        "f.ini:4: warning: [unrelated] no such section; it is skipped.",
        "f.ini:6: warning: [logging] no such section; it is skipped.",
        "f.ini:7: warning: [meter] no such section; it is skipped. Did you mean [/meter]?",
    ]
    assert [(s.kind, s.name) for s in plan.plain] == [
        ("", "unrelated"),
        ("", "logging"),
        ("", "meter"),
    ]
    assert plan.plain[0].raw == {"foo": ["bar", "baz"]}


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("sever", "server"),
        ("SERVER", "server"),
        ("srver plant", "server plant"),
        ("reprot 0", "report 0"),
        ("Report 0", "report 0"),
        ("rport7", "report7"),
    ],
)
def test_a_section_within_two_letters_of_a_known_one_is_an_error(name, meant):
    """SM-11, P-13"""
    assert errors(f"[{name}]\nPort = 1\n") == [
        f"f.ini:4: [{name}] no such section. Did you mean [{meant}]?"
    ]


def test_an_unknown_section_three_letters_away_is_skipped():
    """SM-11"""
    assert "skipped" in str(plan_of("[sensors]\nPort = 1\n").warnings[0])
