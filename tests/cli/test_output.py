import os
import subprocess
import sys
from pathlib import Path

import pytest

from smapd.cli.output import OutputLost, checked_output, say

ROOT = Path(__file__).parent.parent.parent
FULL = "No space left on device"

SMAPD = [
    ["uuid"],
    ["docs", "server"],
    ["drivers"],
    ["dump", "a.ini"],
    ["check", "a.ini"],
    ["check", "--json", "bad.ini"],
    ["--help"],
]
OTHERS = [("uuid", ["uuid"]), ("jprint", ["jprint", "a.json"]), ("run_driver", ["run-driver"])]
COMMANDS = [("main", ["smapd", *words]) for words in SMAPD] + OTHERS


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "a.ini").write_text("[/]\nuuid = 75503ac2-abf0-11e0-b7d6-0026bb56ec92\n")
    (tmp_path / "bad.ini").write_text("[/]\nuuid = none\n")
    (tmp_path / "a.json").write_text("[1, 2]")
    return tmp_path


def run(
    function: str, words: list[str], where: Path, redirected: str
) -> subprocess.CompletedProcess[str]:
    """A command as the shell starts it, with this redirection."""
    code = f"import sys; sys.argv = {words!r}; from smapd import cli; sys.exit(cli.{function}())"
    return subprocess.run(
        ["sh", "-c", f'exec "$0" -c "$1" {redirected}', sys.executable, code],
        cwd=where,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.real
@pytest.mark.parametrize(("redirected", "why"), [(">/dev/full", FULL), (">&-", "it is closed")])
@pytest.mark.parametrize(("function", "words"), COMMANDS, ids=lambda w: " ".join(w))
def test_an_output_that_cannot_be_written_is_one_sentence(
    function: str, words: list[str], redirected: str, why: str, files: Path
) -> None:
    done = run(function, words, files, redirected)

    last = done.stderr.splitlines()[-1]
    assert done.returncode == 1
    assert last == f"{words[0]}: the output cannot be written: {why}."
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


@pytest.mark.real
def test_what_could_not_be_said_leaves_the_exit_status(files: Path) -> None:
    closed = run("main", ["smapd", "check", "bad.ini"], files, "2>&-")
    full = run("main", ["smapd", "check", "bad.ini"], files, "2>/dev/full")

    assert (closed.returncode, closed.stdout) == (78, "")
    assert (full.returncode, full.stdout) == (78, "")


@pytest.mark.real
def test_no_file_is_opened_in_the_place_of_a_closed_output(files: Path) -> None:
    code = (
        "from smapd.cli.output import checked_output\n"
        "import sys\n"
        "with checked_output():\n"
        "    f = open('new', 'w')\n"
        "    sys.exit(f.fileno())\n"
    )

    done = subprocess.run(
        ["sh", "-c", 'exec "$0" -c "$1" <&- >&- 2>&-', sys.executable, code],
        cwd=files,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=60,
    )

    assert done.returncode > 2


@pytest.mark.real
def test_letters_that_the_output_lacks_are_escaped(files: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "smapd", "check", b"\xff\xc2\xb0.ini"],
        cwd=files,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "ascii:strict"},
        capture_output=True,
        timeout=60,
    )
    (files / "a.ini").rename(os.fsdecode(bytes(files) + b"/\xff\xc2\xb0.ini"))
    found = subprocess.run(
        done.args,
        cwd=files,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "ascii:strict"},
        capture_output=True,
        timeout=60,
    )

    assert (done.returncode, done.stdout) == (78, b"")
    assert (found.returncode, found.stderr) == (0, b"")
    assert found.stdout == b"\\udcff\\xb0.ini: no errors in 1 section.\n"


def test_another_output_is_left_alone(capsys: pytest.CaptureFixture[str]) -> None:
    before = sys.stdout

    with checked_output():
        assert sys.stdout is before
        print("x")

    assert capsys.readouterr().out == "x\n"


def test_nothing_is_said_where_there_is_no_stderr(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stderr", None)

    say("a secret sentence")

    assert capsys.readouterr().out == ""


def test_lost_output_is_told_apart_from_other_files() -> None:
    assert not issubclass(OutputLost, OSError)
