"""driver/host.py: a driver's steps, each checked."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail
from twisted.trial.unittest import SynchronousTestCase

from smapd.core import Scope, SmapInstance
from smapd.driver import DeviceUnavailable, DriverFailed, DriverHost, SmapDriver
from smapd.driver.host import takes_inst
from smapd.runtime import CallOwner, current_owner
from smapd.testing import FakeRuntime

ROOT = "75503ac2-abf0-11e0-b7d6-0026bb56ec92"


def scope(inst: SmapInstance, path: str = "/meter") -> Scope:
    if inst.get(path) is None:
        inst.add_collection(path)
    return inst.scope(path, inst.uuid(path))


class WithOpts(SmapDriver):
    def setup(self, opts: Any) -> None:
        self.seen = opts
        self.add_timeseries("/s", "s", "V")


class WithInst(SmapDriver):
    def setup(self, inst: Any, opts: Any) -> None:
        self.seen = inst, opts
        inst.add_timeseries("/s", "s", "V")


class Plain:
    """Any class with setup and start serves."""

    def setup(self, inst: Any, opts: Any) -> None:
        self.ts = inst.add_timeseries("/s", "s", "V")

    def start(self) -> None:
        self.ts.add(1)


class NoInit(SmapDriver):
    def __init__(self) -> None:
        self.mine = 1  # and not SmapDriver.__init__

    def setup(self, opts: Any) -> None:
        self.add_timeseries("/s", "s", "V")

    def start(self) -> None:
        self.add("/s", self.mine)


@pytest.mark.parametrize("cls", [WithOpts, WithInst, Plain, NoInit])
def test_setup_makes_streams_below_the_drivers_place(cls: type) -> None:
    """SM-14: setup(opts), setup(inst, opts), with or without the base class and its __init__."""
    inst = SmapInstance(ROOT)
    host = DriverHost(cls, scope(inst), {"Rate": "1"})

    host.setup()
    host.start()
    host.stop()

    assert inst.get_timeseries("/meter/s") is not None


def test_opts_are_a_dict_of_the_drivers_own() -> None:
    given = {"Rate": "1"}
    host = DriverHost(WithOpts, scope(SmapInstance(ROOT)), given)

    host.setup()
    host.driver.seen["Rate"] = "2"

    assert given == {"Rate": "1"}


def test_setup_with_inst_is_given_the_drivers_view() -> None:
    view = scope(SmapInstance(ROOT))
    host = DriverHost(WithInst, view, {})

    host.setup()

    assert host.driver.seen == (view, {})


def test_replicated_driver_has_streams_of_its_own() -> None:
    """SM-15: paths and keys need only be unique inside one driver."""
    inst = SmapInstance(ROOT)

    for path in ("/instrument0", "/instrument1"):
        DriverHost(WithOpts, scope(inst, path), {}).setup()

    uuids = {inst.get_timeseries(p)["uuid"] for p in ("/instrument0/s", "/instrument1/s")}
    assert len(uuids) == 2


@pytest.mark.parametrize("step", ["setup", "start", "stop"])
def test_what_a_step_raises_becomes_one_sentence(step: str) -> None:
    """SM-36: a failure names section, step and cause."""

    def fails(self: Any, *a: Any) -> None:
        raise KeyError("Address")

    cls = type("Meter", (WithOpts,), {step: fails})
    host = DriverHost(cls, scope(SmapInstance(ROOT)), {})
    if step != "setup":
        host.setup()

    with pytest.raises(DriverFailed) as caught:
        getattr(host, step)()

    assert caught.value.message == f"[/meter] {step} failed: KeyError: 'Address'"
    assert isinstance(caught.value.__cause__, KeyError)


def test_own_error_keeps_its_words_and_hint() -> None:
    class Meter(WithOpts):
        def setup(self, opts: Any) -> None:
            raise DeviceUnavailable("10.0.0.7 does not answer", hint="Is it on?")

    with pytest.raises(DriverFailed) as caught:
        DriverHost(Meter, scope(SmapInstance(ROOT)), {}).setup()

    assert caught.value.message == "[/meter] setup failed: 10.0.0.7 does not answer"
    assert caught.value.hint == "Is it on?"


def test_long_foreign_text_is_one_bounded_line() -> None:
    class Meter(WithOpts):
        def setup(self, opts: Any) -> None:
            raise ValueError("dump\n" * 10_000)

    with pytest.raises(DriverFailed) as caught:
        DriverHost(Meter, scope(SmapInstance(ROOT)), {}).setup()

    assert "\n" not in caught.value.message
    assert len(caught.value.message) < 1100


def test_sys_exit_in_a_driver_is_its_own_failure() -> None:
    class Script(WithOpts):
        def start(self) -> None:
            raise SystemExit(3)

    host = DriverHost(Script, scope(SmapInstance(ROOT)), {})
    host.setup()

    with pytest.raises(DriverFailed, match="start failed: SystemExit: 3"):
        host.start()


def test_class_that_cannot_be_made_fails_in_setup() -> None:
    class Wants(WithOpts):
        def __init__(self, port: int) -> None:
            self.port = port

    with pytest.raises(DriverFailed, match="setup failed: TypeError: .*port"):
        DriverHost(Wants, scope(SmapInstance(ROOT)), {}).setup()


def test_start_that_failed_may_be_called_again() -> None:
    class Late(WithOpts):
        tries = 0

        def start(self) -> None:
            self.tries += 1
            if self.tries == 1:
                raise OSError("not yet")

    host = DriverHost(Late, scope(SmapInstance(ROOT)), {})
    host.setup()

    with pytest.raises(DriverFailed):
        host.start()
    host.start()

    assert host.driver.tries == 2


def test_driver_without_stop_stops() -> None:
    host = DriverHost(Plain, scope(SmapInstance(ROOT)), {})
    host.setup()

    host.stop()


def test_stop_before_setup_does_nothing() -> None:
    DriverHost(WithOpts, scope(SmapInstance(ROOT)), {}).stop()


def test_async_step_is_refused_with_a_sentence() -> None:
    class Async(WithOpts):
        async def start(self) -> None:  # type: ignore[override]
            raise AssertionError("never awaited")

    host = DriverHost(Async, scope(SmapInstance(ROOT)), {})
    host.setup()

    with pytest.raises(
        DriverFailed, match=r"start is async def; write a plain def, or class X\(AsyncDriver\)"
    ):
        host.start()


class Deferreds(SynchronousTestCase):
    """Steps of Twisted code."""

    class Twisted(WithOpts):
        ON_REACTOR = True

        def start(self) -> Deferred[None]:  # type: ignore[override]
            return fail(OSError("no route"))

    def test_failure_of_a_deferred_is_the_steps(self) -> None:
        """SM-14: what Twisted code fails with is as good as raised."""
        host = DriverHost(self.Twisted, scope(SmapInstance(ROOT)), {})
        host.setup()

        with self.assertRaisesRegex(DriverFailed, "start failed: OSError: no route"):
            host.start()
        self.failureResultOf(host.call_on_reactor("start"), DriverFailed)

    def test_a_step_is_over_when_its_deferred_fires(self) -> None:
        waiting: Deferred[None] = Deferred()
        cls = type("Slow", (self.Twisted,), {"start": lambda self: waiting})
        host = DriverHost(cls, scope(SmapInstance(ROOT)), {})
        self.successResultOf(host.call_on_reactor("setup"))

        started = host.call_on_reactor("start")
        self.assertNoResult(started)
        waiting.callback(None)

        self.successResultOf(started)

    def test_a_step_of_twisted_code_may_be_a_coroutine(self) -> None:
        waiting: Deferred[None] = Deferred()
        seen: list[Any] = []

        class Coroutine(WithOpts):
            ON_REACTOR = True

            async def start(self) -> None:  # type: ignore[override]
                await waiting
                seen.append(current_owner.get())

        runtime = FakeRuntime()
        owner = CallOwner("x", "/meter", runtime.scheduler, on_reactor=True)
        host = DriverHost(Coroutine, scope(SmapInstance(ROOT)), {}, owner)
        self.successResultOf(host.call_on_reactor("setup"))

        started = host.call_on_reactor("start")
        waiting.callback(None)

        self.successResultOf(started)
        self.assertEqual(seen, [owner])

    def test_time_on_the_reactor_is_charged_to_the_driver(self) -> None:
        """SM-14: ON_REACTOR is a trust, and /status says what became of it."""
        runtime = FakeRuntime()

        class Slow(WithOpts):
            ON_REACTOR = True

            def start(self) -> None:
                runtime.clock.advance(0.7)

        owner = CallOwner("x", "/meter", runtime.scheduler, on_reactor=True)
        host = DriverHost(Slow, scope(SmapInstance(ROOT)), {}, owner)
        self.successResultOf(host.call_on_reactor("setup"))

        self.successResultOf(host.call_on_reactor("start"))

        self.assertEqual((owner.reactor_s, owner.worst_reactor_s), (0.7, 0.7))

    def test_what_nobody_can_wait_for_is_logged_with_its_driver(self) -> None:
        waiting: Deferred[None] = Deferred()
        cls = type("Slow", (self.Twisted,), {"start": lambda self: waiting})
        host = DriverHost(cls, scope(SmapInstance(ROOT)), {})
        host.setup()

        host.start()
        waiting.errback(OSError("no route"))

        self.assertEqual(len(self.flushLoggedErrors(DriverFailed)), 1)

    def test_deferred_off_the_reactor_is_refused(self) -> None:
        cls = type("Off", (self.Twisted,), {"ON_REACTOR": False})
        host = DriverHost(cls, scope(SmapInstance(ROOT)), {})
        host.setup()

        with self.assertRaisesRegex(DriverFailed, "Twisted code needs ON_REACTOR = True"):
            host.start()


def _setup(source: str) -> Any:
    space: dict[str, Any] = {}
    exec(f"def setup({source}): pass", space)
    return type("D", (SmapDriver,), {"setup": space["setup"]})()


@pytest.mark.parametrize(
    ("source", "both"),
    [
        ("self, opts", False),
        ("self, opts={}", False),
        ("self, opts, rate=1", False),
        ("self, opts, *, rate=1", False),
        ("self, inst, opts", True),
        ("self, inst, options", True),
        ("self, inst, opts={}", True),
        ("self, inst=None, opts=None", True),
        ("self, inst, opts, **more", True),
        ("self, *args", True),
        ("self, opts, *args", True),
    ],
)
def test_setup_is_told_apart_by_its_arguments(source: str, both: bool) -> None:
    assert takes_inst(_setup(source)) is both


@pytest.mark.parametrize("source", ["self", "self, a, b, c", "self, opts, *, rate"])
def test_setup_with_other_arguments_is_refused(source: str) -> None:
    with pytest.raises(
        TypeError,
        match=r"D has setup\(self.*\); a driver's is setup\(self, opts\) or setup\(self, inst",
    ):
        takes_inst(_setup(source))


def test_class_without_setup_is_refused() -> None:
    with pytest.raises(TypeError, match="object has no setup"):
        takes_inst(object())


def test_plain_class_must_take_inst() -> None:
    class Lost:
        def setup(self, opts: Any) -> None: ...

    with pytest.raises(TypeError, match="is no SmapDriver, so it cannot reach the tree"):
        takes_inst(Lost())
