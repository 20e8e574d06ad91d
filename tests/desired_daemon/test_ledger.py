"""Results are durable before anything goes on behind them; a full disk is waited out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
from twisted.internet.defer import Deferred

from smapd.desired.actions import MOST_BYTES, MOST_LOGS, AgentLogs, bounded
from smapd.desired.ledger import Ledger
from smapd.desired.store import POOL, Store
from smapd.errors import ShutdownRequested
from smapd.runtime import PoolSize
from smapd.testing import FakeRuntime


class Desk:
    """A ledger on a real store and fake time."""

    def __init__(self, home: Path) -> None:
        self.run = FakeRuntime(pools={POOL: PoolSize(kept=1, most=1)})
        self.store = Store(home, home / "quarantine")
        self.store.open()
        self.told: list[int] = []
        self.ledger = Ledger(
            self.store,
            AgentLogs(home / "log"),
            self.run.threads,
            self.run.clock,
            self.run.backoff(),
            self.run.faults,
            lambda action: self.told.append(action["seq"]),
        )
        self.ledger.start()

    def action(self, **more: Any) -> int:
        return self.ledger.action({**ACTION, **more})


ACTION: dict[str, Any] = {
    "resource": "r",
    "agent": "edge",
    "version": 1,
    "deploy": 1,
    "kind": "deploy",
    "began_ms": 1,
    "ended_ms": 2,
    "status": "deployed",
    "change": "nochange",
    "changes": {},
    "logs": [],
}


@pytest.fixture
def desk(tmp_path: Path) -> Any:
    made = Desk(tmp_path)
    yield made
    made.run.clock.stop()
    made.store.close()


def fill_disk(desk: Desk, is_full: bool) -> None:
    db = desk.store._open()
    (pages,) = db.execute("PRAGMA page_count").fetchone()
    db.execute(f"PRAGMA max_page_count = {pages if is_full else 1_000_000}").fetchall()


def test_what_comes_while_a_commit_runs_goes_together(desk: Desk) -> None:
    desk.run.threads.hold(POOL)
    first = desk.ledger.durable()
    more = []
    for _ in range(50):
        desk.action()
        more.append(desk.ledger.durable())

    assert not first.called
    desk.run.threads.let_go(POOL)

    assert all(one.called for one in (first, *more))
    assert desk.ledger.commits == 2
    assert desk.told == list(range(1, 51))
    assert len(list(desk.store.actions("r"))) == 50


def test_a_full_disk_is_waited_out(desk: Desk) -> None:
    fill_disk(desk, True)
    for _ in range(500):
        desk.action(logs=[{"ms": 1, "level": "info", "message": "x" * 200, "kwargs": {}}])
    kept = desk.ledger.durable()
    desk.ledger.fact("r", "watts", {"value": 1})

    desk.run.advance(30)
    assert not kept.called
    assert "full" in desk.ledger.error
    assert desk.told == []
    assert any("cannot be kept" in fault["text"] for fault in desk.run.faults.status())
    fill_disk(desk, False)
    desk.run.advance(60)

    assert kept.called
    assert len(desk.told) == 500
    assert desk.store.facts("r") == {"watts": {"value": 1}}
    assert (desk.ledger.error, desk.run.faults.status()) == ("", [])


def test_a_stop_with_a_full_disk_ends(desk: Desk) -> None:
    fill_disk(desk, True)
    for _ in range(500):
        desk.action(logs=[{"ms": 1, "level": "info", "message": "x" * 200, "kwargs": {}}])
    kept = desk.ledger.durable()
    failed: list[Any] = []
    kept.addErrback(failed.append)

    stopped = desk.ledger.stop()

    assert stopped.called
    assert isinstance(failed[0].value, ShutdownRequested)
    assert "full" in str(failed[0].value)


def test_a_stop_keeps_what_was_given(desk: Desk) -> None:
    desk.action()

    stopped: Deferred[None] = desk.ledger.stop()

    assert stopped.called
    assert len(list(desk.store.actions("r"))) == 1


def test_numbers_go_on_after_a_restart(tmp_path: Path) -> None:
    first = Desk(tmp_path)
    first.action()
    first.ledger.durable()
    first.store.close()

    again = Desk(tmp_path)

    assert again.action() == 2
    again.store.close()


def test_a_long_log_keeps_its_begin_and_end() -> None:
    logs = [
        {"ms": n, "level": "info", "message": str(n), "kwargs": {}} for n in range(MOST_LOGS * 2)
    ]

    kept = bounded({**ACTION, "logs": logs})["logs"]

    assert len(kept) == MOST_LOGS + 1
    assert (kept[0], kept[-1]) == (logs[0], logs[-1])
    assert kept[MOST_LOGS // 2]["message"] == f"{MOST_LOGS} records of this log were left out."


def test_what_is_too_large_keeps_its_state() -> None:
    kept = bounded({**ACTION, "changes": {"text": {"current": "", "desired": "x" * 2_000_000}}})

    assert (kept["status"], kept["changes"]) == ("deployed", {})
    assert "too many to keep" in kept["logs"][0]["message"]


def test_a_log_that_is_too_large_keeps_its_ends_and_the_differences() -> None:
    logs = [
        {"ms": n, "level": "info", "message": "x" * 30_000, "kwargs": {"n": n}} for n in range(100)
    ]
    changes = {"level": {"current": 1, "desired": 2}}

    kept = bounded({**ACTION, "changes": changes, "logs": logs})

    assert kept["changes"] == changes
    assert (kept["logs"][0], kept["logs"][-1]) == (logs[0], logs[-1])
    (note,) = [one for one in kept["logs"] if one["level"] == "warning"]
    assert f"{101 - len(kept['logs'])} records of its log were left out" in note["message"]
    assert len(orjson.dumps(kept)) <= MOST_BYTES


def test_a_model_s_agents_fill_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A version may name a hundred thousand agents, and none of them need ever come."""
    monkeypatch.setattr("smapd.desired.actions._MOST_FILES", 3)
    record = {"ms": 1_000, "level": "info", "message": "none there", "kwargs": {}}
    logs = AgentLogs(tmp_path / "log")

    for n in range(9):
        logs.write([{**ACTION, "agent": f"ghost{n}", "logs": [record]}])
    AgentLogs(tmp_path / "log").write([{**ACTION, "agent": "ghost0", "logs": [record]}])

    names = sorted(file.name for file in (tmp_path / "log").iterdir())
    assert names == [*[f"agent-ghost{n}.log" for n in range(3)], "agent-others.log"]
    assert len((tmp_path / "log" / "agent-others.log").read_text().splitlines()) == 6
    assert len((tmp_path / "log" / "agent-ghost0.log").read_text().splitlines()) == 2


def test_an_agent_s_log_file_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """IM-31: files of one size, four of them; a name cannot lead out of the folder."""
    monkeypatch.setattr("smapd.desired.actions._FILE_BYTES", 1_000)
    logs = AgentLogs(tmp_path / "log")
    record = {"ms": 1_000, "level": "info", "message": "two\nlines", "kwargs": {"traceback": "T"}}

    for _ in range(200):
        logs.write([{**ACTION, "agent": "../x", "logs": [record]}])

    names = sorted(file.name for file in (tmp_path / "log").iterdir())
    assert set(names) - {"agent-_x.log"} == {f"agent-_x.log.{n}" for n in (1, 2, 3)}
    text = (tmp_path / "log" / "agent-_x.log.1").read_text()
    assert text.startswith("1970-01-01T00:00:01.000Z info [r] two\\nlines\n    T\n")
