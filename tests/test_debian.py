"""debian/: what its files say of each other and of smapd. That it works is .ci/deb's to show."""

import argparse
import configparser
import os
import re
import shlex
from pathlib import Path
from uuid import uuid4

import pytest

import smapd
from smapd.assembly import TABLES
from smapd.cli import exits, run, run_driver
from smapd.cli.main import COMMANDS
from smapd.config import load_text

ROOT = Path(__file__).parent.parent
DEBIAN = ROOT / "debian"
UNIT = (DEBIAN / "smapd@.service").read_text("utf-8")
DROP_INS = sorted((DEBIAN / "examples").glob("*.conf"))
MAINTAINER = ("postinst", "prerm", "postrm")


def text(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


def settings(unit: str) -> dict[str, list[str]]:
    """Each setting of [Service], with its values in order: some stand more than once."""
    found: dict[str, list[str]] = {}
    body = unit.partition("[Service]\n")[2].partition("\n[")[0]
    for line in body.splitlines():
        if line and not line.startswith("#"):
            key, _, value = line.partition("=")
            found.setdefault(key, []).append(value)
    return found


def parser(module: object) -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(exit_on_error=False)
    module.arguments(made)  # type: ignore[attr-defined]
    return made


def links() -> dict[str, str]:
    """Name in /usr/bin: the script that it leads to."""
    found = re.findall(r"ln -s \.\./lib/smapd/bin/(\S+) \S+/usr/bin/(\S+)", text("debian/rules"))
    return {name: script for script, name in found}


def options(module: object) -> set[str]:
    """The long options of a command's parser."""
    return {name for name in parser(module)._option_string_actions if name.startswith("--")}


# --- the unit


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("Type", "notify"),
        ("ExecStart", "/usr/bin/smapd run /etc/smapd/%i.ini --data-dir %S/smapd/%i"),
        ("User", "smapd"),
        ("StateDirectory", "smapd/%i"),
        ("StateDirectoryMode", "0700"),
        ("TimeoutStopSec", "30"),
        ("Restart", "on-failure"),
        ("PrivateDevices", "yes"),
        ("NoNewPrivileges", "yes"),
        ("ProtectSystem", "strict"),
        ("ProtectHome", "yes"),
        ("PrivateTmp", "yes"),
        ("CapabilityBoundingSet", ""),
        ("MemoryDenyWriteExecute", "yes"),
        ("RestrictAddressFamilies", "AF_INET AF_INET6 AF_UNIX"),
        ("SystemCallErrorNumber", "EPERM"),
    ],
)
def test_the_unit_has(key: str, value: str) -> None:
    """P-18, SEC-10: own user, data directory 0700, hardened."""
    assert settings(UNIT)[key] == [value]


def test_the_unit_starts_the_daemon_as_it_can_be_started() -> None:
    """P-18: its command line is one that `smapd run` takes."""
    program, command, *words = shlex.split(settings(UNIT)["ExecStart"][0].replace("%i", "main"))

    args = parser(run).parse_args(words)

    assert program.removeprefix("/usr/bin/") in links()
    assert command in COMMANDS
    assert (args.config, args.data_dir) == ("/etc/smapd/main.ini", "%S/smapd/main")


def test_the_unit_keeps_a_watchdog() -> None:
    """P-18: fed at half its time, which has to leave room for a slow disk."""
    assert int(settings(UNIT)["WatchdogSec"][0]) >= 20


def test_a_stop_has_the_time_that_it_needs() -> None:
    """Ten seconds beside the last commit."""
    assert int(settings(UNIT)["TimeoutStopSec"][0]) > 10


def test_what_only_a_change_helps_is_not_started_again() -> None:
    never = {int(status) for status in settings(UNIT)["RestartPreventExitStatus"][0].split()}

    assert never == {2, exits.CONFIG}


def test_after_any_other_failure_it_is_started_again_without_end() -> None:
    assert "\nStartLimitIntervalSec=0\n" in UNIT.partition("[Service]")[0]


def test_the_unit_waits_for_no_router() -> None:
    assert "network-online" not in re.sub(r"^#.*$", "", UNIT, flags=re.MULTILINE)


def test_the_unit_names_documents_that_are_packaged() -> None:
    documents = re.findall(r"file:///usr/share/doc/smapd/(\S+)", UNIT)

    assert documents == ["debian.md"]
    assert (ROOT / "docs" / documents[0]).is_file()
    assert "-X.md" in text("debian/rules")  # not compressed


@pytest.mark.parametrize("file", DROP_INS, ids=lambda file: file.name)
def test_a_drop_in_says_where_it_goes(file: Path) -> None:
    drop_in = file.read_text("utf-8")

    assert re.findall(r"^\[.*$", drop_in, re.MULTILINE) == ["[Service]"]
    assert f"{file.name} /etc/systemd/system/smapd@NAME.service.d/{file.name}\n" in drop_in
    assert f"examples/{file.name}" in text("docs/debian.md")


def test_serial_ports_are_opened_by_a_drop_in() -> None:
    opened = settings(text("debian/examples/serial.conf"))

    assert opened["PrivateDevices"] == ["no"]
    assert opened["DevicePolicy"] == ["closed"]  # but for those that follow
    assert all(device.startswith("char-tty") for device in opened["DeviceAllow"])
    assert opened["SupplementaryGroups"] == ["dialout"]


# --- the package


def test_the_package_has_the_version_of_smapd() -> None:
    newest = re.match(r"smapd \(([^)]+)\) ", text("debian/changelog"))

    assert newest is not None
    assert newest[1] == smapd.__version__


def test_the_package_belongs_to_one_python() -> None:
    """The environment has compiled modules, and a link to that interpreter."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    least = setup["options"]["python_requires"].removeprefix(">=")
    major, minor = least.split(".")
    control = text("debian/control")

    assert f" python3 (>= {least}),\n" in control
    assert f" python3 (<< {major}.{int(minor) + 1}),\n" in control


def test_the_build_takes_the_python_of_debian() -> None:
    """Another one that comes first in PATH would leave a link that leads nowhere."""
    rules = text("debian/rules")

    assert "\nPYTHON = /usr/bin/python3\n" in rules
    assert not re.search(r"^\t.*(?<![/\w'-])python3?(?![\w'*.])", rules, re.MULTILINE)


def test_every_command_is_installed() -> None:
    """SM-21: uuid as smapd-uuid, and jprint."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    scripts = setup["options.entry_points"]["console_scripts"].strip().splitlines()
    kept = re.search(r"^COMMANDS = (.*)$", text("debian/rules"), re.MULTILINE)

    assert kept is not None
    assert links() == {
        "smapd": "smapd",
        "smapd-run-driver": "run-driver",
        "smapd-uuid": "uuid",
        "jprint": "jprint",
    }
    assert {line.partition("=")[0].strip() for line in scripts} == set(links().values())
    assert set(links().values()) <= set(kept[1].split())


def test_every_command_has_a_manual_page() -> None:
    pages = {file.name: file.read_text("utf-8") for file in (DEBIAN / "man").iterdir()}

    assert set(pages) == {f"{name}.1" for name in links()}
    for name, page in pages.items():
        title = name.removesuffix(".1").replace("-", r"\-")
        assert page.startswith(f".TH {title.upper()} 1 "), name
        assert f"\n.SH NAME\n{title} \\- " in page, name


def test_the_manual_page_names_every_command_and_option_of_run() -> None:
    page = text("debian/man/smapd.1").replace("\\", "")

    missing = [name for name in COMMANDS if f"\n.B {name}\n" not in page]
    missing += [option for option in sorted(options(run)) if option not in page]
    assert missing == []


def test_the_manual_page_of_run_driver_names_its_options(
    capsys: pytest.CaptureFixture[str],
) -> None:
    page = text("debian/man/smapd-run-driver.1").replace("\\", "")
    with pytest.raises(SystemExit):
        run_driver(["--help"])

    named = set(re.findall(r"--[a-z][a-z-]*", capsys.readouterr().out)) - {"--help"}

    assert {"--port", "--once"} <= named
    assert {option for option in named if option not in page} == set()


def test_the_first_config_is_one_that_runs_and_is_the_machines_own() -> None:
    template = text("debian/main.ini")
    assert template.count("@UUID@") == 1
    root = str(uuid4())

    plan = load_text(template.replace("@UUID@", root), "main.ini", tables=TABLES)

    assert str(plan.root_uuid) == root
    assert plan.warnings == ()
    assert plan.server["Port"] == 8080
    assert "s/@UUID@/$(/usr/bin/smapd-uuid)/" in text("debian/smapd.postinst")


@pytest.mark.parametrize("name", MAINTAINER)
def test_a_maintainer_script_stops_at_a_failure_and_has_debhelpers_part(name: str) -> None:
    script = text(f"debian/smapd.{name}")

    assert script.startswith("#!/bin/sh\nset -e\n")
    assert "\n#DEBHELPER#\n" in script


def test_only_a_purge_takes_data_and_config() -> None:
    before, _, after = text("debian/smapd.postrm").partition('if [ "$1" = purge ]')

    for kept in ("/var/lib/smapd", "/etc/smapd", "deluser"):
        assert kept not in before
        assert kept in after
        assert kept not in text("debian/smapd.prerm")
    assert "rm -rf /etc/smapd\n" not in after  # what the administrator wrote stays


def test_what_a_script_makes_at_install_is_taken_at_remove() -> None:
    """Else dpkg leaves the directories behind."""
    made, taken = text("debian/smapd.postinst"), text("debian/smapd.prerm")

    assert "compileall" in made
    assert "__pycache__" in taken
    assert "getPlugins" in made
    assert "dropin.cache" in taken


@pytest.mark.parametrize("name", ["docs", "examples", "manpages"])
def test_every_file_that_is_listed_is_there(name: str) -> None:
    for pattern in text(f"debian/smapd.{name}").split():
        assert list(ROOT.glob(pattern)), pattern


@pytest.mark.parametrize(
    "name", ["debian/rules", "debian/build", "debian/need", ".ci/deb", ".ci/run"]
)
def test_a_script_can_be_run(name: str) -> None:
    assert os.access(ROOT / name, os.X_OK)


def test_the_package_is_built_and_tried_before_a_change_goes_in() -> None:
    assert re.search(r"^deb:\n\t.*debian/build dist$", text("Makefile"), re.MULTILINE)
    assert re.search(r"^limit \d+ \.ci/deb$", text(".ci/run"), re.MULTILINE)
    assert re.search(r"^limit \d+ make -s deb$", text(".ci/deb"), re.MULTILINE)
    assert "--threshold=20" in text(".ci/deb")  # an exposure of 2.0


def test_every_extra_but_the_tests_is_packaged() -> None:
    """A driver that is shipped runs without a network."""
    rules = text("debian/rules")

    assert "{*p['options.extras_require']} - {'test'}" in rules
    assert "SMAPD = .$(if $(EXTRAS),[$(EXTRAS)])" in rules
    assert rules.count('"$(SMAPD)"') == 2  # fetched, and installed
