import os
import subprocess
import sys
from pathlib import Path

import pytest

from smapd.cli import main
from smapd.cli.new_driver import Layout, files
from smapd.cli.template import CASES

Capture = pytest.CaptureFixture[str]
REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def tree(top: Path) -> set[str]:
    return {f.relative_to(top).as_posix() for f in top.rglob("*") if f.is_file()}


def python(*arguments: str, cwd: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, *arguments], cwd=cwd, capture_output=True, text=True, timeout=120
    )


def test_the_folder_has_the_form_of_a_driver_family(here: Path, capsys: Capture) -> None:
    """P-15"""
    assert main(["new-driver", "acme_100"]) == 0

    package = {"__init__.py", "driver.py", "registers.py", "transport.py", "README.md"}
    tests = {"__init__.py", "test_acme_100_driver.py", "test_acme_100_readme.py"}
    cases = {f"testcases/{case}/{file}" for case, parts in CASES.items() for file in parts}
    assert tree(here / "acme_100") == package | {"sample.ini"} | {
        f"tests/{file}" for file in tests | cases
    }
    assert "the driver acme_100.Acme100Driver of a made-up device" in capsys.readouterr().out


def test_there_is_a_case_for_each_answer_that_a_device_gives() -> None:
    assert {"good answer", "short answer", "wrong value", "refused connection"} < set(CASES)


def test_no_placeholder_is_left(here: Path) -> None:
    left = [
        str(path)
        for path, text in files(Layout.of("meter", here))
        if "@" in text.replace("@property", "") or "@" in str(path)
    ]

    assert left == []


@pytest.mark.parametrize("name", ["m", "acme_100_of_the_long_name"[:24]])
def test_what_is_made_keeps_the_rules_of_the_house(here: Path, name: str) -> None:
    """Lint and format, for the shortest name and for the longest."""
    main(["new-driver", name])

    for command in (
        ["check", "--isolated", "--select", "E,F,W,I,B,BLE,UP,SIM,DTZ"],
        ["format", "--check", "--isolated"],
    ):
        done = python("-m", "ruff", *command, "--line-length", "100", ".", cwd=here)
        assert done.returncode == 0, done.stdout


@pytest.mark.real
def test_its_tests_pass_as_it_stands(here: Path) -> None:
    """P-15: with nothing but what smapd itself needs."""
    main(["new-driver", "meter"])

    done = python("-m", "unittest", "discover", "-t", ".", "-s", "meter", cwd=here)

    assert done.returncode == 0, done.stderr
    assert "FAILED" not in done.stderr
    ran = int(done.stderr.partition("Ran ")[2].split()[0])
    assert ran >= len(CASES) + 5


@pytest.mark.real
def test_a_case_that_does_not_hold_fails(here: Path) -> None:
    main(["new-driver", "meter"])
    expected = here / "meter" / "tests" / "testcases" / "good answer" / "expected.json"
    expected.write_text('{"/voltage": 230.5, "/current": 1.52, "/energy": 81723}')

    done = python("-m", "unittest", "discover", "-t", ".", "-s", "meter", cwd=here)

    assert done.returncode == 1
    assert "test_good_answer" in done.stderr


@pytest.mark.real
def test_pytest_runs_them_too(here: Path) -> None:
    main(["new-driver", "meter"])

    done = python("-m", "pytest", "-q", "-p", "no:cacheprovider", "meter", cwd=here)

    assert done.returncode == 0, done.stdout


@pytest.mark.real
def test_it_reads_a_device_and_says_in_one_line_when_there_is_none(here: Path) -> None:
    """A device of three lines, on a socket."""
    import socket
    import threading

    main(["new-driver", "meter"])
    code = "import sys; from smapd.cli import run_driver as r; sys.exit(r())"
    with socket.create_server(("127.0.0.1", 0)) as device:
        port = device.getsockname()[1]

        def answer() -> None:
            connection, _ = device.accept()
            with connection:
                assert connection.recv(100) == b"READ\n"
                connection.sendall(b"voltage 229.9\ncurrent 0.5\n")
                connection.sendall(b"energy 7\nEND\n")

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        arguments = ["meter.MeterDriver", "--once", "Address=127.0.0.1", f"Port={port}"]
        read = python("-c", code, *arguments, cwd=here)
        thread.join(10)
    refused = python("-c", code, *arguments, cwd=here)

    values = [line.split("\t")[2] for line in read.stdout.splitlines()]
    assert (read.returncode, values) == (0, ["229.9", "0.5", "7"]), read.stderr
    assert refused.returncode == 1
    assert refused.stderr.count("Connection refused") == 1


# --- in a checkout of smapd


@pytest.fixture
def checkout(here: Path) -> Path:
    """What tells a checkout from any other folder."""
    for folder in ("smapd/driver", "drivers", "tests/drivers"):
        (here / folder).mkdir(parents=True)
    (here / "drivers" / "__init__.py").touch()
    return here


def test_among_the_drivers_of_smapd_it_is_one_of_them(checkout: Path, capsys: Capture) -> None:
    assert main(["new-driver", "meter", "--dir", "drivers"]) == 0

    assert (checkout / "drivers" / "meter" / "driver.py").exists()
    assert not (checkout / "drivers" / "meter" / "tests").exists()
    tests = checkout / "tests" / "drivers" / "meter"
    assert "testcases/good answer/conf.ini" in tree(tests)
    assert not (tests / "__init__.py").exists()
    sample = (checkout / "drivers" / "meter" / "sample.ini").read_text()
    assert "type = smapd.drivers.meter.MeterDriver\n" in sample
    out = capsys.readouterr().out
    assert "tests     pytest tests/drivers/meter\n" in out
    assert "setup.cfg" in out


@pytest.mark.real
def test_among_the_drivers_of_smapd_its_tests_pass_and_its_imports_are_in_order(
    checkout: Path,
) -> None:
    main(["new-driver", "meter", "--dir", "drivers"])
    code = (
        "import sys, unittest, smapd.drivers\n"
        "top = sys.argv[1]\n"
        "smapd.drivers.__path__.insert(0, top + '/drivers')\n"
        "unittest.main(None, argv=['x', 'discover', '-s', top + '/tests/drivers/meter'])"
    )

    done = python("-c", code, str(checkout), cwd=REPOSITORY)
    linted = python(
        "-m", "ruff", "check", "--config", str(REPOSITORY / "ruff.toml"), ".", cwd=checkout
    )

    assert done.returncode == 0, done.stderr
    assert linted.returncode == 0, linted.stdout


# --- what is refused


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("MeterX", "meter_x"),
        ("meter-x", "meter_x"),
        ("../meter", "meter"),
        ("class", None),
        ("1st", None),
        ("", None),
        ("a" * 25, None),
        ("meter__x", "meter_x"),
    ],
)
def test_a_name_that_is_no_packages_is_wrong_usage(
    here: Path, name: str, meant: str | None, capsys: Capture
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["new-driver", name])

    assert caught.value.code == 2
    err = capsys.readouterr().err
    assert repr(name) in err
    assert ("did you mean" in err) == (meant is not None)
    if meant:
        assert f"did you mean {meant}?" in err
    assert os.listdir(here) == []


@pytest.mark.parametrize("there", ["meter", "meter.py"])
def test_what_is_there_already_is_left_alone(here: Path, there: str, capsys: Capture) -> None:
    (here / there).write_text("mine")

    assert main(["new-driver", "meter"]) == 1

    assert capsys.readouterr().err == f"smapd: {there} is there already; nothing was written.\n"
    assert os.listdir(here) == [there]
    assert (here / there).read_text() == "mine"


@pytest.mark.parametrize(
    ("name", "what"), [("twisted", "an installed package"), ("json", "a module of Python's own")]
)
def test_a_name_that_python_knows_already_is_refused(
    here: Path, name: str, what: str, capsys: Capture
) -> None:
    assert main(["new-driver", name]) == 1

    assert capsys.readouterr().err == (
        f"smapd: {name} is the name of {what}, which Python would find first.\n"
        f"Take another name, like {name}_driver.\n"
    )


def test_a_folder_that_is_not_there_is_one_sentence(here: Path, capsys: Capture) -> None:
    assert main(["new-driver", "meter", "--dir", "nowhere"]) == 1

    assert capsys.readouterr().err == "smapd: nowhere: there is no such directory.\n"


def test_what_cannot_be_written_leaves_nothing(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    real = Path.open

    def full(path: Path, *a: object, **k: object) -> object:
        if path.name == "README.md":
            raise OSError(28, "No space left on device", str(path))
        return real(path, *a, **k)  # type: ignore[call-overload]

    monkeypatch.setattr(Path, "open", full)

    assert main(["new-driver", "meter"]) == 1

    assert capsys.readouterr().err == "smapd: meter/README.md: No space left on device.\n"
    assert os.listdir(here) == []
