"""The scripts of bin/ in a checkout that is not installed, under several Pythons."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

pytestmark = pytest.mark.real


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what the scripts need; no .venv in it."""
    for name in ("bin", "smapd", "drivers", "conf"):
        shutil.copytree(
            ROOT / name, tmp_path / "checkout" / name, ignore=shutil.ignore_patterns("__pycache__")
        )
    return tmp_path / "checkout"


def run(
    script: Path, *arguments: str, python: tuple[str, ...] = (sys.executable,), stdin: str = ""
) -> "subprocess.CompletedProcess[str]":
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONSAFEPATH")}
    return subprocess.run(
        [*python, str(script), *arguments],
        input=stdin,
        env=environment,
        cwd=script.parent.parent.parent,
        capture_output=True,
        text=True,
        timeout=60,
    )


# -S: no site-packages, so neither Twisted nor an installed smapd
BARE = (sys.executable, "-S")


def test_jprint_needs_the_standard_library_alone(checkout: Path) -> None:
    """SM-21"""
    done = run(checkout / "bin" / "jprint", python=BARE, stdin='{"b": 1, "a": []}')

    assert (done.stdout, done.stderr, done.returncode) == ('{\n  "a": [],\n  "b": 1\n}\n', "", 0)


def test_uuid_needs_the_standard_library_alone(checkout: Path) -> None:
    """SM-21"""
    done = run(
        checkout / "bin" / "uuid",
        "75503ac2-abf0-11e0-b7d6-0026bb56ec92",
        "sensor0",
        python=BARE,
    )

    assert (done.stdout, done.stderr) == ("b37e5c5f-e9b0-59a6-8275-08729beeff46\n", "")


@pytest.mark.parametrize("script", ["smapd", "run-driver"])
def test_without_twisted_and_venv_one_sentence_says_what_to_do(checkout: Path, script: str) -> None:
    done = run(checkout / "bin" / script, "--help", python=BARE)

    assert done.stdout == ""
    assert done.stderr == (
        f"{script}: twisted.internet is missing; run `make run` or `pip install -e .` first.\n"
    )
    assert done.returncode == 1


def test_without_twisted_the_venv_runs_it(checkout: Path) -> None:
    (checkout / ".venv" / "bin").mkdir(parents=True)
    python = checkout / ".venv" / "bin" / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)

    done = run(checkout / "bin" / "smapd", "check", f"{checkout}/conf/demo.ini", python=BARE)

    assert (done.stderr, done.returncode) == ("", 0)
    assert done.stdout.startswith(f"{checkout}/conf/demo.ini: no errors")


def test_a_venv_without_twisted_is_tried_once(checkout: Path) -> None:
    (checkout / ".venv" / "bin").mkdir(parents=True)
    python = checkout / ".venv" / "bin" / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')
    python.chmod(0o755)

    done = run(checkout / "bin" / "smapd", "--help", python=BARE)

    assert done.stderr.startswith("smapd: twisted.internet is missing;")
    assert done.returncode == 1


def test_a_bare_checkout_runs_its_own_code_and_drivers(checkout: Path) -> None:
    """Not those of a smapd that is installed."""
    (checkout / "drivers" / "mine").mkdir()
    (checkout / "drivers" / "mine" / "__init__.py").write_text(
        "class Driver:\n    OPTIONS = None\n"
        "    def setup(self, inst, opts): ...\n    def start(self): ...\n"
    )

    done = run(
        checkout / "bin" / "run-driver",
        "smapd.drivers.mine.Driver",
        "--dry-run",
        "-u75503ac2-abf0-11e0-b7d6-0026bb56ec92",
    )

    assert (done.stdout, done.stderr) == ("/\n", "")


def test_a_link_to_a_script_finds_its_checkout(checkout: Path, tmp_path: Path) -> None:
    (tmp_path / "links").mkdir()
    link = tmp_path / "links" / "smapd"
    link.symlink_to(checkout / "bin" / "smapd")

    done = run(link, "check", "--json", str(checkout / "conf" / "demo.ini"))

    assert json.loads(done.stdout)["ok"] is True


@pytest.mark.parametrize("script", ["smapd", "run-driver", "uuid", "jprint"])
def test_every_script_can_be_executed(script: str) -> None:
    assert os.access(ROOT / "bin" / script, os.X_OK)
