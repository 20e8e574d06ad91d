import sys
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid5

import pytest

import smapd
from smapd.cli import run_driver
from smapd.cli.one_driver import section

EXAMPLE = "smapd.drivers.example.Driver"
ROOT = "75503ac2-abf0-11e0-b7d6-0026bb56ec92"


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, dict[str, Any], bool]]:
    """(plan, options, whether the data directory's place is there) of each ``run_plan``."""
    from pathlib import Path

    calls: list[tuple[Any, dict[str, Any], bool]] = []

    def run_plan(plan: Any, **options: Any) -> int:
        calls.append((plan, options, Path(options["data_dir"]).parent.is_dir()))
        return 0

    monkeypatch.setitem(sys.modules, "smapd.server", SimpleNamespace(run_plan=run_plan))
    monkeypatch.setattr(smapd, "server", SimpleNamespace(run_plan=run_plan), raising=False)
    return calls


Served = list[tuple[Any, dict[str, Any], bool]]


def test_the_driver_is_the_root_of_the_tree(served: Served) -> None:
    assert run_driver([EXAMPLE, "-u", ROOT, "-p", "8081", "StartVal=5", "Rate=2s"]) == 0

    ((plan, options, _),) = served
    (root,) = plan.sections
    assert (root.path, root.kind, str(plan.root_uuid)) == ("/", "driver", ROOT)
    assert (root.options["StartVal"], root.options["Rate"]) == (5, 2.0)
    assert options["port"] == 8081


def test_the_historical_name_is_taken(served: Served) -> None:
    assert run_driver(["smap.drivers.example.Driver", "-u", ROOT]) == 0

    from smapd.drivers.example import Driver

    assert served[0][0].sections[0].driver is Driver


def test_what_is_kept_goes_away_with_the_run(served: Served) -> None:
    run_driver([EXAMPLE, "-u", ROOT])

    (_, options, was_there) = served[0]
    assert was_there
    assert not options["data_dir"].parent.exists()


def test_what_is_kept_stays_where_a_directory_is_named(served: Served, tmp_path: Any) -> None:
    run_driver([EXAMPLE, "-u", ROOT, "-d", str(tmp_path / "d")])

    assert served[0][1]["data_dir"] == str(tmp_path / "d")
    assert tmp_path.exists()


def test_a_new_root_is_named_so_that_it_can_be_kept(
    served: Served, capfd: pytest.CaptureFixture[str]
) -> None:
    run_driver([EXAMPLE])

    assert capfd.readouterr().err == (
        f"run-driver: to keep these streams, run it again with -u {served[0][0].root_uuid}\n"
    )


def test_a_dry_run_prints_the_tree_and_starts_nothing(
    served: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    """SM-18"""
    assert run_driver([EXAMPLE, "-u", ROOT, "--dry-run"]) == 0

    assert capsys.readouterr() == (
        f"/\n/sensor0  long    V  {uuid5(UUID(ROOT), '/sensor0')}\n"
        "    Metadata/Instrument/ModelName = ExampleInstrument\n",
        "",
    )
    assert served == []


def test_without_a_driver_they_are_listed(
    served: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    """SM-18"""
    assert run_driver([]) == 0

    assert f"{EXAMPLE} " in capsys.readouterr().out
    assert served == []


def test_once_serves_nothing_unless_a_port_is_given(served: Served) -> None:
    run_driver([EXAMPLE, "--once"])
    run_driver([EXAMPLE, "--once", "-p", "0"])
    run_driver([EXAMPLE])

    assert [options["http"] for _, options, _ in served] == [False, True, True]


def test_what_only_a_config_file_could_mend_is_no_warning(served: Served) -> None:
    """That no timezone is given, for one."""
    run_driver([EXAMPLE])

    assert served[0][0].warnings == ()


def test_a_short_name_is_taken(served: Served) -> None:
    assert run_driver(["example", "-u", ROOT]) == 0

    assert served[0][0].sections[0].driver_name == "example"


@pytest.mark.parametrize("more", [[], ["--once"], ["--dry-run"]])
def test_a_module_that_cannot_be_imported_is_not_tried_again(
    more: list[str],
    served: Served,
    tmp_path: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "import_fails.py").write_text("nonsense\n")

    assert run_driver(["import_fails.D", "-u", ROOT, *more]) == 1

    out, err = capsys.readouterr()
    assert (out, served) == ("", [])
    assert err.startswith("Traceback (most recent call last):\n")
    assert f'"{tmp_path}/import_fails.py", line 1' in err
    assert err.endswith(
        "run-driver: [import_fails.D] import failed: NameError: name 'nonsense' is not defined\n"
    )


def test_a_missing_package_is_one_sentence(
    served: Served,
    tmp_path: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "extra_missing.py").write_text("import no_such_package_at_all\n")

    assert run_driver(["extra_missing.D", "-u", ROOT]) == 1

    assert capsys.readouterr().err.startswith("run-driver: extra_missing.D needs the package no_")
    assert served == []


def test_wrong_options_are_named_at_once(
    served: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    """P-13"""
    assert run_driver([EXAMPLE, "-u", ROOT, "Startval=1", "Rate=3y"]) == 78

    assert capsys.readouterr().err == (
        "Startval: no such key of Driver. Did you mean StartVal?\n"
        "Rate = 3y: not a duration. Write a number with ms, s, m, h or d, like 30s.\n"
        "2 problems; nothing was started.\n"
    )
    assert served == []


def test_an_option_given_twice_is_named(served: Served, capsys: pytest.CaptureFixture[str]) -> None:
    """P-13: there are no lines to speak of."""
    assert run_driver([EXAMPLE, "-u", ROOT, "Rate=1s", "StartVal=1", "Rate=2s"]) == 78

    assert capsys.readouterr().err == (
        "Rate: given twice. Keep one of them.\n1 problem; nothing was started.\n"
    )
    assert served == []


@pytest.mark.parametrize(
    ("driver", "sentence"),
    [
        ("nope", "no such type as nope."),
        ("Collection", "no such type as Collection."),
        ("exampel", "no such type as exampel. Did you mean example?"),
        ("nowhere.plant.Boiler", "there is no module nowhere."),
    ],
)
def test_an_unknown_driver_is_told_of_drivers_alone(
    driver: str, sentence: str, served: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    """SM-18"""
    assert run_driver([driver, "-u", ROOT]) == 78

    assert capsys.readouterr().err == (
        f"{sentence} `smapd drivers` lists them.\n1 problem; nothing was started.\n"
    )
    assert served == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["A=b"],
        [EXAMPLE, "novalue"],
        [EXAMPLE, "--once", "--timeout", "soon"],
        [EXAMPLE, "--once", "--timeout", "0"],
        [EXAMPLE, "type=other.Driver"],
        [EXAMPLE, "a b=c"],
        [EXAMPLE, "[/x]=c"],
        [EXAMPLE, "-p", "99999"],
        [EXAMPLE, "-d", ""],
        [EXAMPLE, "A=\udcff"],
        [EXAMPLE, "A=both \"and' #"],
    ],
)
def test_wrong_usage_is_status_2(
    arguments: list[str], served: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        run_driver(arguments)

    assert caught.value.code == 2
    assert served == []


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("plain words", "plain words"),
        ("a, b", ["a", "b"]),
        ('"a, b"', "a, b"),
        ("http://h/p#frag", "http://h/p#frag"),
        (' it\'s "so" ', None),
        (" padded ", " padded "),
        ("two\nlines", "two\nlines"),
        ('say "x" #1', 'say "x" #1'),
        ("", ""),
        ("a=b=c", "a=b=c"),
    ],
)
def test_a_value_reads_as_in_a_config_and_the_shell_loses_nothing(
    text: str, value: object, served: Served, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "unchecked_driver.py").write_text(
        "class D:\n    OPTIONS = None\n    def setup(self, opts): ...\n    def start(self): ...\n"
    )
    if value is None:
        with pytest.raises(SystemExit):
            run_driver(["unchecked_driver.D", "-u", ROOT, f"A={text}"])
        return

    assert run_driver(["unchecked_driver.D", "-u", ROOT, f"A={text}"]) == 0

    assert served[0][0].sections[0].options["A"] == value


def test_the_text_of_a_section_is_as_people_write_it() -> None:
    assert section("a.B", ROOT, [("Rate", "5s")]) == f"[/]\ntype = a.B\nuuid = {ROOT}\nRate = 5s\n"


def test_a_driver_name_cannot_bring_lines_of_its_own(
    served: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        run_driver([f"{EXAMPLE}\n[/evil]", "-u", ROOT])

    assert caught.value.code == 2
