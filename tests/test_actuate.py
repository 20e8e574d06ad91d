"""What driver authors make actuators from: sMAP's names and calls, in a driver and in a daemon."""

from __future__ import annotations

import json
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest

from smapd import actuate
from smapd.actuate import (
    BinaryActuator,
    ContinuousActuator,
    ContinuousIntegerActuator,
    IntegerActuator,
    NStateActuator,
    SmapActuator,
)
from smapd.driver import SmapDriver
from smapd.testing import DaemonProcess, DriverCase

ROOT = "[/]\nuuid = 75503ac2-abf0-11e0-b7d6-0026bb56ec92\nProperties/Timezone = UTC\n"


def test_the_names_are_smaps() -> None:
    """SM-33: what the documentation of sMAP lists, and its base."""
    names = {name for name in actuate.__all__ if name.endswith("Actuator")}

    assert names == {
        "BinaryActuator",
        "ContinuousActuator",
        "ContinuousIntegerActuator",
        "IntegerActuator",
        "NStateActuator",
        "SmapActuator",
    }


class Thermo(SmapActuator):
    """One half of an actuator, as the original's drivers mix it in."""

    def __init__(self, **opts: Any) -> None:
        self.opts = opts
        self.value = "2.0"

    def get_state(self, request: Any) -> Any:
        return self.parse_state(float(self.value))

    def set_state(self, request: Any, state: Any) -> Any:
        self.value = str(state)
        return state


class Mode(Thermo, NStateActuator):
    def __init__(self, **opts: Any) -> None:
        NStateActuator.__init__(self, opts["states"])
        Thermo.__init__(self, **opts)


class Heat(Thermo, ContinuousActuator):
    def __init__(self, **opts: Any) -> None:
        ContinuousActuator.__init__(self, opts["range"])
        Thermo.__init__(self, **opts)


class Fan(Thermo, ContinuousIntegerActuator):
    def __init__(self, **opts: Any) -> None:
        ContinuousIntegerActuator.__init__(self, opts["range"])
        Thermo.__init__(self, **opts)


class Lamp(BinaryActuator):
    """Needs no base __init__."""

    def get_state(self, request: Any) -> int:
        return 1


class Counter(IntegerActuator):
    def get_state(self) -> int:
        return 2**40


class Building(SmapDriver):
    """One of each kind."""

    def setup(self, opts: Any) -> None:
        self.made = [
            self.add_actuator("/mode", "", Mode(states=[0, 1, 2]), write_limit=5),
            self.add_actuator("/heat", "F", Heat(range=(45.0, 95.0)), data_type="double"),
            self.add_actuator("/fan", "%", Fan(range=(0, 100))),
            self.add_actuator("/lamp", "on/off", Lamp()),
            self.add_actuator("/counter", "", Counter()),
        ]


class Actuators(DriverCase):
    """A driver's actuators, without a daemon."""

    path = "/building"

    def test_classes_that_mix_in_half_an_actuator_work(self) -> None:
        """SM-33: whichever base comes first."""
        driver = self.load(Building)

        states = [stream.actuator.get(None) for stream in driver.made]

        self.assertEqual(states, [2, 2.0, 2, 1, 2**40])
        self.assertEqual([type(s) for s in states], [int, float, int, int, int])

    def test_each_is_described_as_the_original_does(self) -> None:
        """SM-33: the key Actuator."""
        driver = self.load(Building)

        self.assertEqual(
            [stream["Actuator"] for stream in driver.made],
            [
                {"Model": "discrete", "Values": [0, 1, 2]},
                {"Model": "continuous", "MinValue": 45.0, "MaxValue": 95.0},
                {"Model": "continuousInteger", "States": [0, 100]},
                {"Model": "binary", "States": [["0", "off"], ["1", "on"]]},
                {"Model": "integer"},
            ],
        )

    def test_each_has_the_type_that_its_states_need(self) -> None:
        """SM-33: without a data_type."""
        driver = self.load(Building)

        types = [stream.data_type for stream in driver.made]
        self.assertEqual(types, ["long", "double", "long", "long", "long"])

    def test_a_drivers_actuators_are_called_as_its_code(self) -> None:
        """SM-33: by its owner; on the reactor if it asked for that."""
        self.load(Building)
        calls = self.scope.calls
        self.assertEqual((calls.on_reactor, calls.run), (False, self._owner.run))

        class OnReactor(Building):
            ON_REACTOR = True

        self.setUp()
        self.load(OnReactor)
        self.assertTrue(self.scope.calls.on_reactor)


DRIVER = """
    import time
    from smapd.actuate import BinaryActuator
    from smapd.driver import SmapDriver

    class Lamp(BinaryActuator):
        def __init__(self, hangs_s=0):
            self.state, self.hangs_s = 0, hangs_s

        def get_state(self, request):
            time.sleep(self.hangs_s)
            return self.state

        def set_state(self, request, state):
            time.sleep(self.hangs_s)
            self.state = state

    class Lamps(SmapDriver):
        def setup(self, opts):
            for i in range(int(opts["Count"])):
                lamp = Lamp(float(opts["Hangs"]))
                self.add_actuator("/lamp%d" % i, "on/off", lamp, timeout_s=0.5)
"""


@pytest.fixture
def drivers(tmp_path: Path) -> Path:
    """A folder with the driver."""
    (tmp_path / "lamps.py").write_text(textwrap.dedent(DRIVER))
    return tmp_path


@pytest.mark.real
def test_actuators_that_hang_keep_nobody_waiting(drivers: Path) -> None:
    """SM-33: twenty of one driver, more than there are threads; then the stop."""
    config = ROOT + (
        "[/bad]\ntype = lamps.Lamps\nCount = 20\nHangs = 600\n"
        "[/good]\ntype = lamps.Lamps\nCount = 1\nHangs = 0\n"
    )
    with DaemonProcess(config, path=[drivers]) as daemon:
        first = daemon.request("PUT", "/data/bad/lamp0?state=1")
        assert (first.status, first.json()["error"]) == (504, "actuation_timeout")
        all_of_them = daemon.get("/data/+").json()
        errors = [node.get("Error", "") for path, node in all_of_them.items() if "lamp" in path]

        took = []
        for state in (1, 0) * 5:
            since = time.monotonic()
            answer = daemon.request("PUT", f"/data/good/lamp0?state={state}")
            took.append(time.monotonic() - since)
            assert (answer.status, answer.json()["Readings"][0][1]) == (200, state)
        again = daemon.get("/data/bad/lamp1")
        status = daemon.get("/status").json()["actuation"]

        assert all_of_them["/good/lamp0"]["Readings"][0][1] == 0
        hung = sum("has not returned" in error for error in errors)
        assert 8 <= hung < 12  # four at once; the eighth that hangs is noticed when it does
        assert sum("other calls of its driver hang" in error for error in errors) == 20 - hung
        assert sorted(took)[5] < 0.25  # a hanging one takes 0.5 s
        assert again.status == 504
        assert "takes no other call" in again.json()["message"]
        assert (len(status["hanging"]), status["hangs"]) == (hung, hung)
        assert daemon.stop() == 0


@pytest.mark.real
def test_what_was_set_is_a_reading_and_a_job_runs_in_a_daemon(drivers: Path) -> None:
    """SM-33, SM-34: on real threads."""
    config = ROOT + "[/good]\ntype = lamps.Lamps\nCount = 2\nHangs = 0\n"
    with DaemonProcess(config, path=[drivers]) as daemon:
        before = daemon.get("/status").json()["tree"]["readings"]
        daemon.request("PUT", "/data/good/lamp0?state=1")
        assert daemon.get("/status").json()["tree"]["readings"] == before + 1

        body = [{"Actions": [{"Path": "/good/lamp1", "State": 1}]}]
        [uuid] = daemon.request("PUT", "/jobs", json.dumps(body).encode()).json()
        for _ in range(200):
            [job] = daemon.get("/jobs?full=1").json()
            if job["State"] == "done":
                break
            time.sleep(0.01)  # for the thread that sets it

        assert (job["uuid"], job["State"]) == (uuid, "done")
        assert daemon.get("/data/good/lamp1").json()["Readings"][0][1] == 1
