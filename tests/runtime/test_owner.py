"""runtime/owner.py and periodic.py: whose a call is, and when it may begin."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from smapd.errors import ShutdownRequested
from smapd.runtime import CallOwner, current_owner, periodic
from smapd.runtime.periodic import periodic_call
from smapd.testing import FakeRuntime


@pytest.fixture
def runtime() -> Iterator[FakeRuntime]:
    yield FakeRuntime()
    periodic.release()


def test_a_call_made_inside_a_drivers_code_is_that_drivers(runtime: FakeRuntime) -> None:
    """SM-08: it starts and stops with the driver."""
    seen: list[object] = []
    owner = CallOwner("meter", "/meter", runtime.scheduler)

    owner.run(lambda: periodic_call(lambda: seen.append(current_owner.get())).start(1))
    runtime.advance(5)
    before = list(seen)
    owner.begin()
    runtime.advance(1)
    owner.stop()
    runtime.advance(5)

    assert before == []
    assert seen == [owner, owner]
    assert current_owner.get() is None


def test_a_call_made_inside_a_poll_is_the_drivers_too(runtime: FakeRuntime) -> None:
    inner: list[int] = []

    def poll() -> None:
        if not inner:
            periodic_call(inner.append, (1,)).start(10)

    owner = CallOwner("meter", "/meter", runtime.scheduler)
    owner.call(poll).start(1)
    owner.begin()
    runtime.advance(0.5)
    owner.stop()
    runtime.advance(60)

    assert inner == [1]


def test_a_call_that_is_stopped_before_the_driver_begins_never_comes(runtime: FakeRuntime) -> None:
    seen: list[int] = []
    owner = CallOwner("meter", "/meter", runtime.scheduler)

    owner.call(seen.append, 1).start(1).stop()
    owner.begin()
    runtime.advance(5)

    assert seen == []


def test_a_stopped_owner_starts_nothing_more(runtime: FakeRuntime) -> None:
    owner = CallOwner("meter", "/meter", runtime.scheduler)
    call = owner.call(print)
    owner.begin()
    owner.stop()

    with pytest.raises(ShutdownRequested, match=r"print was not started: /meter was stopped"):
        call.start(1)


def test_stop_says_which_calls_do_not_end(runtime: FakeRuntime) -> None:
    owner = CallOwner("meter", "/meter", runtime.scheduler)
    call = owner.call(print).start(1)
    owner.begin()
    runtime.threads.hold("poll")
    runtime.advance(0)
    call._began(0.0)  # its thread has begun it
    names: list[list[str]] = []

    owner.stop(3).addCallback(names.append)
    runtime.advance(3)

    assert names == [["meter print"]]


def test_the_calls_of_one_owner_share_a_lane_and_others_do_not(runtime: FakeRuntime) -> None:
    """ARCHITECTURE 3.5: the calls of one driver hold at most one poll thread."""
    one = CallOwner("one", "/one", runtime.scheduler)
    two = CallOwner("two", "/two", runtime.scheduler)

    assert one.call(print).lane is one.call(len).lane
    assert one.call(print).lane is not two.call(print).lane
    assert periodic_call(print).lane is not periodic_call(print).lane


def test_nobodys_calls_wait_for_the_daemon(runtime: FakeRuntime) -> None:
    """SM-08: the tutorial's util.periodicCallInThread(f).start(1) ahead of server.run."""
    seen: list[str] = []
    periodic_call(seen.append, ("early",)).start(1)
    never = periodic_call(seen.append, ("never",)).start(1)
    never.stop()

    runtime.advance(5)
    before = list(seen)
    periodic.adopt(runtime.scheduler)
    runtime.advance(1)
    late = periodic_call(seen.append, ("late",)).start(1)
    runtime.advance(0.5)
    late.stop()
    runtime.advance(0.5)

    assert before == []
    assert seen == ["early", "early", "late", "early"]


def test_release_ends_nobodys_calls_and_empties_the_list(runtime: FakeRuntime) -> None:
    seen: list[int] = []
    periodic_call(seen.append, (1,)).start(1)
    periodic.adopt(runtime.scheduler)
    runtime.advance(0)

    periodic.release()
    runtime.advance(5)
    another = FakeRuntime()
    periodic.adopt(another.scheduler)
    another.advance(5)

    assert seen == [1]


def test_only_one_daemon_has_them(runtime: FakeRuntime) -> None:
    periodic.adopt(runtime.scheduler)
    periodic.adopt(runtime.scheduler)

    with pytest.raises(RuntimeError, match="have a daemon already"):
        periodic.adopt(FakeRuntime().scheduler)
