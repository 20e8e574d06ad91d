import errno
import os
import pathlib
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from smapd.errors import DataDirInUse, DataDirUnusable, SmapError
from smapd.storage import FORMAT, Control, Daemon, DataDir, datadir

HOLD = """
import sys
from smapd.storage import DataDir
DataDir(sys.argv[1]).open()
print("open", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path: pathlib.Path) -> pathlib.Path:
    return tmp_path / "data"


@pytest.fixture
def opened(path: pathlib.Path) -> Iterator[DataDir]:
    directory = DataDir(path)
    directory.open()
    yield directory
    directory.close()


@pytest.fixture
def holder(path: pathlib.Path) -> Iterator["subprocess.Popen[str]"]:
    """Another process that has the data directory open."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        yield process
        process.kill()


def test_a_missing_directory_is_made_with_its_parents_for_this_user_alone(
    tmp_path: pathlib.Path,
) -> None:
    directory = DataDir(tmp_path / "a" / "b")

    directory.open()

    assert (tmp_path / "a" / "b").stat().st_mode & 0o7777 == 0o700
    assert (tmp_path / "a" / "b" / "LOCK").stat().st_mode & 0o7777 == 0o600
    directory.close()


def test_an_empty_directory_that_others_could_read_is_closed_to_them(path: pathlib.Path) -> None:
    path.mkdir(0o755)
    directory = DataDir(path)

    directory.open()

    assert path.stat().st_mode & 0o7777 == 0o700
    directory.close()


def test_a_mode_given_to_a_directory_in_use_before_is_kept(path: pathlib.Path) -> None:
    directory = DataDir(path)
    directory.open()
    directory.close()
    path.chmod(0o750)

    directory.open()

    assert path.stat().st_mode & 0o7777 == 0o750
    directory.close()


def test_lock_holds_the_pid_while_open(opened: DataDir) -> None:
    assert (opened.path / "LOCK").read_text() == f"{os.getpid()}\n"

    opened.close()

    assert (opened.path / "LOCK").read_text() == ""


def test_a_second_start_names_the_pid_of_the_first(opened: DataDir) -> None:
    """SM-40: within one process too, as the flock belongs to the open file."""
    with pytest.raises(DataDirInUse) as caught:
        DataDir(opened.path).open()

    assert caught.value.message == (
        f"data directory {opened.path} is in use by the smapd with pid {os.getpid()}."
    )
    assert "--data-dir" in caught.value.hint


def test_a_refused_start_leaves_the_first_as_it_is(opened: DataDir) -> None:
    with pytest.raises(DataDirInUse):
        DataDir(opened.path).open()

    assert (opened.path / "LOCK").read_text() == f"{os.getpid()}\n"
    with pytest.raises(DataDirInUse):
        DataDir(opened.path).open()


def test_removing_lock_by_hand_lets_no_second_one_in(opened: DataDir) -> None:
    """SM-40"""
    (opened.path / "LOCK").unlink()

    with pytest.raises(DataDirInUse) as caught:
        DataDir(opened.path).open()

    assert caught.value.message.endswith("is in use by another smapd.")


def test_two_directories_serve_two_daemons(tmp_path: pathlib.Path) -> None:
    """SM-40"""
    one, two = DataDir(tmp_path / "one"), DataDir(tmp_path / "two")

    one.open()
    two.open()

    assert one.is_open
    assert two.is_open
    one.close()
    two.close()


def test_close_lets_the_next_one_in(opened: DataDir) -> None:
    opened.close()

    with_next = DataDir(opened.path)
    with_next.open()

    assert with_next.is_open
    with_next.close()


def test_opening_and_closing_twice_does_nothing(opened: DataDir) -> None:
    opened.open()
    opened.close()
    opened.close()

    assert not opened.is_open


@pytest.mark.real
def test_another_process_is_refused_by_pid(
    path: pathlib.Path, holder: "subprocess.Popen[str]"
) -> None:
    """SM-40"""
    with pytest.raises(DataDirInUse, match=f"pid {holder.pid}"):
        DataDir(path).open()


@pytest.mark.real
def test_a_killed_daemon_leaves_no_lock_behind(
    path: pathlib.Path, holder: "subprocess.Popen[str]"
) -> None:
    """SM-40"""
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait(10)
    directory = DataDir(path)

    directory.open()

    assert (path / "LOCK").read_text() == f"{os.getpid()}\n"
    directory.close()


@pytest.mark.real
def test_a_child_process_does_not_keep_the_lock(opened: DataDir) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", "print('up', flush=True); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        close_fds=False,
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        opened.close()

        again = DataDir(opened.path)
        again.open()

        again.close()
        child.kill()


def test_the_format_is_written_down(opened: DataDir) -> None:
    assert (opened.path / "VERSION").read_text() == f"smapd data {FORMAT}\n"


def test_data_of_a_newer_smapd_is_refused_and_left_alone(opened: DataDir) -> None:
    opened.close()
    (opened.path / "VERSION").write_text("smapd data 99\n")

    with pytest.raises(DataDirUnusable) as caught:
        opened.open()

    assert caught.value.message == (
        f"data directory {opened.path}: it has format 99, and this smapd knows 1; "
        "it was written by a newer one."
    )
    assert (opened.path / "VERSION").read_text() == "smapd data 99\n"
    assert not opened.is_open


def test_other_peoples_directory_is_refused_and_gets_no_file(path: pathlib.Path) -> None:
    path.mkdir()
    (path / "thesis.tex").touch()

    with pytest.raises(DataDirUnusable) as caught:
        DataDir(path).open()

    assert caught.value.message == (
        f"data directory {path}: it holds other files (thesis.tex) and no VERSION of ours."
    )
    assert os.listdir(path) == ["thesis.tex"]


def test_a_project_with_a_version_file_of_its_own_is_refused(path: pathlib.Path) -> None:
    path.mkdir()
    (path / "VERSION").write_text("1.2.3\n")
    (path / "setup.py").touch()

    with pytest.raises(DataDirUnusable, match=r"setup\.py"):
        DataDir(path).open()

    assert (path / "VERSION").read_text() == "1.2.3\n"


DAMAGED = [b"", b"\0\0\0\0", b"smapd data \xff", b"smapd da", b"\x93\x00q\n"]


def definitions(path: pathlib.Path) -> None:
    """What a daemon that was killed leaves of its definitions."""
    control = Control(path, path / "quarantine")
    control.open()
    control.put("report", "1", {})
    control.close()


def segment(path: pathlib.Path, format_: bytes = b"SMJ1") -> None:
    (path / "readings").mkdir(parents=True)
    head = b"SQLite format 3\0" + bytes(52) + format_
    (path / "readings" / "0001.db").write_bytes(head + bytes(2048 - len(head)))


def test_a_lost_version_is_written_again_where_all_names_are_ours(path: pathlib.Path) -> None:
    path.mkdir()
    for name in ("LOCK", "control.db", "control.db-wal", "daemon.json", "VERSION.new"):
        (path / name).touch()
    (path / "readings").mkdir()
    directory = DataDir(path)

    directory.open()

    assert (path / "VERSION").read_bytes() == b"smapd data 1\n"
    directory.close()


@pytest.mark.parametrize("content", [None, *DAMAGED])
@pytest.mark.parametrize("leave", [definitions, segment])
def test_a_damaged_version_is_mended_where_the_files_show_the_format(
    path: pathlib.Path, leave: Callable[[pathlib.Path], None], content: bytes | None
) -> None:
    """SM-40: told in one line; the mode that the operator gave stays."""
    leave(path)
    path.chmod(0o750)
    if content is not None:
        (path / "VERSION").write_bytes(content)
    directory = DataDir(path)

    directory.open()

    assert (path / "VERSION").read_bytes() == b"smapd data 1\n"
    what = "missing" if content is None else "damaged"
    assert directory.notes == [
        f"data directory {path}: VERSION was {what} and is written again; the files beside it "
        "have format 1."
    ]
    assert path.stat().st_mode & 0o7777 == 0o750
    directory.close()


@pytest.mark.parametrize("leave", [pathlib.Path.mkdir, definitions])
def test_any_flipped_bit_of_version_is_mended(
    path: pathlib.Path, leave: Callable[[pathlib.Path], None]
) -> None:
    """SM-29: also one that makes it the number of a later format, or another word."""
    leave(path)
    ours = b"smapd data 1\n"
    for bit in range(8 * len(ours)):
        flipped = bytearray(ours)
        flipped[bit // 8] ^= 1 << bit % 8
        (path / "VERSION").write_bytes(flipped)
        directory = DataDir(path)

        directory.open()

        assert (path / "VERSION").read_bytes() == ours
        assert "VERSION was damaged" in directory.notes[0]
        directory.close()


@pytest.mark.parametrize("content", DAMAGED)
def test_a_damaged_version_is_refused_where_nothing_shows_the_format(
    path: pathlib.Path, content: bytes
) -> None:
    path.mkdir()
    (path / "control.db").touch()
    (path / "VERSION").write_bytes(content)

    with pytest.raises(DataDirUnusable) as caught:
        DataDir(path).open()

    assert caught.value.message == (
        f"data directory {path}: its VERSION was damaged, and no file in it shows which format "
        "it has."
    )
    assert (path / "VERSION").read_bytes() == content
    assert sorted(os.listdir(path)) == ["VERSION", "control.db"]


@pytest.mark.parametrize("leave", [pathlib.Path.mkdir, definitions])
def test_somebody_elses_version_is_refused_and_left_alone(
    path: pathlib.Path, leave: Callable[[pathlib.Path], None]
) -> None:
    leave(path)
    before = [*os.listdir(path), "VERSION"]
    (path / "VERSION").write_text("1.2.3\n")

    with pytest.raises(DataDirUnusable) as caught:
        DataDir(path).open()

    assert caught.value.message == (
        f"data directory {path}: its VERSION says '1.2.3', which is not of an smapd."
    )
    assert (path / "VERSION").read_text() == "1.2.3\n"
    assert sorted(os.listdir(path)) == sorted(before)


@pytest.mark.parametrize("content", [None, b""])
def test_newer_files_without_a_version_are_left_to_a_newer_smapd(
    path: pathlib.Path, content: bytes | None
) -> None:
    segment(path, b"SMJ2")
    if content is not None:
        (path / "VERSION").write_bytes(content)

    with pytest.raises(DataDirUnusable, match="it has format 2, and this smapd knows 1"):
        DataDir(path).open()


def test_a_version_that_is_a_pipe_is_refused_and_not_waited_for(path: pathlib.Path) -> None:
    path.mkdir()
    os.mkfifo(path / "VERSION")

    with pytest.raises(DataDirUnusable, match="VERSION is not a file"):
        DataDir(path).open()


def test_a_directory_that_is_where_it_was_is_not_lost(opened: DataDir) -> None:
    assert opened.lost() == ""

    opened.close()

    assert opened.lost() == ""


def test_a_directory_that_was_removed_is_lost(opened: DataDir) -> None:
    """SM-40: what is written goes nowhere, and nothing else would say so."""
    shutil.rmtree(opened.path)

    assert opened.lost() == (
        f"data directory {opened.path} was removed or moved away while smapd runs on it."
    )


def test_a_directory_that_was_replaced_is_lost_until_it_is_back(
    opened: DataDir, tmp_path: pathlib.Path
) -> None:
    opened.path.rename(tmp_path / "aside")
    opened.path.mkdir()
    replaced = opened.lost()
    opened.path.rmdir()
    (tmp_path / "aside").rename(opened.path)

    assert replaced == (
        f"data directory {opened.path} was replaced by another while smapd runs on it."
    )
    assert opened.lost() == ""


def test_a_path_that_cannot_be_reached_is_lost(
    opened: DataDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: object) -> None:
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))

    monkeypatch.setattr(datadir.os, "stat", fail)

    assert opened.lost() == f"data directory {opened.path} cannot be reached: stale file handle."
    monkeypatch.undo()


def test_close_after_a_move_leaves_the_next_daemons_address_alone(
    opened: DataDir, tmp_path: pathlib.Path
) -> None:
    opened.path.rename(tmp_path / "aside")
    with_next = DataDir(opened.path)
    with_next.open()

    opened.close()

    assert (with_next.path / "daemon.json").exists()
    with_next.close()


def test_a_fresh_mount_counts_as_empty(path: pathlib.Path) -> None:
    path.mkdir()
    (path / "lost+found").mkdir()
    directory = DataDir(path)

    directory.open()

    assert directory.is_open
    directory.close()


def test_a_file_in_its_place_is_refused(path: pathlib.Path) -> None:
    path.touch()

    with pytest.raises(DataDirUnusable) as caught:
        DataDir(path).open()

    assert caught.value.message == f"data directory {path}: it is not a directory."


def test_a_file_for_a_parent_is_refused(path: pathlib.Path) -> None:
    path.touch()

    with pytest.raises(DataDirUnusable) as caught:
        DataDir(path / "x").open()

    assert caught.value.message == f"data directory {path / 'x'}: not a directory."
    assert "--data-dir" in caught.value.hint


def test_a_lock_that_is_a_link_is_refused(path: pathlib.Path, tmp_path: pathlib.Path) -> None:
    path.mkdir()
    (path / "LOCK").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(DataDirUnusable):
        DataDir(path).open()

    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize(
    ("number", "sentence"),
    [
        (errno.ENOSPC, "no space left on device"),
        (errno.EROFS, "read-only file system"),
        (errno.EACCES, "permission denied"),
        (errno.EIO, "input/output error"),
    ],
)
@pytest.mark.parametrize("name", ["LOCK", "VERSION.new", "daemon.json.new"])
def test_what_the_disk_says_comes_as_one_sentence(
    path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, name: str, number: int, sentence: str
) -> None:
    real = os.open

    def failing(file: str | os.PathLike[str], flags: int, mode: int = 0o777) -> int:
        if pathlib.Path(file).name == name:
            raise OSError(number, os.strerror(number), str(file))
        return real(file, flags, mode)

    monkeypatch.setattr(datadir.os, "open", failing)
    directory = DataDir(path)

    with pytest.raises(DataDirUnusable) as caught:
        directory.open()

    where = "daemon.json: " if name.startswith("daemon") else ""
    assert caught.value.message == f"data directory {path}: {where}{sentence}."
    assert not directory.is_open
    monkeypatch.undo()
    directory.open()
    directory.close()


def test_a_file_system_without_locks_is_refused(
    path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flock(descriptor: int, how: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(datadir.fcntl, "flock", flock)

    with pytest.raises(DataDirUnusable, match="its file system has no locks"):
        DataDir(path).open()


def test_a_file_system_that_cannot_lock_directories_does_with_lock(
    path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = datadir.fcntl.flock

    def flock(descriptor: int, how: int) -> None:
        if os.path.isdir(f"/proc/self/fd/{descriptor}"):
            raise OSError(errno.EBADF, "Bad file descriptor")
        real(descriptor, how)

    monkeypatch.setattr(datadir.fcntl, "flock", flock)
    first = DataDir(path)
    first.open()

    with pytest.raises(DataDirInUse, match=f"pid {os.getpid()}"):
        DataDir(path).open()

    first.close()


def test_no_descriptor_is_left_open(path: pathlib.Path) -> None:
    before = len(os.listdir("/proc/self/fd"))

    for _ in range(3):
        directory = DataDir(path)
        directory.open()
        directory.write_daemon(Daemon(1, "", ""))
        with pytest.raises(DataDirInUse):
            DataDir(path).open()
        directory.close()

    assert len(os.listdir("/proc/self/fd")) == before


def test_a_closed_directory_names_no_daemon(path: pathlib.Path) -> None:
    with pytest.raises(SmapError, match="is not open"):
        DataDir(path).write_daemon(Daemon(1, "", ""))


def test_its_repr_says_whether_it_is_open(opened: DataDir) -> None:
    assert repr(opened) == f"<DataDir {opened.path}>"

    opened.close()

    assert repr(opened) == f"<DataDir {opened.path} closed>"
