"""quarantine/ is shown, and kept within QuarantineBytes; what is not ours stays."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest
from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs, formatEvent

from smapd.assembly.keeping import LOOK_S, Keeping
from smapd.storage import TABLES, Control, Quarantine, Quarantined
from smapd.storage.quarantine import set_aside
from smapd.storage.segment_files import files
from smapd.testing import FakeRuntime
from tests.storage.events_life import Life, result

KIB = 1024
BLOB = "blob-" + 64 * "a"


def lay(home: Path, sizes: Mapping[str, int]) -> Path:
    """Files of these sizes, each with a later time of change than the one before."""
    home.mkdir(exist_ok=True)
    probe = home.parent / ".snapshot"  # a name that a data directory overlooks
    for name, size in sizes.items():
        (home / name).write_bytes(bytes(size))
        last = (home / name).stat().st_ctime_ns
        while True:  # the clock of a file system has steps of some ms
            probe.write_bytes(b"")
            if probe.stat().st_ctime_ns > last:
                break
    return home


def names(home: Path) -> set[str]:
    return {path.name for path in home.iterdir()}


def test_what_lies_there_is_counted(tmp_path: Path) -> None:
    """SM-29, P-12."""
    home = tmp_path / "quarantine"
    quarantine = Quarantine(home, 2**20)
    assert quarantine.look() == Quarantined(0, 0)
    lay(home, {"readings-0001-0.db": 2048, "readings-0001-0.db-wal": 100})
    (home / "gone").symlink_to(tmp_path / "nowhere")

    found = quarantine.look()

    assert found.files == 3
    assert found.size_bytes == 2148 + len(str(tmp_path / "nowhere"))
    assert found.status() == {
        "files": 3,
        "bytes": found.size_bytes,
        "gone": 0,
        "gone_bytes": 0,
    }
    assert found.note == ""
    assert len(names(home)) == 3


def test_the_oldest_sets_go_whole_until_the_rest_is_within_the_bound(tmp_path: Path) -> None:
    """The order is that in which they were set aside, not that of their names."""
    home = lay(
        tmp_path / "quarantine",
        {
            "readings-0009-0.db-wal": 10 * KIB,
            "readings-0009-0.db": 30 * KIB,
            BLOB: 20 * KIB,
            "events-0002-1-0.db": 30 * KIB,
            "control-0.db": 10 * KIB,
        },
    )
    quarantine = Quarantine(home, 50 * KIB)

    found = quarantine.look()

    assert names(home) == {"events-0002-1-0.db", "control-0.db"}
    assert found == Quarantined(2, 40 * KIB, gone=2, gone_bytes=60 * KIB, note=found.note)
    assert found.note == (
        f"{home} held 0.1 MiB, and QuarantineBytes is 0.0 MiB: the oldest went, 0.1 MiB in 2: "
        f"readings-0009-0.db, {BLOB}"
    )
    assert quarantine.look() == Quarantined(2, 40 * KIB, gone=2, gone_bytes=60 * KIB)


def test_what_is_within_the_bound_stays(tmp_path: Path) -> None:
    home = lay(tmp_path / "quarantine", {"desired-0.db": 40, "desired-1.db": 60})

    found = Quarantine(home, 100).look()

    assert found == Quarantined(2, 100)
    assert names(home) == {"desired-0.db", "desired-1.db"}


def test_what_is_not_ours_by_name_neither_counts_nor_goes(tmp_path: Path) -> None:
    foreign = {
        "readings-0001-0.db.bak": 100,
        "readings-0001-0.sqlite": 100,
        "my-readings-0001-0.db": 100,
        "readings-1-0.db": 100,
        "readings-0001.db": 100,
        "control.db": 100,
        "control-0.db-old": 100,
        "blob-" + 64 * "A": 100,
        "notes.txt": 100,
        "events-0001-0.db\n": 100,
    }
    home = lay(tmp_path / "quarantine", {**foreign, "events-0001-0.db": 100})
    (home / "readings-0002-0.db").mkdir()
    (home / "readings-0003-0.db").symlink_to(home / "notes.txt")

    stays = Quarantine(home, 100).look()
    goes = Quarantine(home, 99).look()

    assert stays.gone == 0
    assert goes.gone == 1
    assert names(home) == {*foreign, "readings-0002-0.db", "readings-0003-0.db"}


def test_what_was_set_aside_just_now_goes_at_the_next_look(tmp_path: Path) -> None:
    """Who set it aside may still be taking out of it what is sound."""
    home = lay(tmp_path / "quarantine", {"desired-0.db": 10})
    quarantine = Quarantine(home, 50)
    quarantine.look()
    lay(home, {"desired-1.db": 100})

    first = quarantine.look()
    before = names(home)
    second = quarantine.look()

    assert (first.gone, before) == (1, {"desired-1.db"})
    assert (second.gone, second.gone_bytes, names(home)) == (2, 110, set())


def test_a_name_that_is_used_again_is_a_new_set(tmp_path: Path) -> None:
    home = lay(tmp_path / "quarantine", {"desired-0.db": 100})
    quarantine = Quarantine(home, 50)
    assert quarantine.look().gone == 1
    lay(home, {"desired-0.db": 100})

    assert quarantine.look().gone == 1
    assert names(home) == {"desired-0.db"}
    assert quarantine.look().gone == 2


def test_the_log_of_a_set_goes_before_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the file is there its name is taken: no other file gets its log."""
    home = lay(
        tmp_path / "quarantine",
        {"control-0.db": 9, "control-0.db-shm": 9, "control-0.db-wal": 9},
    )
    went: list[str] = []
    unlink = Path.unlink

    def noted(path: Path, missing_ok: bool = False) -> None:
        went.append(path.name)
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", noted)

    Quarantine(home, 0).look()

    assert went == ["control-0.db-wal", "control-0.db-shm", "control-0.db"]


def test_what_cannot_be_removed_is_said_once_and_holds_up_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = lay(tmp_path / "quarantine", {"control-0.db": 60, "control-1.db": 60, "control-2.db": 9})
    unlink = Path.unlink

    def refused(path: Path, missing_ok: bool = False) -> None:
        if path.name == "control-0.db":
            raise PermissionError(1, "Operation not permitted", str(path))
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", refused)
    quarantine = Quarantine(home, 80)

    first, second = quarantine.look(), quarantine.look()
    lay(home, {"control-3.db": 30})
    quarantine.look()
    third = quarantine.look()

    assert first.note.endswith(
        f"what should go stays: {home}/control-0.db: Operation not permitted"
    )
    assert "the oldest went" in first.note
    assert second.note == ""
    assert "stays" not in third.note
    assert names(home) == {"control-0.db"}
    assert third.gone == 3


def test_all_that_is_set_aside_has_a_name_that_counts(tmp_path: Path) -> None:
    """Segments, mended ones too, with their log; and the definitions."""
    life = Life(tmp_path / "a")
    life.publish("a", 3)
    path = tmp_path / "0007-2.db"
    aside = tmp_path / "quarantine"
    for name in ("0007-2.db", "0007-2.db-wal", "0007-2.db-shm"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "a" / "events" / "0001-1.db").write_bytes(
        (tmp_path / "a" / "events" / "0001.db").read_bytes()
    )

    first = set_aside(path, aside, f"readings-{path.stem}")
    path.write_bytes(b"x")
    set_aside(path, aside, f"readings-{path.stem}")
    files(tmp_path / "a" / "events", aside, "events")  # 0001.db has a mended copy: it is set aside
    control = Control(tmp_path, aside)
    control.open()
    control.put("report", "a", {})
    control.close()
    (tmp_path / "control.db").write_bytes(b"x" * 5000)
    control.open()
    control.close()

    assert first == aside / "readings-0007-2-0.db"
    assert names(aside) == {
        "readings-0007-2-0.db",
        "readings-0007-2-0.db-wal",
        "readings-0007-2-1.db",
        "events-0001-0.db",
        "events-0001-0.db-wal",
        "control-0.db",
    }
    assert not os.path.exists(f"{path}-shm")
    assert Quarantine(aside, 0).look().gone == 4
    assert names(aside) == set()
    life.store.shelf.close()


def test_a_quarter_of_a_gibibyte_is_kept_unless_set_otherwise() -> None:
    values, problems = TABLES[0].parse({})
    assert problems == []
    assert values["QuarantineBytes"] == 256 * 2**20

    values, problems = TABLES[0].parse({"QuarantineBytes": "0"})
    assert (values["QuarantineBytes"], problems) == (0, [])


def test_the_daemon_says_in_one_line_what_went_and_counts_it(tmp_path: Path) -> None:
    """SM-29, P-12: at the start, and again when more came; nothing is said of what stays."""
    data = tmp_path / "data"
    data.mkdir()
    home = lay(data / "quarantine", {"control-0.db": 70, "readings-0001-0.db": 60})
    values, _ = TABLES[0].parse({"QuarantineBytes": "100"})
    run = FakeRuntime()
    keeping = Keeping(run, data, values)
    with capturedLogs() as logs:
        keeping.open_data_dir()
        result(Deferred.fromCoroutine(keeping.open_control()))
        keeping.watch()
        run.advance(2 * LOOK_S)
        started = keeping.about_quarantine()
        lay(home, {"desired-0.db": 80})
        run.advance(3 * LOOK_S)
    keeping.unwatch()
    result(keeping.close_control())
    keeping.data_dir.close()

    assert started == {"files": 1, "bytes": 60, "gone": 1, "gone_bytes": 70}
    assert keeping.about_quarantine() == {"files": 1, "bytes": 80, "gone": 2, "gone_bytes": 130}
    said = [formatEvent(event) for event in logs if "QuarantineBytes" in formatEvent(event)]
    assert [line.rpartition(": ")[2] for line in said] == ["control-0.db", "readings-0001-0.db"]


def test_a_set_that_takes_the_name_of_one_that_was_removed_is_a_new_one(tmp_path: Path) -> None:
    """Who set it aside just now may still take out of it what is sound."""
    home = lay(tmp_path / "quarantine", {"desired-0.db": KIB})
    quarantine = Quarantine(home, 2 * KIB)
    quarantine.look()
    quarantine.look()

    (home / "desired-0.db").unlink()
    lay(home, {"desired-0.db": 10 * KIB})

    assert quarantine.look().gone == 0
    assert quarantine.look().gone == 1
