"""What is shipped: the lists of setup.cfg against the tree; wheel and sdist as pip gets them."""

import configparser
import fnmatch
import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import pytest

import smapd

ROOT = Path(__file__).parent.parent
LEFT_OUT = shutil.ignore_patterns(
    ".git", ".venv*", "build", "dist", "*.egg-info", "__pycache__", ".*_cache", "smapd-data"
)


@pytest.fixture(scope="module")
def cfg() -> configparser.ConfigParser:
    found = configparser.ConfigParser()
    found.read(ROOT / "setup.cfg", encoding="utf-8")
    return found


def words(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


def folder(package: str) -> Path:
    if package == "smapd.drivers" or package.startswith("smapd.drivers."):
        package = package.removeprefix("smapd.")
    return ROOT.joinpath(*package.split("."))


def tree() -> list[str]:
    """The packages that are there."""
    found = ["twisted.plugins"]
    for top, prefix in (("smapd", ""), ("drivers", "smapd.")):
        for file in (ROOT / top).rglob("__init__.py"):
            found.append(prefix + ".".join(file.parent.relative_to(ROOT).parts))
    return sorted(found)


def test_the_packages_are_those_of_the_tree(cfg: configparser.ConfigParser) -> None:
    assert words(cfg["options"]["packages"]) == tree()


def test_files_that_are_no_code_are_named_as_package_data(cfg: configparser.ConfigParser) -> None:
    patterns = {
        package: [p.strip() for line in words(text) for p in line.split(",")]
        for package, text in cfg["options.package_data"].items()
    }
    missing = [
        str(file.relative_to(ROOT))
        for package in tree()
        for file in folder(package).iterdir()
        if file.is_file()
        and file.suffix not in (".py", ".pyc")
        and file.name != "dropin.cache"
        and not any(fnmatch.fnmatch(file.name, p) for p in patterns.get(package, ()))
    ]

    assert missing == []


def test_every_folder_of_code_is_a_package() -> None:
    """A folder without __init__.py works in a checkout, and is missing from the wheel."""
    without = {
        str(file.parent.relative_to(ROOT))
        for top in ("smapd", "drivers")
        for file in (ROOT / top).rglob("*.py")
        if not (file.parent / "__init__.py").exists()
    }

    assert without == set()


def test_twisted_is_not_shadowed() -> None:
    assert not (ROOT / "twisted" / "__init__.py").exists()
    assert not (ROOT / "twisted" / "plugins" / "__init__.py").exists()


@pytest.mark.parametrize("group", ["console_scripts", "smapd.drivers"])
def test_every_entry_point_leads_somewhere(cfg: configparser.ConfigParser, group: str) -> None:
    for line in words(cfg["options.entry_points"][group]):
        module, _, name = line.partition("=")[2].strip().partition(":")
        assert callable(getattr(import_module(module), name)), line


def test_drivers_import_as_part_of_smapd_alone() -> None:
    assert importlib.util.find_spec("smapd.drivers.example") is not None


# --- built


@dataclass
class Built:
    tree: Path
    wheel: Path
    sdist: Path


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Wheel and sdist of a copy of this tree; the wheel is made from the sdist."""
    copy = tmp_path_factory.mktemp("packaging") / "smapd"
    shutil.copytree(ROOT, copy, ignore=LEFT_OUT)
    subprocess.run(
        [sys.executable, "-m", "build", "-q", "--outdir", copy / "dist", copy],
        check=True,
        capture_output=True,
        timeout=300,
    )
    (wheel,) = (copy / "dist").glob("*.whl")
    (sdist,) = (copy / "dist").glob("*.tar.gz")
    return Built(copy, wheel, sdist)


@pytest.fixture(scope="module")
def installed(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of a clean environment with the wheel; what smapd needs comes from ours."""
    home = tmp_path_factory.mktemp("clean")
    subprocess.run([sys.executable, "-m", "venv", home], check=True, timeout=120)
    subprocess.run(
        [home / "bin" / "python", "-m", "pip", "--disable-pip-version-check", "install"]
        + ["-q", "--no-deps", "--no-index", built.wheel],
        check=True,
        capture_output=True,
        timeout=120,
    )
    return home / "bin"


def run(program: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    # On PYTHONPATH no .pth file acts, so an editable smapd of this environment is not seen.
    environment = {**os.environ, "PYTHONPATH": sysconfig.get_path("purelib")}
    return subprocess.run(
        [str(program), *arguments],
        cwd=program.parent,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.real
def test_the_wheel_holds_every_file_of_every_package(built: Built) -> None:
    with zipfile.ZipFile(built.wheel) as wheel:
        names = set(wheel.namelist())

    expected = {
        "/".join([*package.split("."), file.name])
        for package in tree()
        for file in folder(package).iterdir()
        if file.is_file() and file.suffix != ".pyc" and file.name != "dropin.cache"
    }
    assert expected <= names
    assert {name.split("/")[0] for name in names} == {
        "smapd",
        "twisted",
        f"smapd-{smapd.__version__}.dist-info",
    }


@pytest.mark.real
def test_the_sdist_holds_all_that_its_tests_and_make_need(built: Built) -> None:
    with tarfile.open(built.sdist) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}

    for wanted in ("Makefile", "LICENSE", "README.md", "ruff.toml", ".ci/run"):
        assert wanted in names
    grafted = "bench bin conf contrib debian docs drivers smapd tests twisted"
    for top in grafted.split():
        there = {
            file.relative_to(built.tree).as_posix()
            for file in (built.tree / top).rglob("*")
            if file.is_file() and "__pycache__" not in file.parts and file.name != "dropin.cache"
        }
        assert there - names == set()


@pytest.mark.real
def test_the_wheel_alone_has_the_commands(installed: Path) -> None:
    done = run(installed / "smapd", "--version")

    assert (done.stdout, done.stderr) == (f"smapd {smapd.__version__}\n", "")
    assert run(installed / "uuid").returncode == 0
    assert run(installed / "jprint", str(ROOT / "no.json")).returncode == 1


@pytest.mark.real
def test_the_wheel_alone_has_the_drivers(installed: Path) -> None:
    """They are imported from the wheel, under their one name."""
    done = run(installed / "python", "-c", "import smapd.drivers.system as s; print(s.__file__)")

    assert done.stdout.startswith(str(installed.parent)), done.stderr
    listed = run(installed / "smapd", "drivers")
    assert "\nsystem " in listed.stdout
    assert " smapd.drivers.system.SystemDriver " in listed.stdout


@pytest.mark.real
def test_the_wheel_alone_checks_the_demo(installed: Path) -> None:
    done = run(installed / "smapd", "check", str(ROOT / "conf" / "demo.ini"))

    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.real
def test_the_wheel_alone_is_known_to_twist(installed: Path) -> None:
    """SM-38"""
    done = run(installed / "python", "-m", "twisted", "smapd", "--help")

    assert "twist smapd" in done.stdout or "Usage: " in done.stdout, done.stderr
    assert "--data-dir" in done.stdout
