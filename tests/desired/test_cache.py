"""What handlers keep between their runs."""

import functools
import itertools
import threading
from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher

from smapd.desired import (
    AgentCache,
    AgentSide,
    CRUDHandler,
    HandlerContext,
    Resource,
    cache,
)
from smapd.desired.cache import _Making
from smapd.errors import ShutdownRequested
from smapd.runtime.program import thread_ident
from smapd.testing import FakeClock

WAIT_S = 20


class Conn:
    def __init__(self, device: str) -> None:
        self.device = device
        self.closed = 0

    def close(self) -> None:
        self.closed += 1


class Handler(CRUDHandler):
    """As the document has it: timed, and bound to a version."""

    made: list[Conn]

    @cache(timeout=120, ignore=["ctx"])
    def timed(self, ctx: Any, device_id: str) -> Conn:
        return self.make(device_id)

    @cache(timeout=120, ignore=["ctx"], for_version=True, call_on_delete=lambda c: c.close())
    def versioned(self, ctx: Any, device_id: str, version: int) -> Conn:
        return self.make(device_id)

    @cache(timeout=120, ignore=["ctx"], for_version=False, call_on_delete=Conn.close)
    def unbound(self, ctx: Any, device_id: str, version: int) -> Conn:
        return self.make(device_id)

    @cache
    def bare(self, device_id: str) -> Conn:
        return self.make(device_id)

    @cache()
    def defaults(self, a: int, b: int = 2, *c: int, d: int = 4, **e: int) -> Conn:
        return self.make("d")

    def make(self, device_id: str) -> Conn:
        conn = Conn(device_id)
        self.made.append(conn)
        return conn


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def side(clock: Clock) -> AgentSide:
    return AgentSide("edge", AgentCache(clock))


@pytest.fixture
def new(side: AgentSide) -> Callable[[], Handler]:
    made: list[Conn] = []

    def handler() -> Handler:
        one = Handler(side)
        one.made = made
        return one

    return handler


def test_the_second_call_gives_what_the_first_made(new: Callable[[], Handler]) -> None:
    """IM-37, IM-38: over handlers of one agent, each made for one run."""
    first = new().timed(HandlerContext(), "d1")

    second = new().timed(HandlerContext(), "d1")

    assert second is first
    assert len(new().made) == 1


def test_other_arguments_are_another_entry(new: Callable[[], Handler]) -> None:
    handler = new()

    assert handler.timed(None, "d1") is not handler.timed(None, "d2")
    assert len(handler.made) == 2


def test_another_agent_has_entries_of_its_own(new: Callable[[], Handler], clock: Clock) -> None:
    """IM-38"""
    other = Handler(AgentSide("other", AgentCache(clock)))
    other.made = []

    assert new().timed(None, "d1") is not other.timed(None, "d1")


def test_an_entry_is_kept_for_its_timeout(new: Callable[[], Handler], clock: Clock) -> None:
    """IM-39"""
    handler = new()
    first = handler.timed(None, "d1")

    clock.advance(119.9)
    assert handler.timed(None, "d1") is first
    clock.advance(0.1)
    assert handler.timed(None, "d1") is not first


def test_the_default_timeout_is_5000_seconds(new: Callable[[], Handler], clock: Clock) -> None:
    """IM-47"""
    handler = new()
    first = handler.bare("d1")

    clock.advance(4999)
    assert handler.bare("d1") is first
    clock.advance(1)
    assert handler.bare("d1") is not first


def test_what_is_ignored_makes_no_difference(new: Callable[[], Handler]) -> None:
    """IM-40: however it is given."""
    handler = new()

    first = handler.timed(1, "d1")

    assert handler.timed(ctx=2, device_id="d1") is first
    assert handler.timed([], device_id="d1") is first


def test_a_default_is_the_same_given_or_not(new: Callable[[], Handler]) -> None:
    """IM-45"""
    handler = new()

    first = handler.defaults(1)

    assert handler.defaults(1, 2) is first
    assert handler.defaults(b=2, a=1, d=4) is first
    assert handler.defaults(1, 3) is not first
    assert handler.defaults(1, 2, 5) is not first
    assert handler.defaults(1, x=2) is not first
    assert handler.defaults(1, x=2, y=3) is handler.defaults(1, y=3, x=2)


def test_methods_of_one_name_do_not_clash(side: AgentSide) -> None:
    """IM-46"""

    def handler(word: str) -> CRUDHandler:
        class H(CRUDHandler):
            @cache
            def get(self, x: int) -> str:
                return word

        return H(side)

    a, b = handler("a"), handler("b")

    assert (a.get(1), b.get(1), a.get(1)) == ("a", "b", "a")  # type: ignore[attr-defined]


def test_a_method_of_a_common_base_is_shared(side: AgentSide) -> None:
    """IM-38: so that resources of several types share the connection of a device."""

    class Base(CRUDHandler):
        @cache(ignore=["ctx"])
        def get(self, ctx: Any, device: str) -> object:
            return object()

    class A(Base):
        pass

    class B(Base):
        pass

    assert A(side).get(None, "d") is B(side).get(None, "d")


def test_a_version_bound_entry_ends_with_its_deployment(
    new: Callable[[], Handler], side: AgentSide
) -> None:
    """IM-41, IM-43"""
    handler = new()
    side.cache.open_version(1)
    one = handler.versioned(None, "d1", 1)
    side.cache.open_version(2)
    two = handler.versioned(None, "d1", version=2)
    assert handler.versioned(None, "d1", 1) is one
    assert one is not two

    side.cache.close_version(1)

    assert (one.closed, two.closed) == (1, 0)
    assert handler.versioned(None, "d1", 2) is two


def test_a_version_is_over_with_its_last_deployment(
    new: Callable[[], Handler], side: AgentSide
) -> None:
    side.cache.open_version(1)
    side.cache.open_version(1)
    one = new().versioned(None, "d1", 1)

    side.cache.close_version(1)
    assert one.closed == 0
    side.cache.close_version(1)

    assert one.closed == 1


def test_version_bound_entries_obey_the_timeout_too(
    new: Callable[[], Handler], side: AgentSide, clock: Clock
) -> None:
    """IM-42"""
    side.cache.open_version(1)
    one = new().versioned(None, "d1", 1)

    clock.advance(120)

    assert new().versioned(None, "d1", 1) is not one
    assert one.closed == 1
    side.cache.close_version(1)
    assert one.closed == 1


def test_for_version_false_leaves_the_entry(new: Callable[[], Handler], side: AgentSide) -> None:
    side.cache.open_version(1)
    one = new().unbound(None, "d1", 1)

    side.cache.close_version(1)

    assert one.closed == 0
    assert new().unbound(None, "d1", 1) is one


def test_tick_lets_go_of_what_is_over(
    new: Callable[[], Handler], side: AgentSide, clock: Clock
) -> None:
    """IM-43: without anybody asking for it, and once."""
    handler = new()
    first = handler.versioned(None, "d1", 1)
    clock.advance(60)
    second = handler.versioned(None, "d2", 1)

    clock.advance(60)
    side.cache.tick()
    side.cache.tick()

    assert (first.closed, second.closed, len(side.cache)) == (1, 0, 1)


@pytest.mark.parametrize("ends", ["tick", "ask", "version", "close", "room"])
def test_call_on_delete_comes_exactly_once_however_it_ends(ends: str, clock: Clock) -> None:
    """IM-43"""
    held = AgentCache(clock, most=1)
    gone: list[str] = []
    held.open_version(1)

    numbers = itertools.count()

    def ask(key: str) -> str:
        return held.get_or_make(
            key,
            lambda: f"{key}{next(numbers)}",
            timeout_s=10,
            version=1,
            call_on_delete=gone.append,
        )

    ask("a")

    if ends in ("tick", "ask"):
        clock.advance(10)
    {
        "tick": held.tick,
        "ask": functools.partial(ask, "a"),
        "version": functools.partial(held.close_version, 1),
        "close": held.close,
        "room": functools.partial(ask, "b"),
    }[ends]()

    assert gone == ["a0"]
    held.tick()
    held.close_version(1)
    held.close()
    held.close()
    assert sorted(gone) == sorted(set(gone))


def test_call_on_delete_that_raises_is_logged_and_the_others_come(clock: Clock) -> None:
    held = AgentCache(clock)
    gone: list[str] = []
    events: list[Any] = []

    def fails(value: str) -> None:
        gone.append(value)
        raise SystemExit("no")

    for key in "abc":
        held.get_or_make(key, lambda key=key: key, call_on_delete=fails)
    globalLogPublisher.addObserver(events.append)
    try:
        held.close()
    finally:
        globalLogPublisher.removeObserver(events.append)

    assert gone == ["c", "b", "a"]
    assert sum("log_failure" in event for event in events) == 3


def test_none_is_kept_unless_told_otherwise(side: AgentSide) -> None:
    """IM-47"""
    calls: list[str] = []

    class H(CRUDHandler):
        @cache
        def kept(self) -> None:
            calls.append("kept")

        @cache(cache_none=False, call_on_delete=calls.append)
        def asked_again(self) -> None:
            calls.append("asked")

    handler = H(side)
    for _ in range(2):
        handler.kept()
        handler.asked_again()
    side.cache.close()

    assert calls == ["kept", "asked", "asked"]


def test_a_failed_creation_is_raised_and_not_kept(side: AgentSide) -> None:
    """IM-44"""
    answers: list[Any] = [OSError("down"), "up"]

    class H(CRUDHandler):
        @cache
        def get(self) -> Any:
            answer = answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer

    with pytest.raises(OSError, match="down"):
        H(side).get()

    assert H(side).get() == "up"
    assert len(side.cache) == 1


def test_after_close_nothing_is_made(side: AgentSide) -> None:
    side.cache.close()

    with pytest.raises(ShutdownRequested):
        side.cache.get_or_make("x", lambda: pytest.fail("made"))


def test_the_number_of_entries_is_bounded(clock: Clock) -> None:
    held = AgentCache(clock, most=10)
    gone: list[int] = []

    for i in range(1000):
        held.get_or_make(i, lambda i=i: i, call_on_delete=gone.append)

    assert len(held) == 10
    assert gone == list(range(990))
    assert len(held._due) <= 84


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("x", "x", True),
        (1, True, False),
        ("1", 1, False),
        (None, "None", False),
        ([1, {"a": [2]}], [1, {"a": [2]}], True),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, True),
        ({1, 2}, {2, 1}, True),
        ([1], (1,), False),
        ({"a": 1}, {"a": 2}, False),
        (b"x", "x", False),
    ],
)
def test_equal_arguments_are_one_key(side: AgentSide, one: Any, other: Any, same: bool) -> None:
    class H(CRUDHandler):
        @cache
        def get(self, x: Any) -> object:
            return object()

    assert (H(side).get(one) is H(side).get(other)) is same


def test_a_resource_counts_by_its_id_whatever_its_version(side: AgentSide) -> None:
    class H(CRUDHandler):
        @cache
        def get(self, resource: Resource) -> object:
            return object()

    one, same = Resource("a::B[x,y=1],v=1"), Resource("a::B[x,y=1],v=2")

    assert H(side).get(one) is H(side).get(same)
    assert H(side).get(one) is not H(side).get(Resource("a::B[x,y=2],v=1"))


def test_an_argument_without_a_hash_is_refused_by_name(side: AgentSide) -> None:
    class H(CRUDHandler):
        @cache
        def get(self, thing: Any) -> object:
            return object()

    with pytest.raises(TypeError, match=r"H.get cannot be cached by its argument thing, a bytearr"):
        H(side).get(bytearray())


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"timeout": 0}, "the timeout is more than 0 seconds, not 0"),
        ({"timeout": -1}, "the timeout is more than 0 seconds, not -1"),
        ({"timeout": "5"}, "the timeout is more than 0 seconds, not '5'"),
        ({"timeout": True}, "the timeout is more than 0 seconds, not True"),
        ({"ignore": ["ctxt"]}, "get has no parameter ctxt"),
    ],
)
def test_a_decorator_that_cannot_work_is_refused(arguments: Any, sentence: str) -> None:
    def get(self: Any, ctx: Any) -> None: ...

    with pytest.raises(ValueError, match=sentence):
        cache(**arguments)(get)


def test_what_can_be_used_once_only_is_refused() -> None:
    async def coroutine(self: Any) -> None: ...

    def generator(self: Any) -> Any:
        yield

    for f in (coroutine, generator):
        with pytest.raises(ValueError, match="can be used once only"):
            cache(f)


def test_ignore_may_be_one_name(side: AgentSide) -> None:
    class H(CRUDHandler):
        @cache(ignore="ctx")
        def get(self, ctx: object) -> object:
            return object()

    assert H(side).get(object()) is H(side).get(object())


def test_the_clock_of_the_daemon_serves() -> None:
    clock = FakeClock()
    held = AgentCache(clock)
    first = held.get_or_make("x", object, timeout_s=5)

    clock.advance(5)

    assert held.get_or_make("x", object) is not first


def test_one_that_makes_itself_is_refused_at_once(side: AgentSide) -> None:
    class H(CRUDHandler):
        @cache
        def get(self) -> object:
            return self.get()

    with pytest.raises(RuntimeError, match=r"H.get cannot be cached: .* waits, .* for itself"):
        H(side).get()


# --- threads


def in_threads(*fs: Callable[[], Any]) -> list[Any]:
    """What each gives, or the exception that it raises."""
    results: list[Any] = [None] * len(fs)

    def run(i: int) -> None:
        try:
            results[i] = fs[i]()
        except Exception as problem:
            results[i] = problem

    threads = [threading.Thread(target=run, args=(i,), daemon=True) for i in range(len(fs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_S)
        assert not thread.is_alive()
    return results


class Slow:
    """Makes something, and is held up until all but one wait for it."""

    def __init__(self, held: AgentCache, waiters: int) -> None:
        self.held, self.waiters, self.calls = held, waiters, 0
        self.deleted: list[Any] = []

    def wait(self) -> None:
        self.calls += 1
        pause = threading.Event()
        for _ in range(int(WAIT_S / 0.002)):
            if len(self.held._waits_for) >= self.waiters:
                return
            pause.wait(0.002)
        pytest.fail("nobody waits")

    def make(self) -> object:
        self.wait()
        return object()

    def fail(self) -> object:
        self.wait()
        raise OSError("down")


@pytest.mark.real
def test_under_threads_one_makes_it_and_all_get_it() -> None:
    """IM-44"""
    held = AgentCache()
    slow = Slow(held, 7)

    def ask() -> object:
        return held.get_or_make("x", slow.make, call_on_delete=slow.deleted.append)

    results = in_threads(*[ask] * 8)

    assert slow.calls == 1
    assert len({id(one) for one in results}) == 1
    held.close()
    assert slow.deleted == [results[0]]


@pytest.mark.real
def test_under_threads_a_failure_is_raised_to_all() -> None:
    """IM-44"""
    held = AgentCache()
    slow = Slow(held, 7)

    results = in_threads(*[lambda: held.get_or_make("x", slow.fail)] * 8)

    assert slow.calls == 1
    assert [str(one) for one in results] == ["down"] * 8
    assert held.get_or_make("x", lambda: 1) == 1


@pytest.mark.real
def test_who_waits_is_told_when_the_agent_stops() -> None:
    held = AgentCache()
    slow = Slow(held, 1)

    def make() -> object:
        slow.wait()
        held.close()
        return slow

    def ask() -> object:
        return held.get_or_make("x", make, call_on_delete=slow.deleted.append)

    results = in_threads(ask, ask)

    assert [type(one) for one in results] == [ShutdownRequested] * 2
    assert slow.deleted == [slow]


@pytest.mark.real
def test_two_that_wait_for_each_other_are_told() -> None:
    held = AgentCache()
    both = threading.Barrier(2)

    def make(other: str) -> object:
        both.wait(WAIT_S)
        return held.get_or_make(other, object)

    results = in_threads(
        lambda: held.get_or_make("a", lambda: make("b")),
        lambda: held.get_or_make("b", lambda: make("a")),
    )

    assert any(isinstance(one, RuntimeError) and "for itself" in str(one) for one in results)


@pytest.mark.real
def test_entries_are_deleted_once_whoever_finds_them_over() -> None:
    """IM-43: eight threads ask, tick and close versions at once."""
    clock = Clock()
    held = AgentCache(clock, most=5)
    made: list[int] = []
    gone: list[int] = []
    lock = threading.Lock()

    def make() -> int:
        with lock:
            made.append(len(made))
            return made[-1]

    def work(seed: int) -> None:
        for i in range(300):
            n = seed * 7 + i
            held.get_or_make(
                n % 11,
                make,
                timeout_s=1 + n % 3,
                version=n % 4 or None,
                call_on_delete=gone.append,
            )
            if n % 5 == 0:
                held.tick()
            if n % 7 == 0:
                held.close_version(n % 4)
            if seed == 0:
                clock.rightNow += 0.25

    in_threads(*[functools.partial(work, seed) for seed in range(8)])
    held.close()

    assert sorted(gone) == sorted(made)


def test_what_is_over_is_deleted_once_though_its_successor_fails() -> None:
    """IM-43: exactly once."""
    clock = Clock()
    held = AgentCache(clock)
    deleted: list[str] = []
    held.get_or_make("k", lambda: "old", timeout_s=1.0, call_on_delete=deleted.append)
    clock.advance(2)

    with pytest.raises(ZeroDivisionError):
        held.get_or_make("k", lambda: 1 // 0)

    assert deleted == ["old"]


def test_who_was_woken_does_not_wait_any_more() -> None:
    """IM-44: a thread that has been given its value, and has not run since, stops nobody."""
    held, other = AgentCache(Clock()), -1
    mine, theirs = _Making(thread_ident()), _Making(other)
    mine.is_done = theirs.is_done = True
    theirs.value = "made by the other"
    held._waits_for[other] = mine
    held._making["k"] = theirs

    assert held.get_or_make("k", lambda: "not this") == "made by the other"
