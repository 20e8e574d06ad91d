import sys
from pathlib import Path

import pytest

from smapd.cli import main

Capture = pytest.CaptureFixture[str]


def listed(patch: pytest.MonkeyPatch, *drivers: tuple[str, str]) -> None:
    patch.setattr("smapd.config.list_drivers", lambda: list(drivers))


def test_each_is_listed_with_both_names_and_what_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    listed(
        monkeypatch,
        ("counter", "smapd.driver.BaseDriver"),
        ("e", "smapd.drivers.example.Driver"),
    )

    assert main(["drivers"]) == 0

    assert capsys.readouterr().out == (
        "counter  smapd.driver.BaseDriver       Counts from 0, one reading a second, on the "
        "timeseries /sensor0.\n"
        "e        smapd.drivers.example.Driver  Counts: one reading each Rate, beginning with "
        "StartVal.\n"
    )


def test_one_that_cannot_be_used_here_says_why_and_hides_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "listed_a.py").write_text("import no_such_package_at_all\n")
    (tmp_path / "listed_b.py").write_text("1 / 0\n")
    (tmp_path / "listed_c.py").write_text("class D:\n    def setup(self): ...\n")
    listed(monkeypatch, *((name, f"listed_{name}.D") for name in "abc"))

    assert main(["drivers"]) == 0

    a, b, c = capsys.readouterr().out.splitlines()
    assert a == (
        "a  listed_a.D  (listed_a.D needs the package no_such_package_at_all, which is not "
        "installed. Install it, or what it belongs to, with pip: no_such_package_at_all)"
    )
    assert b.endswith("import failed: ZeroDivisionError: division by zero)")
    assert c == "c  listed_c.D"
    sys.modules.pop("listed_c")


def test_without_an_installed_smapd_it_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    listed(monkeypatch)

    assert main(["drivers"]) == 1

    assert "pip install -e ." in capsys.readouterr().err
