"""Reports: what they select, what they say of it, and that they outlive the daemon."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred
from zope.interface.verify import verifyObject

from smapd.core import SmapInstance
from smapd.errors import BadRequest, Forbidden, NoSuchReport, ReportExists
from smapd.interfaces import ICursor, IDefinitions, IReports, ISink, ITreeListener
from smapd.reports import KEPT_S
from smapd.storage import FreshFirst
from smapd.testing import RecordingSink
from smapd.values import Accepted, Outcome, Payload, Retry

from .house import ONE, TWO, House, asked, got, plant, section, values


def add(house: House, path: str, *found: int) -> None:
    for value in found:
        house.tree.add(path, 1_300_000_000 + value, value)


# --- metadata


def test_a_new_report_begins_with_everything_whole() -> None:
    """SM-26: collections with Contents and Metadata, series with empty Readings."""
    house = House([section()], grow=plant)

    (body,) = house.bodies()

    assert set(body) == {"/", "/a", "/b", "/a/x", "/a/y", "/b/z"}
    assert body["/"] == {"Contents": ["a", "b"], "Metadata": {"SourceName": "test"}}
    assert body["/a"]["Metadata"] == {"Location": {"City": "Berkeley"}}
    assert body["/a/x"]["Readings"] == []
    assert body["/a/x"]["Properties"]["UnitofMeasure"] == "V"
    assert "Metadata" not in body["/a/x"]  # the consumer merges


def test_the_first_reading_carries_metadata_and_later_ones_do_not() -> None:
    """SM-26, SM-22: ancestors and series whole, then {uuid, Readings}."""
    house = House([section()], grow=plant)
    house.bodies()

    add(house, "/a/x", 1, 2)

    first, second = house.bodies()
    assert set(first) == {"/", "/a", "/a/x"}
    assert first["/a/x"]["Readings"] == [[1_300_000_001_000, 1]]
    assert "Properties" in first["/a/x"]
    assert set(second) == {"/a/x"}
    assert set(second["/a/x"]) == {"uuid", "Readings"}


def test_metadata_that_is_set_goes_out_with_the_next_reading_below_it() -> None:
    """SM-26: on a series, on a collection, and when the same is set again."""
    house = House([section()], grow=plant)
    add(house, "/a/x", 1)
    add(house, "/b/z", 1)
    house.bodies()

    house.tree.set_metadata("/a", {"Extra/Floor": "2"})
    assert house.bodies() == []
    add(house, "/a/x", 2)
    add(house, "/b/z", 2)

    below, beside = house.bodies()
    assert below["/a"]["Metadata"]["Extra"] == {"Floor": "2"}
    assert set(below) == {"/", "/a", "/a/x"}
    assert set(beside) == {"/b/z"}

    house.tree.set_metadata("/b/z", {"Extra/Own": "yes"})
    add(house, "/b/z", 3)
    (whole,) = house.bodies()
    assert whole["/b/z"]["Metadata"] == {"Extra": {"Own": "yes"}}

    house.tree.set_metadata("/", {"SourceName": "test"})
    add(house, "/b/z", 4)
    (again,) = house.bodies()
    assert set(again) == {"/", "/b", "/b/z"}


def test_metadata_set_while_a_request_is_under_way_is_not_lost() -> None:
    """SM-26: what was being sent is old by then."""
    from twisted.internet.defer import Deferred

    house = House([section()], grow=plant)
    slow: Deferred[Outcome] = Deferred()
    house.sink.answers.append(slow)
    add(house, "/a/x", 1)
    house.tree.set_metadata("/a/x", {"Extra/New": "yes"})
    slow.callback(Accepted())
    house.bodies()

    add(house, "/a/x", 2)

    (body,) = house.bodies()
    assert body["/a/x"]["Metadata"] == {"Extra": {"New": "yes"}}


def test_a_series_added_while_running_appears_with_its_first_reading() -> None:
    """SM-26: with its parents' new Contents; nothing is sent before."""
    house = House([section()], grow=plant)
    add(house, "/a/x", 1)
    house.bodies()

    house.tree.add_timeseries("/a/new", "new", "V")
    assert house.bodies() == []
    add(house, "/a/new", 1)

    (body,) = house.bodies()
    assert body["/a"]["Contents"] == ["x", "y", "new"]
    assert body["/a/new"]["Readings"] == [[1_300_000_001_000, 1]]


def test_a_series_that_comes_back_is_whole_again() -> None:
    """SM-26."""
    house = House([section()], grow=plant)
    add(house, "/a/x", 1)
    house.tree.remove("/a/x")
    house.tree.add_timeseries("/a/x", "/a/x", "kW")
    house.bodies()

    add(house, "/a/x", 2)

    (body,) = house.bodies()
    assert body["/a/x"]["Properties"]["UnitofMeasure"] == "kW"


def test_another_consumer_gets_everything_whole() -> None:
    """SM-26: a report whose location changes."""
    house = House(grow=plant)
    got(house.reports.add(asked()))
    add(house, "/a/x", 1)
    house.bodies()

    got(house.reports.update(ONE, {"ReportDeliveryLocation": ["http://93.184.216.34/b"]}))
    add(house, "/a/x", 2)

    whole, first = house.bodies()
    assert "Properties" in whole["/b/z"]
    assert "Properties" in first["/a/x"]


def test_a_report_made_later_begins_with_what_the_series_hold_and_repeats_none_of_it() -> None:
    """SM-24: readings that are not committed yet come once, in the first report."""
    house = House(grow=plant, commits_at_once=False)
    add(house, "/a/x", 1)
    got(house.reports.add(asked()))
    house.journal.commit()
    add(house, "/a/x", 2)
    house.journal.commit()

    bodies = house.bodies()

    assert values(bodies, "/a/x") == [1, 2]
    assert bodies[0]["/a/x"]["Readings"] == [[1_300_000_001_000, 1]]


def test_a_first_report_that_waits_for_an_hour_loses_nothing() -> None:
    """SM-26, SM-29: the readings of that hour come after it, all of them."""
    house = House(grow=plant)
    down = [True]

    class Down(RecordingSink):
        def answer(self, payload: Payload, location: str) -> Outcome:
            return Retry(None, "refused") if down else Accepted()

    house.make = lambda definition: Down()
    got(house.reports.add(asked()))
    for value in range(60):
        add(house, "/a/x", value)
        house.run.advance(60.0)
    down.clear()
    house.run.advance(61.0)

    assert values(house.bodies(), "/a/x") == list(range(60))


def test_many_nodes_are_announced_in_several_bodies() -> None:
    """SM-26: no body grows without bound."""

    def grow(tree: SmapInstance) -> None:
        for i in range(6_000):
            tree.add_timeseries(f"/r/s{i}", f"s{i}", "V")

    house = House([section()], grow=grow, begin=False)
    house.reports.start()

    first, second = house.bodies()
    assert len(first) == 5_000
    assert len(first) + len(second) == 6_002


# --- what is selected


@pytest.mark.parametrize(
    ("resource", "paths"),
    [
        ("/+", {"/", "/a", "/b", "/a/x", "/a/y", "/b/z"}),
        ("/+everything", {"/", "/a", "/b", "/a/x", "/a/y", "/b/z"}),
        ("/a/+", {"/a", "/a/x", "/a/y"}),
        ("/a", {"/a", "/a/x", "/a/y"}),
        ("/a/x", {"/a/x"}),
        ("a/x", {"/a/x"}),
        ("//a//x/", {"/a/x"}),
        ("/+ where Metadata/Location/City = Berkeley", {"/", "/a", "/a/x", "/a/y"}),
        ("Metadata/Location/City like 'Berk%'", {"/", "/a", "/a/x", "/a/y"}),
        ("/+/Metadata/Location/City = 'Berkeley'", {"/", "/a", "/a/x", "/a/y"}),
        ("/b/+ where Metadata/Location/City = Berkeley", set()),
        ("has Metadata/Location and Properties/UnitofMeasure = V", {"/", "/a", "/a/x", "/a/y"}),
        ("/+ where Metadata/Location/City != Berkeley", {"/", "/b", "/b/z"}),
    ],
)
def test_a_resource_selects_what_it_says_with_absolute_paths(
    resource: str, paths: set[str]
) -> None:
    """SM-25: path, /+, /path/+, a collection, and metadata, inherited ones too."""
    house = House([section(ReportResource=resource)], grow=plant)
    for path in ("/a/x", "/a/y", "/b/z"):
        add(house, path, 1, 2)

    bodies = house.bodies()

    assert {path for body in bodies for path in body} == paths
    for path in ("/a/x", "/a/y", "/b/z"):
        assert values(bodies, path) == ([1, 2] if path in paths else [])


def test_a_uuid_selects_that_series_wherever_it_moves() -> None:
    """SM-25."""
    tree_uuid = "0d8bb3ae-0000-11e1-8000-000000000001"

    def grow(tree: SmapInstance) -> None:
        plant(tree)
        tree.add_timeseries("/a/u", uuid=tree_uuid)

    house = House([section(ReportResource=tree_uuid)], grow=grow)
    add(house, "/a/u", 1)
    add(house, "/a/x", 1)
    house.tree.remove("/a/u")
    house.tree.add_timeseries("/b/u", uuid=tree_uuid)
    add(house, "/b/u", 2)

    bodies = house.bodies()
    assert values(bodies, "/a/u") + values(bodies, "/b/u") == [1, 2]
    assert {path for body in bodies for path in body} == {"/a/u", "/b/u"}


def test_a_resource_is_resolved_again_when_the_tree_or_its_metadata_changes() -> None:
    """SM-25."""
    house = House([section(ReportResource="/+ where Metadata/Extra/On = yes")], grow=plant)
    add(house, "/b/z", 1)
    assert house.bodies() == []

    house.tree.set_metadata("/b", {"Extra/On": "yes"})
    add(house, "/b/z", 2)
    house.tree.add_timeseries("/b/more", "more", "V")
    add(house, "/b/more", 3)
    house.run.advance(0.1)

    bodies = house.bodies()
    assert values(bodies, "/b/z") == [2]
    assert values(bodies, "/b/more") == [3]


def test_a_report_waits_for_what_is_not_there_yet() -> None:
    """SM-24: 201, and it begins when the resource appears."""
    house = House()
    got(house.reports.add(asked(ReportResource="/late/+")))
    assert house.sink.sent == []

    house.tree.add_timeseries("/late/s", "s", "V")
    add(house, "/late/s", 1)

    assert values(house.bodies(), "/late/s") == [1]


def test_readings_of_a_driver_that_is_not_set_up_again_are_not_passed_over() -> None:
    """SM-25, SM-29: after a restart they wait for no one; the journal knows their path."""
    house = House([section(ReportResource="/a/+")], grow=plant)
    house.sink.answers.append(Retry(None, "down"))
    add(house, "/a/x", 1)
    add(house, "/b/z", 1)

    after = house.restart([section(ReportResource="/a/+")])  # no driver yet: an empty tree
    after.run.advance(1.0)

    bodies = after.bodies()
    assert values(bodies, "/a/x") == [1]
    assert values(bodies, "/b/z") == []


# --- options


def test_sequence_gaps_and_quality_are_told_on_demand() -> None:
    """N-01, N-02: First, and what is missing."""
    house = House([section(Sequence="yes", Gaps="yes", MaxReadings="2")], grow=plant)
    house.bodies()
    house.sink.answers.append(Retry(None, "down"))
    add(house, "/a/x", 0, 1, 2, 3, 4)
    house.run.advance(5.0)

    (body,) = house.bodies()
    assert body["/a/x"]["First"] == 3
    assert body["/a/x"]["Gaps"] == [
        {
            "From": [0, 1_300_000_000_000],
            "To": [2, 1_300_000_002_000],
            "Count": 3,
            "Why": "bounds",
        }
    ]
    (status,) = house.reports.status()
    assert status["gaps"] == {"bounds": 3}


def test_two_reports_have_their_own_buffers() -> None:
    """SM-31: one that is down delays nobody."""
    house = House(grow=plant)
    got(house.reports.add(asked(ONE)))
    got(house.reports.add(asked(TWO)))
    house.sinks[ONE].answers += [Retry(None, "down")] * 5
    add(house, "/a/x", 1, 2)

    assert values(house.sinks[TWO].bodies(), "/a/x") == [1, 2]
    assert values(house.sinks[ONE].bodies(), "/a/x") == []

    house.run.advance(60.0)
    assert values(house.sinks[ONE].bodies(), "/a/x") == [1, 2]


def test_max_age_leaves_out_what_is_older() -> None:
    """SM-28: as a counted gap."""
    house = House([section(MaxAge="1h")], grow=plant)
    house.bodies()
    now_s = house.run.clock.wall_ms() // 1000

    house.tree.add("/a/x", now_s - 7200, 1)
    house.tree.add("/a/x", now_s, 2)

    assert values(house.bodies(), "/a/x") == [2]
    assert house.reports.status()[0]["gaps"] == {"age": 1}


def test_fresh_readings_go_first_after_an_outage() -> None:
    """U-04: Order = fresh; loss 0, and the old ones arrive at CatchUpRate."""
    down = [True]

    class Down(RecordingSink):
        def answer(self, payload: Payload, location: str) -> Outcome:
            return Retry(None, "down") if down else Accepted()

    house = House(grow=plant)
    house.make = lambda definition: Down()
    got(house.reports.add(asked(Order="fresh", Keep=86_400 * 14, CatchUpRate=500)))
    house.tree.add_many("/a/x", range(8_000), range(8_000))
    house.run.advance(60.0)
    down.clear()
    house.run.advance(61.0)
    house.bodies()
    add(house, "/a/y", 7)
    house.run.advance(0.1)

    assert values(house.bodies(), "/a/y") == [7]

    house.run.advance(60.0)
    add(house, "/a/y", 8)
    house.run.advance(60.0)
    assert house.reports.status()[0]["waiting"] == 0
    assert house.journal.cursors() == [str(ONE)]  # the two are one again


def test_nothing_is_lost_with_fresh_first_over_a_restart() -> None:
    """U-04, SM-29: a restart in the middle of catching up."""
    down = [True]

    class Down(RecordingSink):
        def answer(self, payload: Payload, location: str) -> Outcome:
            return Retry(None, "down") if down else Accepted()

    house = House(grow=plant)
    house.make = lambda definition: Down()
    got(house.reports.add(asked(Order="fresh", MaxReadings=10**6, CatchUpRate=500)))
    sent: list[Any] = []
    house.tree.add_many("/a/x", range(9_000), range(9_000))
    down.clear()
    house.run.advance(5.0)
    house.tree.add_many("/a/x", range(9_000, 9_010), range(9_000, 9_010))
    house.run.advance(5.0)
    sent += values(house.bodies(), "/a/x")
    assert len(house.journal.cursors()) == 2

    after = house.restart(grow=plant)
    after.run.advance(120.0)
    sent += values(after.bodies(), "/a/x")

    assert sorted(sent) == list(range(9_010))


# --- life


def test_a_posted_report_outlives_the_daemon_and_goes_on_where_it_was() -> None:
    """SM-24, SM-29: the first report is not repeated; all is dirty again."""
    house = House(grow=plant)
    got(house.reports.add(asked(MinPeriod=0, Sequence=True)))
    add(house, "/a/x", 1)
    house.bodies()
    house.sink.answers.append(Retry(None, "down"))
    add(house, "/a/x", 2)

    after = house.restart(grow=plant)
    add(after, "/a/x", 3)

    bodies = after.bodies()
    assert values(bodies, "/a/x") == [2, 3]
    assert set(bodies[0]) == {"/", "/a", "/a/x"}
    assert after.reports.uuids() == [ONE]


def test_what_was_added_between_the_201_and_a_crash_is_delivered() -> None:
    """SM-24: the cursor need not be written yet: the definition says where it began."""
    house = House(grow=plant)
    got(house.reports.add(asked()))
    house.sink.answers += [Retry(None, "down")] * 3
    add(house, "/a/x", 1)
    house.stop()
    got(house.journal.forget(str(ONE)))  # the crash came before the cursor's commit

    after = House(before=house, grow=plant)
    after.run.advance(1.0)

    assert 1 in values(after.bodies(), "/a/x")


def test_a_report_is_durable_before_it_is_there() -> None:
    """SM-24: a full disk makes none."""
    house = House(grow=plant)
    house.definitions.error = OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        got(house.reports.add(asked()))

    assert house.reports.uuids() == []


def test_a_removed_config_report_is_kept_paused_for_seven_days() -> None:
    """Mend: it stops; what was pending stays, is shown, and goes on if the section comes back."""
    house = House([section()], grow=plant)
    house.bodies()
    house.sink.answers += [Retry(None, "down")] * 3
    add(house, "/a/x", 1)

    without = house.restart(grow=plant)
    (status,) = without.reports.status()
    assert status["state"] == "removed"
    assert status["waiting"] == 1
    assert status["kept_until_ms"] > without.run.clock.wall_ms()
    assert without.sinks == {}

    back = without.restart([section()], grow=plant)
    assert values(back.bodies(), "/a/x") == [1]

    gone = back.restart(grow=plant)
    gone.run.advance(KEPT_S + 2)
    assert gone.reports.uuids() == []
    assert gone.journal.cursors() == []


def test_a_config_report_whose_location_changed_delivers_what_was_pending_there() -> None:
    """SM-29."""
    house = House([section()], grow=plant)
    house.sink.answers += [Retry(None, "down")] * 3
    add(house, "/a/x", 1)

    moved = section(ReportDeliveryLocation="http://other.example/b")
    after = house.restart([moved], grow=plant)

    assert values(after.bodies(), "/a/x") == [1]
    assert after.sink.sent[0][0] == "http://other.example/b"


def test_an_expired_report_is_gone_with_its_buffer_and_a_renewed_one_stays() -> None:
    """SM-32."""
    house = House(grow=plant)
    now_s = house.run.clock.wall_ms() / 1000
    got(house.reports.add(asked(ONE, ExpireTime=now_s + 10)))
    got(house.reports.add(asked(TWO, ExpireTime=now_s + 10)))
    house.run.advance(9.0)
    got(house.reports.update(TWO, {"ExpireTime": now_s + 100}))
    house.run.advance(2.0)

    assert house.reports.uuids() == [TWO]
    assert house.journal.cursors() == [str(TWO)]
    assert house.definitions.rows.keys() == {("report", str(TWO))}


def test_a_deleted_report_stops_and_a_new_one_of_its_uuid_begins_afresh() -> None:
    """SM-24."""
    house = House(grow=plant)
    got(house.reports.add(asked()))
    house.bodies()
    assert got(house.reports.delete(ONE)) is True
    add(house, "/a/x", 1)
    got(house.reports.add(asked()))
    add(house, "/a/x", 2)

    whole, first = house.bodies()
    assert "Properties" in whole["/b/z"]
    assert values([first], "/a/x") == [2]
    assert got(house.reports.delete(TWO)) is False


def test_a_request_that_outlives_every_limit_is_told_to_the_watchdog() -> None:
    """P-18: a sink ends each try in 30 s; one that does not is a mistake of ours."""
    house = House([section()], grow=plant)
    house.bodies()
    house.sink.answers.append(Deferred())
    add(house, "/a/x", 1)
    house.run.advance(60)
    assert house.reports.standing_still() == []

    house.run.advance(150)

    (uuid,) = house.reports.uuids()
    assert house.reports.standing_still() == [f"the report {uuid}"]


def test_paused_by_somebody_stays_paused_over_a_restart() -> None:
    """SM-24."""
    house = House(grow=plant)
    got(house.reports.add(asked()))
    house.bodies()
    got(house.reports.set_paused(ONE, True))
    add(house, "/a/x", 1)
    assert house.bodies() == []

    after = house.restart(grow=plant)
    assert after.reports.status()[0]["state"] == "paused"
    got(after.reports.set_paused(ONE, False))

    assert values(after.bodies(), "/a/x") == [1]


# --- what is refused


@pytest.mark.parametrize(
    "broken",
    [
        {"uuid": "nonsense"},
        {"uuid": 5},
        {"ReportResource": 5},
        {"ReportResource": "  "},
        {"ReportResource": "/+ where nonsense"},
        {"ReportDeliveryLocation": []},
        {"ReportDeliveryLocation": ["ftp://example/"]},
        {"ReportDeliveryLocation": ["env:SECRET"]},
        {"ReportDeliveryLocation": ["file:/etc/passwd"]},
        {"ReportDeliveryLocation": [5]},
        {"ReportDeliveryLocation": ["http://h/"] * 12},
        {"MinPeriod": "5"},
        {"MinPeriod": -1},
        {"MinPeriod": True},
        {"MinPeriod": 10, "MaxPeriod": 5},
        {"Format": "xml"},
        {"Format": "csv", "Gaps": True},
        {"Order": "newest"},
        {"Strict": True, "ReportResource": "/nope"},
    ],
)
def test_a_body_that_does_not_fit_is_refused_and_makes_nothing(broken: dict[str, Any]) -> None:
    """SM-24, SEC-04: 400 with the reason, and the original's text in front."""
    house = House(grow=plant)

    with pytest.raises(BadRequest, match=r"^Invalid Reporting object \(does not validate\)"):
        got(house.reports.add(asked() | broken))

    assert house.reports.uuids() == []
    assert house.definitions.rows == {}


def test_a_second_report_of_one_uuid_is_refused() -> None:
    """SM-24."""
    house = House(grow=plant)
    got(house.reports.add(asked()))

    with pytest.raises(ReportExists, match="Report instance already exists!"):
        got(house.reports.add(asked()))


def test_a_report_over_http_goes_only_where_it_may() -> None:
    """SEC-04: refused at once where that can be told; else by the sink, at each connection."""
    house = House(grow=plant)
    house.forbidden["http://127.0.0.1:9/"] = "it is a loopback address"

    with pytest.raises(Forbidden, match="loopback"):
        got(house.reports.add(asked(ReportDeliveryLocation=["http://127.0.0.1:9/"])))
    got(house.reports.add(asked(ReportDeliveryLocation=["http://127.0.0.1:9/"]), local=True))

    assert house.made == [(ONE, True)]


def test_on_a_daemon_that_others_reach_nobody_counts_as_local() -> None:
    """SEC-04."""
    house = House(grow=plant, loopback_only=False)
    got(house.reports.add(asked(), local=True))

    assert house.made == [(ONE, False)]


def test_who_moves_a_report_must_be_allowed_to_go_there() -> None:
    """SEC-04: a local report moved by somebody else loses the right."""
    house = House(grow=plant)
    got(house.reports.add(asked(), local=True))
    house.forbidden["http://127.0.0.1:9/"] = "it is a loopback address"

    with pytest.raises(Forbidden):
        got(house.reports.update(ONE, {"ReportDeliveryLocation": ["http://127.0.0.1:9/"]}))
    got(house.reports.update(ONE, {"ReportDeliveryLocation": ["http://93.184.216.34/b"]}))

    assert house.made[-1] == (ONE, False)


def test_keys_that_a_url_may_hold_are_not_shown() -> None:
    """SM-23: neither in /status nor, for a login or a reference, in GET /reports/UUID."""
    house = House(grow=plant)
    url = "http://me:hunter2@93.184.216.34/add/SECRETKEY"
    got(house.reports.add(asked(ReportDeliveryLocation=[url])))

    assert "SECRETKEY" not in str(house.reports.status())
    assert "hunter2" not in str(house.reports.status())
    assert house.reports.get(ONE)["ReportDeliveryLocation"] == [
        "http://***@93.184.216.34/add/SECRETKEY"
    ]
    assert house.sink.sent[0][0] == url


def test_an_unknown_report_is_no_such_report() -> None:
    """SM-24."""
    house = House()
    with pytest.raises(NoSuchReport, match="There is no report"):
        house.reports.get(ONE)
    with pytest.raises(NoSuchReport):
        got(house.reports.set_paused(ONE, True))


def test_a_record_that_cannot_be_read_is_left_alone_and_told() -> None:
    """SM-29: the others are there."""
    house = House(grow=plant)
    got(house.reports.add(asked()))
    house.definitions.rows["report", "bad"] = '{"uuid": 5}'

    after = house.restart(grow=plant)

    assert after.reports.uuids() == [ONE]
    assert after.reports.damaged == 1


def test_each_part_has_the_interface_it_is_known_by() -> None:
    """SM-24."""
    house = House(grow=plant)
    got(house.reports.add(asked(Order="fresh")))
    (subscription,) = house.reports.subscriptions()

    assert verifyObject(IReports, house.reports)
    assert verifyObject(ITreeListener, house.reports)
    assert verifyObject(IDefinitions, house.definitions)
    assert verifyObject(ISink, house.sink)
    assert isinstance(subscription.cursor, FreshFirst)
    assert verifyObject(ICursor, subscription.cursor)
