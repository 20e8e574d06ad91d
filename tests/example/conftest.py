"""The example packages, installed as their README says into an environment of their own."""

from __future__ import annotations

import shutil
import site
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PACKAGES = ("events", "integrator.example", "follower.example")


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A copy of ``example/dt`` and ``deps``, its packages installed; the environment's bin.

    No index is asked: smapd's wheel is made from this checkout and put into ``deps``, and what it
    needs itself is that of the environment which runs the tests.
    """
    home = tmp_path_factory.mktemp("example")
    shutil.copytree(
        ROOT / "example" / "dt",
        home / "example" / "dt",
        ignore=shutil.ignore_patterns("*.egg-info", "__pycache__"),
    )
    (home / "deps").mkdir()
    run = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    source = home / "source"
    shutil.copytree(
        ROOT,
        source,
        ignore=shutil.ignore_patterns(
            ".*", "tests", "bench", "docs", "build", "dist", "*.egg-info", "__pycache__"
        ),
    )
    wheel = ["wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", str(home / "deps")]
    check([*run, *wheel, str(source)])
    check([sys.executable, "-m", "venv", "--without-pip", str(home / "venv")])
    python = home / "venv" / "bin" / "python"
    (packages,) = (home / "venv").glob("lib/python*/site-packages")
    # all but smapd itself, whose checkout is linked there by a file of its own
    links = "\n".join(path for path in site.getsitepackages() if Path(path).is_dir())
    (packages / "outer.pth").write_text(links + "\n")
    into = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q", "--python"]
    into += [str(python), "install", "--no-index", "--no-build-isolation"]
    link = ["-f", "../../../deps"]
    where = home / "example" / "dt" / "acmecorp.dt.events"
    check([*into, "--ignore-installed", "--no-deps", *link, "smapd"], where)
    for name in PACKAGES:
        check([*into, "-e", ".", *link], home / "example" / "dt" / f"acmecorp.dt.{name}")
    yield home / "venv" / "bin"
    shutil.rmtree(home, ignore_errors=True)


def check(command: list[str], cwd: Path | None = None) -> str:
    """Run it; what it printed, which is also shown if it fails."""
    done = subprocess.run(
        command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout
    return done.stdout
