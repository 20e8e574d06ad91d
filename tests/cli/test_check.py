"""What ``smapd check`` says of a file without mistakes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from smapd.cli import main

CONFIG = """
[/]
uuid = 75503ac2-abf0-11e0-b7d6-0026bb56ec92
Properties/Timezone = UTC
[/d]
type = smapd.drivers.example.Driver
Rate = 36s
[/d/e]
type = unchecked.Driver
Rate = 9s
[report 0]
ReportDeliveryLocation = http://127.0.0.1:1/a
ReportResource = /+
[report long]
ReportDeliveryLocation = http://127.0.0.1:1/a
ReportResource = /d/+
Keep = 30d
"""

DRIVER = """
from smapd.driver import SmapDriver


class Driver(SmapDriver):
    def setup(self, opts):
        pass
"""


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "unchecked.py").write_text(DRIVER)
    monkeypatch.syspath_prepend(tmp_path)
    file = tmp_path / "a.ini"
    file.write_text(CONFIG)
    return str(file)


def test_check_says_how_long_each_outage_may_last(
    config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """N-10: by the Rate of the drivers, of those without a table of options too."""
    assert main(["check", config]) == 0

    first, *told = capsys.readouterr().out.splitlines()
    assert first == f"{config}: no errors in 5 sections."
    assert told == [
        "[report 0] an outage of 25.0 h loses nothing: 10000 readings of a stream at one each 9 s "
        "(/d/e); [server] MaxBytes has room for 107 million readings, enough for 1,200 a second.",
        "[report long] an outage of 720 h loses nothing: Keep; [server] MaxBytes has room for 107 "
        "million readings, enough for 41 a second.",
    ]


def test_check_tells_programs_too(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--json", config]) == 0

    assert json.loads(capsys.readouterr().out)["outages"] == {
        "report 0": {"hours": 25.0, "bound": "MaxReadings", "readings": 107_374_182},
        "report long": {"hours": 720.0, "bound": "Keep", "readings": 107_374_182},
    }


def test_check_finds_the_event_modules_that_a_start_would_miss(
    config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with open(config, "a") as f:
        f.write("[server]\nEventModules = no_such_module,\n")

    assert main(["check", config]) == 78

    first, count = capsys.readouterr().err.splitlines()
    assert first.startswith(f"{config}: [server] EventModules: the event module no_such_module ")
    assert count == "1 problem; nothing was started."


OTHERS = """
[/]
uuid = 75503ac2-abf0-11e0-b7d6-0026bb56ec92
[follower f]
type = nix.F
[integrator g]
type = smapd.twin.ThingRunne
[agent edge]
Handlers = acmecorp.handlers, smapd.desired.builtin.handlers
[connector c]
type = vantiq
TargetServer = http://localhost:1
AuthToken = x
Sources = a
Handler = os.path
"""


def test_code_that_cannot_be_imported_is_a_warning_as_its_section_alone_stops(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "a.ini"
    file.write_text(OTHERS)

    assert main(["check", str(file)]) == 0

    out, err = capsys.readouterr()
    assert "no errors in 5 sections" in out
    last = "The daemon starts without this section."
    assert err.splitlines() == [
        f"{file}:4: warning: [follower f] type = nix.F: there is no module nix. {last}",
        f"{file}:6: warning: [integrator g] type = smapd.twin.ThingRunne: there is no such class. "
        + last,
        f"{file}:8: warning: [agent edge] Handlers = acmecorp.handlers: there is no module "
        f"acmecorp. {last}",
        f"{file}:10: warning: [connector c] Handler = os.path: it is a module, and no class. "
        + last,
    ]


def test_two_agents_of_one_name_are_an_error_as_they_are_at_the_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "a.ini"
    file.write_text(OTHERS + "[agent b]\nAgents = edge,\n[agent ../x]\n")

    assert main(["check", str(file)]) == 78

    err = capsys.readouterr().err
    assert f"{file}:16: [agent b] Agents: edge is served by [agent edge] already" in err
    assert f"{file}:18: [agent ../x] '../x' is no name of an agent" in err
