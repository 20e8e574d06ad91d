"""The life of a program, step by step."""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from smapd.errors import ConfigError, NotConnected
from smapd.runtime.program import Flag, spawn
from smapd.testing import FakePeer
from smapd.twin import (
    Client,
    FollowerCallbacks,
    Integrator,
    IntegratorCallbacks,
    MissingCallback,
    NamedEventMixin,
    RetryingThingRunner,
    RunContext,
    ShutdownRequested,
    ThingRunner,
)
from tests.twin.programs import no_thread, until


class Steps(ThingRunner):
    """Keeps what was called; does what the test says."""

    def __init__(self, retry_timeout: float = 0, **does: Callable[[], Any]) -> None:
        self.peer = FakePeer()
        client = Client(name="steps", link=self.peer, spawn=no_thread)
        super().__init__(retry_timeout=retry_timeout, client=client)
        self.steps: list[str] = []
        self.exc_infos: list[Any] = []
        self.contexts: list[RunContext] = []
        self.does = does

    def _do(self, step: str) -> Any:
        self.steps.append(step)
        return self.does.get(step, lambda: None)()

    def on_startup(self) -> None:
        self._do("startup")

    def main(self) -> None:
        self._do("main")

    def on_shutdown(self, exc_info: Any) -> Any:
        self.exc_infos.append(exc_info)
        return self._do("shutdown")

    def on_exception(self, ctx: RunContext, exc_info: Any) -> Any:
        self.contexts.append(ctx)
        return self._do("exception")


def failing(*errors: BaseException | None) -> Callable[[], None]:
    """Raises these one after another, and then nothing."""
    left = list(errors)

    def do() -> None:
        error = left.pop(0) if left else None
        if error is not None:
            raise error

    return do


def test_startup_main_and_shutdown_come_in_this_order() -> None:
    """IN-02, IN-03, IN-05, FO-02: a life without a fault."""
    runner = Steps()

    runner.run()

    assert (runner.steps, runner.exc_infos) == (["startup", "main", "shutdown"], [None])
    assert runner.shutdown_requested


def test_the_client_is_there_and_connected_from_startup_to_shutdown() -> None:
    """IN-13: self.client exists after __init__."""
    seen: list[bool] = []
    runner = Steps(
        startup=lambda: seen.append(runner.client.is_connected),
        shutdown=lambda: seen.append(runner.client.is_connected),
    )
    assert isinstance(runner.client, Client)

    runner.run()

    assert seen == [True, True]
    assert not runner.client.is_connected


def test_a_failed_startup_is_raised_and_nothing_else_is_called() -> None:
    """IN-07: the error comes out of run()."""
    runner = Steps(startup=failing(ValueError("no device")))

    with pytest.raises(ValueError, match="no device"):
        runner.run()

    assert runner.steps == ["startup", "exception"]
    assert runner.contexts == [RunContext.ON_STARTUP]


def test_mains_error_goes_to_shutdown_as_a_triple_and_is_raised_again() -> None:
    """IN-08, IN-09: a false answer of on_shutdown lets it out."""
    error = ValueError("broken")
    runner = Steps(main=failing(error))

    with pytest.raises(ValueError, match="broken"):
        runner.run()

    kind, value, trace = runner.exc_infos[0]
    assert (kind, value) == (ValueError, error)
    assert trace is not None
    assert runner.steps == ["startup", "main", "exception", "shutdown"]


def test_a_true_answer_of_shutdown_swallows_mains_error() -> None:
    """IN-09."""
    runner = Steps(main=failing(ValueError("broken")), shutdown=lambda: True)

    runner.run()

    assert runner.exc_infos[0][0] is ValueError


def test_a_true_answer_of_on_exception_tries_main_again_without_startup() -> None:
    """IN-06, IN-11: the failed step is tried again, on_startup is not."""
    runner = Steps(main=failing(ValueError("once"), ValueError("twice")), exception=lambda: True)

    runner.run()

    assert runner.steps == ["startup", "main", "exception", "main", "exception", "main", "shutdown"]
    assert runner.exc_infos == [None]


def test_a_true_answer_of_on_exception_tries_startup_again() -> None:
    """IN-11: the failed step."""
    runner = Steps(startup=failing(ValueError("once")), exception=lambda: True)

    runner.run()

    assert runner.steps == ["startup", "exception", "startup", "main", "shutdown"]


def test_a_stop_in_the_pause_before_a_retry_still_shuts_down() -> None:
    """IN-11: what was started is stopped."""
    runner = Steps(
        retry_timeout=60,
        main=failing(ValueError("once")),
        exception=lambda: spawn("stops", lambda: runner.stop(0)) is not None,
    )

    runner.run()

    assert runner.steps == ["startup", "main", "exception", "shutdown"]
    assert runner.exc_infos == [None]


def test_ctrl_c_in_main_is_a_clean_end() -> None:
    """IN-12: on_shutdown(None), and on_exception is not asked."""
    runner = Steps(main=failing(KeyboardInterrupt()))

    runner.run()

    assert (runner.steps, runner.exc_infos) == (["startup", "main", "shutdown"], [None])


def test_an_error_of_on_shutdown_is_logged_alone(caplog: pytest.LogCaptureFixture) -> None:
    """IN-05: it does not come out of run()."""
    runner = Steps(shutdown=failing(ValueError("cannot close")))

    runner.run()

    assert "cannot close" in caplog.text


def test_an_error_of_on_shutdown_does_not_hide_mains(caplog: pytest.LogCaptureFixture) -> None:
    """IN-09."""
    runner = Steps(main=failing(ValueError("first")), shutdown=failing(ValueError("second")))

    with pytest.raises(ValueError, match="first"):
        runner.run()

    assert "second" in caplog.text


def test_an_error_of_on_exception_counts_as_no(caplog: pytest.LogCaptureFixture) -> None:
    """IN-11."""
    runner = Steps(main=failing(ValueError("first")), exception=failing(ValueError("second")))

    with pytest.raises(ValueError, match="first"):
        runner.run()

    assert "second" in caplog.text


def test_sys_exit_in_main_still_shuts_down() -> None:
    """IN-08: whatever ends main, on_shutdown comes."""
    runner = Steps(main=failing(SystemExit(3)))

    with pytest.raises(SystemExit):
        runner.run()

    assert runner.steps[-1] == "shutdown"


def test_wait_for_shutdown_is_false_on_timeout_and_true_once_asked() -> None:
    """IN-04."""
    runner = Steps()

    assert runner.wait_for_shutdown(0) is False
    runner.stop()
    assert runner.wait_for_shutdown(0) is True
    assert runner.wait_for_shutdown() is True


def test_a_second_run_while_it_runs_is_refused_and_after_a_stop_it_runs_again() -> None:
    """IN-10."""
    runner = Steps(main=lambda: pytest.raises(RuntimeError, runner.run))
    runner.run()

    runner.does["main"] = lambda: None
    runner.run()

    assert runner.steps == ["startup", "main", "shutdown"] * 2


@pytest.mark.real
def test_in_the_background_run_returns_at_once_and_stop_tells_whether_it_ended() -> None:
    """IN-10: run(background=True), stop(timeout)."""
    runner = Steps(main=lambda: runner.wait_for_shutdown(30))

    runner.run(background=True)
    until(lambda: "main" in runner.steps)

    assert runner.stop(10) is True
    assert runner.steps == ["startup", "main", "shutdown"]
    assert runner.stop() is True


@pytest.mark.real
def test_stop_says_no_while_main_does_not_end() -> None:
    """IN-10."""
    free = Flag()
    runner = Steps(main=lambda: free.wait(30))

    runner.run(background=True)
    until(lambda: "main" in runner.steps)

    assert runner.stop(0.05) is False
    free.set()
    assert runner.stop(10) is True


@pytest.mark.real
def test_an_error_in_the_background_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """IN-10: nobody else would see it."""
    runner = Steps(main=failing(ValueError("in the dark")))

    with caplog.at_level(logging.ERROR):
        runner.run(background=True)
        until(lambda: "in the dark" in caplog.text)

    assert runner.stop(10)


def test_a_retrying_runner_retries_want_of_a_connection_alone() -> None:
    """IN-11."""

    class Retrying(RetryingThingRunner):
        def __init__(self) -> None:
            super().__init__(client=Client(name="r", link=FakePeer(), spawn=no_thread))

    runner = Retrying()

    for error, again in ((NotConnected(), True), (ValueError(), False)):
        assert runner.on_exception(RunContext.MAIN, (type(error), error, None)) is again


def test_an_integrator_without_a_required_callback_is_an_error_at_start() -> None:
    """IN-01: the sentence names the callbacks."""

    class Lacking(IntegratorCallbacks, ThingRunner):
        def __init__(self) -> None:
            super().__init__(client=Client(name="x", link=FakePeer(), spawn=no_thread))
            self.integrator = Integrator({"t2": True}, self.client, self)

        def on_asset_created(self, asset_id: str) -> None:
            pass

        def on_startup(self) -> None:
            self.integrator.start()

    with pytest.raises(MissingCallback) as caught:
        Lacking().run()

    assert caught.value.message == "Lacking has no on_asset_deleted() and on_t2_request()."


def test_a_follower_without_a_required_callback_is_an_error_at_start() -> None:
    """FO-01: NamedEventMixin stands in for on_event (FO-06)."""
    from smapd.twin import Follower

    class Lacking(FollowerCallbacks):
        def on_asset_created(self, asset_id: str) -> None:
            pass

        def on_asset_deleted(self, asset_id: str) -> None:
            pass

    class Named(NamedEventMixin, Lacking):
        pass

    client = Client(name="x", link=FakePeer(), spawn=no_thread)

    with pytest.raises(MissingCallback, match=r"Lacking has no on_event\(\)"):
        Follower({}, client, Lacking()).start()
    Follower({}, client, Named()).start()


def test_a_config_that_is_no_good_names_the_key() -> None:
    """IN-13."""
    with pytest.raises(ConfigError, match=r"\[thing\] url = ftp://x: not a URL"):
        ThingRunner({"name": "x", "url": "ftp://x"})
    with pytest.raises(ValueError, match="retry_timeout"):
        ThingRunner({"name": "x"}, retry_timeout=-1)


def test_without_a_name_a_thing_is_called_as_its_class() -> None:
    """IN-13."""

    class Pump(ThingRunner):
        pass

    assert Pump().client.name == "Pump"
    assert Pump({"name": "p1"}).client.name == "p1"


def test_shutdown_requested_out_of_a_step_that_was_asked_to_stop_is_a_clean_end() -> None:
    """IN-19: a program need not catch it; unasked it is an error like any other."""

    def stopped() -> None:
        runner.stop(0)
        raise ShutdownRequested("it is stopping")

    runner = Steps(main=stopped)
    runner.run()
    starting = runner = Steps(startup=stopped)
    runner.run()
    unasked = Steps(main=failing(ShutdownRequested("no")))

    with pytest.raises(ShutdownRequested):
        unasked.run()
    assert starting.steps == ["startup"]
    assert unasked.exc_infos[0][0] is ShutdownRequested


PROGRAM = """
import signal
from smapd.testing import FakePeer
from smapd.twin import Client, ThingRunner
class Pump(ThingRunner):
    def main(self):
        print("runs", flush=True)
        print(self.wait_for_shutdown(30), flush=True)
    def on_shutdown(self, exc_info):
        print("ends", exc_info, flush=True)
signal.signal(signal.SIGINT, signal.default_int_handler)  # behind a shell it may be ignored
Pump(client=Client(name="pump", link=FakePeer())).run()
"""


@pytest.mark.real
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_process_that_is_asked_to_end_shuts_down(number: int) -> None:
    """IN-05, IN-12: by SIGTERM, as systemd does, and by Ctrl-C."""
    child = subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert child.stdout is not None
    try:
        assert child.stdout.readline() == "runs\n"
        child.send_signal(number)
        said = child.stdout.read()
        assert child.wait(20) == 0
    finally:
        child.kill()
        child.wait()
        child.stdout.close()

    assert said == "True\nends None\n" if number == signal.SIGTERM else said == "ends None\n"
