"""desired/services.py: calls from an agent's threads to the reactor's, and their answers."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail

from smapd.desired import AgentSide, CRUDHandler
from smapd.desired import services as module
from smapd.desired.services import ActuatorService, ReportService, service, services
from smapd.errors import DeviceFailed, NotReady
from smapd.runtime.program import spawn
from smapd.testing import FakeThreads
from smapd.testing.clocks import FakeClock


class Late:
    """Actuators that answer when the test says."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.waiting: Deferred[Any] = Deferred()

    def get(self, path: str) -> Deferred[Any]:
        self.asked.append(("get", path))
        return self.waiting

    def set(self, path: str, text: str) -> Deferred[Any]:
        self.asked.append(("set", path, text))
        return fail(DeviceFailed("it does not obey"))


def actuators(late: Any) -> ActuatorService:
    tree: Any = {}
    return ActuatorService(FakeThreads(FakeClock()), late, tree)


@pytest.mark.real
def test_a_call_waits_for_what_its_deferred_gives() -> None:
    late, got = Late(), []
    thread = spawn("test", lambda: got.append(actuators(late).get("/a")))
    while not late.asked:
        pass
    assert got == []

    late.waiting.callback(7)

    assert thread.join(10)
    assert got == [7]


def test_what_the_deferred_fails_with_is_raised_here() -> None:
    with pytest.raises(DeviceFailed, match="it does not obey"):
        actuators(Late()).set("/a", "1")


def test_a_daemon_that_never_answers_holds_nobody_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "LIMIT_S", 0.01)

    with pytest.raises(NotReady, match="smapd gave no answer to one of its own handlers"):
        actuators(Late()).get("/a")


def test_a_handler_finds_what_its_agent_has_and_nothing_of_another_kind() -> None:
    part: Any = Late()
    known = services(FakeThreads(FakeClock()), part, part, part)
    handler = CRUDHandler(AgentSide("edge", services=known))

    assert service(handler, "actuators", ActuatorService) is known["actuators"]
    assert service(handler, "actuators", ReportService) is None
    assert service(handler, "lifts", ReportService) is None
    assert service(CRUDHandler(), "actuators", ActuatorService) is None
