import sys
from pathlib import Path

import pytest

from smapd.cli import main

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in ("docs_d", "docs_e"):
        sys.modules.pop(name, None)


def test_a_drivers_options_are_told_for_people(capsys: Capture) -> None:
    """P-12"""
    assert main(["docs", "example"]) == 0

    assert capsys.readouterr().out == (
        "smapd.drivers.example.Driver\n"
        "Counts: one reading each Rate, beginning with StartVal.\n"
        "\n"
        "StartVal  integer, default 0\n"
        "          the first value\n"
        "Rate      duration, default 1s\n"
        "          time between two readings; at least 10ms\n"
    )


def test_markdown_is_what_a_readme_has(capsys: Capture) -> None:
    assert main(["docs", "smap.drivers.example.Driver", "--markdown"]) == 0

    out = capsys.readouterr().out
    assert out.startswith("# smapd.drivers.example.Driver\n\nCounts: ")
    table = out[out.index("| key ") :]
    readme = Path(__file__).parents[2] / "drivers" / "example" / "README.md"
    assert table in readme.read_text()


@pytest.mark.parametrize(
    ("name", "first", "key"),
    [
        ("server", "[server]", "Port "),
        ("[server]", "[server]", "Port "),
        ("report", "[report NAME]", "ReportResource "),
        ("agent", "[agent NAME]", "RepairInterval"),
    ],
)
def test_sections_are_told_too(name: str, first: str, key: str, capsys: Capture) -> None:
    assert main(["docs", name]) == 0

    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == first
    assert any(line.startswith(key) for line in lines)


def test_no_line_is_wider_than_a_screen(capsys: Capture) -> None:
    for name in ("server", "report", "system"):
        main(["docs", name])

    assert max(map(len, capsys.readouterr().out.splitlines())) <= 100


def test_without_a_name_it_says_what_there_is(capsys: Capture) -> None:
    assert main(["docs"]) == 0

    sections, drivers = capsys.readouterr().out.splitlines()
    assert sections.startswith("sections  server, ")
    assert "example" in drivers


@pytest.mark.parametrize(
    ("name", "meant"),
    [("srever", "server"), ("exampel", "example"), ("smapd.drivers.exampel.Driver", None)],
)
def test_an_unknown_name_gets_the_nearest(name: str, meant: str | None, capsys: Capture) -> None:
    assert main(["docs", name]) == 1

    out, err = capsys.readouterr()
    assert out == ""
    assert f"Did you mean {meant or 'smapd.drivers.example.Driver'}?" in err


def test_a_driver_without_a_table_says_so(capsys: Capture) -> None:
    assert main(["docs", "smapd.driver.BaseDriver"]) == 0

    assert capsys.readouterr().out.endswith("\nIt takes any key, and checks none.\n")


def test_a_driver_without_options_says_so(here: Path, capsys: Capture) -> None:
    (here / "docs_d.py").write_text("class D:\n    OPTIONS = ()\n    def setup(self): ...\n")

    assert main(["docs", "docs_d.D"]) == 0

    assert capsys.readouterr().out == "docs_d.D\n\nIt has no options.\n"


def test_wrong_options_are_one_sentence(here: Path, capsys: Capture) -> None:
    (here / "docs_e.py").write_text("class D:\n    OPTIONS = (7,)\n    def setup(self): ...\n")

    assert main(["docs", "docs_e.D"]) == 1

    assert capsys.readouterr().err.startswith("smapd: docs_e.D: its OPTIONS are wrong: ")
