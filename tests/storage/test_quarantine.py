"""quarantine/ is looked at, never emptied."""

from pathlib import Path

from smapd.storage import quarantined_in


def test_what_lies_there_is_counted(tmp_path: Path) -> None:
    """SM-29, P-12."""
    home = tmp_path / "quarantine"
    assert quarantined_in(home).status() == {"files": 0, "bytes": 0}
    home.mkdir()
    (home / "readings-0001-0.db").write_bytes(bytes(2048))
    (home / "readings-0001-0.db-wal").write_bytes(bytes(100))
    (home / "gone").symlink_to(tmp_path / "nowhere")

    found = quarantined_in(home)

    assert found.files == 3
    assert found.size_bytes == 2148 + len(str(tmp_path / "nowhere"))
    assert len(list(home.iterdir())) == 3
