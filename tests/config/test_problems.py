"""Every config with an error in its text starts nothing, and names all that is wrong."""

import os
import sys
from importlib.metadata import EntryPoints
from pathlib import Path

import pytest

from smapd.assembly import TABLES
from smapd.config import drivers, load_plan, load_text
from smapd.errors import ConfigError, NoSuchDriver
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


def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    """SM-13"""
    os.mkfifo(tmp_path / "f.ini")

    assert refused(tmp_path / "f.ini") == (
        f"{tmp_path}/f.ini: cannot be read: it is no regular file.\n"
        "1 problem; nothing was started.\n"
    )


def test_a_type_that_many_sections_name_is_looked_for_once():
    """SM-13: each look reads what is installed, and twenty thousand took a minute."""
    looks = []

    def find(name):
        looks.append(name)
        raise NoSuchDriver(f"there is no {name}.")

    text = "[/]\nuuid = 75503ac2-abf0-11e0-b7d6-0026bb56ec92\n"
    text += "".join(f"[/m{n}]\ntype = x.Meter{n % 2}\n" for n in range(100))

    with pytest.raises(ConfigError) as caught:
        load_text(text, "f.ini", tables=TABLES, drivers=find)

    assert looks == ["x.Meter0", "x.Meter1"]
    problems = [str(p) for p in caught.value.problems]
    assert len(problems) == 100
    assert problems[98].endswith(
        "[/m98] type = x.Meter0: there is no x.Meter0. "
        "Write Collection, Timeseries or a driver's dotted name."
    )


def test_what_is_installed_is_read_once_for_all_unknown_types(monkeypatch):
    """SM-13"""
    reads = []

    def entry_points(**wanted):
        reads.append(wanted)
        return EntryPoints()

    monkeypatch.setattr(drivers, "entry_points", entry_points)
    text = "[/]\nuuid = 75503ac2-abf0-11e0-b7d6-0026bb56ec92\n"
    text += "".join(f"[/m{n}]\ntype = meter{n}\n" for n in range(100))

    with pytest.raises(ConfigError) as caught:
        load_text(text, "f.ini", tables=TABLES)

    assert len(caught.value.problems) == 100
    assert len(reads) == 1
