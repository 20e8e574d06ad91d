"""Every config with an error in its text starts nothing, and names all that is wrong."""

import os
import sys
from pathlib import Path

import pytest

from smapd.assembly import TABLES
from smapd.config import load_plan
from smapd.errors import ConfigError
from smapd.values import Severity

BAD = Path(__file__).parent / "bad"
FILES = sorted(BAD.glob("*.ini"))


@pytest.fixture(autouse=True)
def beside_the_drivers(monkeypatch):
    """The configs name drivers of bad/meters.py, which is found in the working directory."""
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p not in ("", os.getcwd())])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.chdir(BAD)
    yield
    sys.modules.pop("meters", None)


def refused(file) -> str:
    with pytest.raises(ConfigError) as caught:
        load_plan(file, tables=TABLES)
    assert any(p.severity is Severity.ERROR for p in caught.value.problems)
    return str(caught.value) + "\n"


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.stem)
def test_a_broken_config_gives_its_exact_message(file):
    """SM-11, SM-12, SM-13, SM-23, P-13"""
    assert refused(file.name) == file.with_suffix(".err").read_text("utf-8")


def test_there_are_forty_broken_configs_and_each_has_its_message():
    """SM-13"""
    assert len(FILES) >= 40
    assert {f.stem for f in FILES} == {f.stem for f in BAD.glob("*.err")}


def test_a_missing_file_is_one_sentence():
    """SM-13"""
    assert refused("no-such.ini") == (
        "no-such.ini: no such file.\n1 problem; nothing was started.\n"
    )


def test_a_directory_is_one_sentence(tmp_path):
    """SM-13"""
    assert refused(tmp_path) == (
        f"{tmp_path}: a directory. Name a config file.\n1 problem; nothing was started.\n"
    )


def test_a_name_that_is_none_is_one_sentence():
    assert refused("a\0b").startswith("a\0b: cannot be read: embedded null byte.")


def test_an_unreadable_file_is_one_sentence():
    """SM-13"""
    # root reads every file, but not this one
    assert refused("/proc/self/mem") == (
        "/proc/self/mem: cannot be read: Input/output error.\n1 problem; nothing was started.\n"
    )


def test_a_file_of_fifty_megabytes_is_not_read(tmp_path):
    """SM-13: the size is bounded, so a wrong file name costs nothing."""
    file = tmp_path / "f.ini"
    with open(file, "wb") as f:
        f.truncate(50 * 1024 * 1024)

    assert refused(file).startswith(f"{file}: larger than 8 MiB. Split it over several daemons.")


def test_a_very_long_line_is_refused(tmp_path):
    file = tmp_path / "f.ini"
    file.write_text("[/]\nk = " + "x" * 70_000 + "\n")

    assert refused(file).startswith(f"{file}:2: a line longer than 64 KiB. Split it.")
