"""docs/writing-a-driver.md: what it tells a reader to do works as it stands."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import smapd.driver
from smapd.config.drivers import GROUP
from smapd.options import OptionTable

REPOSITORY = Path(__file__).parents[2]
GUIDE = (REPOSITORY / "docs" / "writing-a-driver.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)


@pytest.mark.real
def test_its_commands_run_one_after_another(tmp_path: Path) -> None:
    """P-15"""
    path = os.pathsep.join(
        [str(Path(sys.executable).parent), str(REPOSITORY / "bin"), os.environ["PATH"]]
    )

    done = subprocess.run(
        ["sh", "-ec", "".join(blocks("sh"))],
        cwd=tmp_path,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=120,
    )

    assert done.returncode == 0, done.stderr
    assert (tmp_path / "meter" / "driver.py").exists()
    assert "OK" in done.stderr  # of the tests
    assert "Address  text, required" in done.stdout  # of the docs
    assert "/voltage  double  V " in done.stdout  # of the dry run


def test_its_files_are_those_that_are_made() -> None:
    from smapd.cli.template import CASES, PACKAGE

    for file in PACKAGE:
        assert file == "__init__.py" or f"| `{file}` |" in GUIDE
    for file in {name for parts in CASES.values() for name in parts}:
        assert f"| `{file}` |" in GUIDE


def test_its_option_table_is_one() -> None:
    (source,) = blocks("python")
    names = {name: getattr(smapd.driver, name) for name in smapd.driver.__all__}

    exec(source, names)

    OptionTable("driver", names["OPTIONS"])


def test_its_types_are_those_that_there_are() -> None:
    (text,) = re.findall(r"The types are `([a-z ]+)`", GUIDE)

    for name in text.split():
        assert callable(getattr(smapd.driver, name, None) or __builtins__[name])


def test_its_entry_point_is_looked_for() -> None:
    (text,) = blocks("toml")

    assert tomllib.loads(text)["project"]["entry-points"] == {GROUP: {"meter": "meter:MeterDriver"}}
