import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import smapd
from smapd.cli import exits, main
from smapd.cli.main import COMMANDS
from smapd.errors import ConfigError, DataDirInUse, ListenError, SecretUnreadable, SmapError
from smapd.values import Problem

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (
            ListenError("port 80 is taken."),
            1,
            "smapd: port 80 is taken.\n"
            "Choose another with --port or [server] Port; port 0 takes a free one.\n",
        ),
        (SmapError("it broke."), 1, "smapd: it broke.\n"),
        (SecretUnreadable("Token: no such file."), 78, "smapd: Token: no such file.\n"),
        (
            ConfigError([Problem("not a port.", "a.ini", 3, "server", "Port")]),
            78,
            "a.ini:3: [server] Port: not a port.\n1 problem; nothing was started.\n",
        ),
    ],
)
def test_what_goes_wrong_is_said_on_stderr(
    error: SmapError, status: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """P-13: file:line comes first, so that an editor finds it."""

    def fail() -> int:
        raise error

    assert exits.guarded(fail) == status

    assert capsys.readouterr() == ("", said)


def test_the_hint_says_what_to_do_next(capsys: pytest.CaptureFixture[str]) -> None:
    exits.said(DataDirInUse("data directory x is in use by the smapd with pid 7."))

    assert capsys.readouterr().err == (
        "smapd: data directory x is in use by the smapd with pid 7.\n"
        "Stop that process, or give this one a directory of its own with --data-dir.\n"
    )


def test_an_interrupt_is_no_traceback() -> None:
    def interrupted() -> int:
        raise KeyboardInterrupt

    assert exits.guarded(interrupted) == 130


def test_a_bug_keeps_its_traceback() -> None:
    def wrong() -> int:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        exits.guarded(wrong)


def test_every_command_has_help(capsys: pytest.CaptureFixture[str]) -> None:
    for command in COMMANDS:
        with pytest.raises(SystemExit) as caught:
            main([command, "--help"])
        assert caught.value.code == 0
        assert f"usage: smapd {command}" in capsys.readouterr().out


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--help"])

    assert caught.value.code == 0
    out = capsys.readouterr().out
    assert all(re.search(rf"^    {command}\s", out, re.MULTILINE) for command in COMMANDS)


def test_the_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--version"])

    assert capsys.readouterr().out == f"smapd {smapd.__version__}\n"


@pytest.mark.parametrize(
    "arguments",
    [[], ["rum"], ["run"], ["run", "--por", "1", "x.ini"], ["check", "a", "b"], ["add", "/x"]],
)
def test_wrong_usage_is_status_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)

    assert caught.value.code == 2
    assert "usage: smapd" in capsys.readouterr().err


@pytest.mark.real
def test_python_dash_m_is_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "smapd", "uuid", "x"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert (done.returncode, done.stderr) == (2, "uuid: give no argument, or ROOT and KEY.\n")


@pytest.mark.real
def test_a_reader_that_goes_away_is_no_error() -> None:
    code = (
        "from smapd.cli import exits\nraise SystemExit(exits.guarded(lambda: print('x' * 10**6)))"
    )
    reading, writing = os.pipe()
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdout=writing, stderr=subprocess.PIPE
    ) as process:
        os.close(writing)
        os.close(reading)
        _, err = process.communicate(timeout=60)

    assert (process.returncode, err) == (141, b"")


# --- run


class Served:
    """Stands for ``server.run_plan``: keeps what it was called with."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, dict[str, Any]]] = []

    def __call__(self, plan: Any, **options: Any) -> int:
        self.calls.append((plan, options))
        return 5


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Served:
    fake = Served()
    monkeypatch.setitem(sys.modules, "smapd.server", SimpleNamespace(run_plan=fake))
    monkeypatch.setattr(smapd, "server", SimpleNamespace(run_plan=fake), raising=False)
    return fake


@pytest.fixture
def config(tmp_path: Path) -> str:
    file = tmp_path / "a.ini"
    file.write_text(
        "[/]\nuuid = 75503ac2-abf0-11e0-b7d6-0026bb56ec92\nProperties/Timezone = UTC\n[/x]\n"
        "Properties/UnitofMeasure = 'V'\n"
    )
    return str(file)


def test_run_serves_the_plan_and_ends_with_its_status(served: Served, config: str) -> None:
    assert main(["run", config]) == 5

    ((plan, options),) = served.calls
    assert [s.path for s in plan.sections] == ["/", "/x"]
    assert options == {
        "port": None,
        "data_dir": None,
        "http": True,
        "log_format": None,
        "log_level": None,
    }


def test_run_hands_on_what_the_command_line_says(served: Served, config: str) -> None:
    """SM-38: --no-http runs without a server."""
    main(
        ["run", config, "--port", "0", "--data-dir", "d", "--no-http"]
        + ["--log-format", "json", "--log-level", "debug"]
    )

    assert served.calls[0][1] == {
        "port": 0,
        "data_dir": "d",
        "http": False,
        "log_format": "json",
        "log_level": "debug",
    }


@pytest.mark.parametrize("port", ["65536", "-1", "x", "8_0", "", "٣"])
def test_a_port_that_is_none_is_wrong_usage(
    served: Served, config: str, port: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["run", config, f"--port={port}"])

    assert caught.value.code == 2
    assert f"{port!r} is not a port; write a number up to 65535" in capsys.readouterr().err
    assert served.calls == []


@pytest.mark.parametrize(
    "arguments", [["run", "x.ini"], ["status"], ["add", "/x", "1"]], ids=lambda a: a[0]
)
@pytest.mark.parametrize("directory", ["", " "])
def test_an_empty_data_directory_is_wrong_usage(
    arguments: list[str], directory: str, served: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main([*arguments, "--data-dir", directory])

    assert caught.value.code == 2
    assert "argument --data-dir: it is empty; write the name of" in capsys.readouterr().err
    assert served.calls == []


def test_a_config_with_errors_starts_nothing(
    served: Served, config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """P-13, SM-13: all of them at once, status 78."""
    with open(config, "a") as f:
        f.write("BufferSise = 1\nProperties/ReadingType = duble\n")

    assert main(["run", config]) == 78

    assert capsys.readouterr().err.count(f"{config}:") == 2
    assert served.calls == []


# --- check, dump


def test_check_says_that_all_is_well(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", config]) == 0

    assert capsys.readouterr() == (f"{config}: no errors in 2 sections.\n", "")


def test_check_names_every_error_with_line_and_nearest_name(
    config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """P-13"""
    with open(config, "a") as f:
        f.write("BufferSise = 1\nProperties/ReadingType = duble\n")

    assert main(["check", config]) == 78

    first, second, count = capsys.readouterr().err.splitlines()
    assert first.startswith(f"{config}:6: [/x] BufferSise: ")
    assert "Did you mean BufferSize?" in first
    assert second.startswith(f"{config}:7: [/x] Properties/ReadingType = duble: ")
    assert count == "2 problems; nothing was started."


def test_check_passes_with_warnings_and_prints_them(
    config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """P-13"""
    with open(config, "a") as f:
        f.write("Properties/Timezone = Europe/Berlinn\n")

    assert main(["check", config]) == 0

    out, err = capsys.readouterr()
    assert out == f"{config}: no errors in 2 sections.\n"
    assert err.startswith(f"{config}:6: warning: [/x] Properties/Timezone = Europe/Berlinn: ")


@pytest.mark.parametrize(
    ("added", "status", "ok", "severity"),
    [("BufferSise = 1", 78, False, "error"), ("Properties/Timezone = No", 0, True, "warning")],
)
def test_check_gives_programs_the_same_as_json(
    added: str,
    status: int,
    ok: bool,
    severity: str,
    config: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    import json

    with open(config, "a") as f:
        f.write(added + "\n")

    assert main(["check", "--json", config]) == status

    found = json.loads(capsys.readouterr().out)
    (problem,) = found["problems"]
    assert (found["file"], found["ok"]) == (config, ok)
    assert (problem["line"], problem["section"], problem["key"], problem["severity"]) == (
        6,
        "/x",
        added.split(" ")[0],
        severity,
    )


@pytest.mark.parametrize("name", ["missing.ini", "."])
def test_check_of_no_file_is_one_sentence(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)

    assert main(["check", name]) == 78

    assert capsys.readouterr().err.startswith(f"{name}: ")


def test_dump_prints_the_normal_form(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    with open(config, "a") as f:
        f.write("type = Timeseries\nBufferSize = 1\n")

    assert main(["dump", config]) == 0

    assert capsys.readouterr() == (
        "[/]\n"
        "type = Collection\n"
        "uuid = 75503ac2-abf0-11e0-b7d6-0026bb56ec92\n"
        "Properties/Timezone = UTC\n"
        "\n"
        "[/x]\n"
        "type = Timeseries\n"
        "Properties/UnitofMeasure = V\n",
        "",
    )


def test_what_dump_prints_dumps_the_same(
    config: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["dump", config])
    once = capsys.readouterr().out
    (tmp_path / "b.ini").write_text(once)

    main(["dump", str(tmp_path / "b.ini")])

    assert capsys.readouterr().out == once


def test_dump_of_a_config_with_errors_prints_nothing(
    config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with open(config, "a") as f:
        f.write("BufferSise = 1\n")

    assert main(["dump", config]) == 78

    assert capsys.readouterr().out == ""
