"""The config of a thing: dicts in every form, and INI files."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from smapd.errors import ConfigError, SecretUnreadable
from smapd.options import Secret, Where
from smapd.twin import TABLES, NestedConfig, ThingRunner
from smapd.twin.sections import config_of, name_of, snake_case
from smapd.twin.settings import (
    FollowerSettings,
    IntegratorSettings,
    follower_settings,
    integrator_settings,
    replay_from,
    thing_settings,
)

# --- dicts


def test_the_defaults() -> None:
    """IN-14, FO-03: an empty part will do."""
    assert integrator_settings({}, "bom") == IntegratorSettings("bom", False, ("*",), ())
    assert follower_settings({}) == FollowerSettings(False, ("*",), (), 256, None)


def test_the_older_nesting_is_read() -> None:
    """IN-23: t2.enabled and asset.event.modules."""
    old = {
        "source": "sap",
        "t2": {"enabled": True},
        "asset": {"event": {"modules": ["acmecorp.dt.events"]}, "discovery": {"text": "x"}},
    }

    assert integrator_settings(old, "bom") == IntegratorSettings(
        "sap", True, ("*",), ("acmecorp.dt.events",)
    )
    assert follower_settings(old).event_modules == ("acmecorp.dt.events",)


@pytest.mark.parametrize("yes", [True, "yes", "on", {"enabled": True}, {"enabled": "yes"}])
def test_t2_is_on(yes: Any) -> None:
    """IN-23, FO-26."""
    assert bool(follower_settings({"t2": yes}).t2)


@pytest.mark.parametrize(
    ("found", "wire"),
    [
        (None, None),
        ("", None),
        ("oldest", "oldest"),
        ("newest", "newest"),
        (17, 17),
        ("17", 17),
        ({"time_ms": 5}, {"time_ms": 5}),
        (datetime(2026, 1, 1, tzinfo=UTC), {"time_ms": 1767225600000}),
        ("2026-01-01T00:00Z", {"time_ms": 1767225600000}),
    ],
)
def test_a_replay_is_said_in_many_ways(found: Any, wire: Any) -> None:
    """FO-18."""
    assert replay_from(found) == wire


def test_a_replay_may_be_so_long_ago() -> None:
    """FO-18."""
    day, two = replay_from("1d")["time_ms"], replay_from("2d")["time_ms"]

    assert abs(day - two - 86_400_000) < 60_000


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ({"t2": "perhaps"}, r"\[follower\] t2 = perhaps: neither yes nor no"),
        ({"assets": 5}, r"\[follower\] assets = 5: not a list of words"),
        ({"max_unacked": 0}, "max_unacked = 0: not a whole number from 1 to 10000"),
        ({"max_unacked": "many"}, "not a whole number"),
        ({"replay": "soon"}, "replay = soon: write oldest, newest"),
        ({"replay": -1}, "replay = -1"),
        ("text", "the config of the follower is a dict"),
    ],
)
def test_what_is_no_good_is_named(config: Any, text: str) -> None:
    """FO-03: the key and what would do."""
    with pytest.raises(ConfigError, match=text):
        follower_settings(config)


def test_what_the_config_leaves_out_comes_from_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """IN-13: and the token is never shown."""
    monkeypatch.setenv("SMAPD_URL", "https://twin.example:8443")
    monkeypatch.setenv("SMAPD_TOKEN", "open sesame")

    found = thing_settings(None, "Pump")
    given = thing_settings({"name": "p", "url": "http://h:1", "token": "t"}, "Pump")

    assert (found.name, found.url) == ("Pump", "https://twin.example:8443")
    assert found.token is not None
    assert found.token.reveal() == "open sesame"
    assert "sesame" not in repr(found)
    assert (given.name, given.url, repr(given.token)) == ("p", "http://h:1", "***")


@pytest.mark.parametrize("name", ["", "x" * 129, "a\nb"])
def test_a_name_that_is_no_good_is_refused(name: str) -> None:
    """IN-13."""
    with pytest.raises(ConfigError, match="a name has 1 to 128 printable letters"):
        thing_settings({"name": name}, name)


def test_a_nested_config_is_read_by_its_path() -> None:
    """IN-40: as programs do it."""
    config = {"config": {"workers": "3", "bom": {"usr": "me"}}}

    assert NestedConfig.get(config, "config.workers", required=False, default=1, check=int) == 3
    assert NestedConfig.get(config, "config.loop_time", required=False, default=5) == 5
    assert NestedConfig.get(config, "config.bom.usr", check=lambda text: bool(text)) == "me"
    with pytest.raises(ValueError, match="the config lacks config.pwd"):
        NestedConfig.get(config, "config.pwd")
    with pytest.raises(ValueError, match="config.bom.usr = 'me' in the config is no good"):
        NestedConfig.get(config, "config.bom.usr", check=int)
    with pytest.raises(ValueError, match="no good"):
        NestedConfig.get(config, "config.bom.usr", check=lambda text: False)


# --- sections


@pytest.mark.parametrize(
    ("key", "snake"),
    [
        ("MaxUnacked", "max_unacked"),
        ("T2", "t2"),
        ("EventModules", "event_modules"),
        ("CaFile", "ca_file"),
        ("URL", "url"),
        ("SAPUser", "sap_user"),
        ("loop_time", "loop_time"),
    ],
)
def test_keys_become_snake_case(key: str, snake: str) -> None:
    """IN-14."""
    assert snake_case(key) == snake


INI = """
[integrator bom]
type = acmecorp.integrator.example.IntegratorExample
Url = https://twin.example
Token = env:BOM_TOKEN
Source = sap
T2 = yes
Assets = hall-*, pump7
EventModules = acmecorp.dt.events
MaxWorkers = 4
LoopTime = 30
Password = env:SAP_PASSWORD
[[Bom]]
Endpoint = "http://sap/{asset_id}"
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BOM_TOKEN", "token")
    monkeypatch.setenv("SAP_PASSWORD", "pass")
    path = tmp_path / "bom.ini"
    path.write_text(INI)
    return path


def test_a_class_that_wants_the_other_section_is_told_which(file: Path) -> None:
    """IN-40: a sentence with the section, no KeyError."""
    config = ThingRunner.from_ini(file)

    with pytest.raises(
        ConfigError, match=r"keys of a follower\. Write \[follower bom\], or \[thing"
    ):
        config["follower"]
    assert config.get("follower") is None
    for key in ("follower", "other"):  # as of any dict
        with pytest.raises(KeyError):
            config[key]


def test_a_file_gives_the_config_of_a_program(file: Path) -> None:
    """IN-14, IN-40: known keys typed, the class's own as text, at three places."""
    config = ThingRunner.from_ini(file)

    own = {"loop_time": "30", "password": "pass", "bom": {"endpoint": "http://sap/{asset_id}"}}
    assert config["name"] == "bom"
    assert config["url"] == "https://twin.example"
    assert isinstance(config["token"], Secret)
    assert config["config"] == own
    assert config["loop_time"] == "30"
    assert config["integrator"] == {
        **own,
        "source": "sap",
        "t2": True,
        "assets": ["hall-*", "pump7"],
        "event_modules": ["acmecorp.dt.events"],
        "max_workers": 4,
    }
    assert integrator_settings(config["integrator"], "bom") == IntegratorSettings(
        "sap", True, ("hall-*", "pump7"), ("acmecorp.dt.events",)
    )
    assert ThingRunner(file).client.name == "bom"


def test_a_thing_has_both_parts(tmp_path: Path) -> None:
    """IN-43: [thing NAME] is both."""
    path = tmp_path / "x.ini"
    path.write_text("[thing synth]\nMaxUnacked = 5\n[other]\nx = 1\n")

    config = ThingRunner.from_ini(path)

    assert config["integrator"] == config["follower"]
    assert config["follower"]["max_unacked"] == 5


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "there is no section of an integrator, follower or thing"),
        ("[integrator a]\n[follower b]\n", "which one: integrator a, follower b"),
        ("[follower a]\nMaxUnacked = x\n", r"\[follower a\] MaxUnacked = x: not a whole number"),
        ("[follower a]\nMaxUnackd = 5\n", "Did you mean MaxUnacked"),
        ("[follower a]\nUrl = nowhere\n", "not a URL"),
        ("[follower a\n", "Invalid line|parse"),
    ],
)
def test_a_file_that_is_no_good_is_named(tmp_path: Path, text: str, error: str) -> None:
    """Bad input: each with its sentence."""
    path = tmp_path / "x.ini"
    path.write_text(text)

    with pytest.raises(ConfigError, match=error):
        ThingRunner.from_ini(path)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, file: Path) -> None:
    """Bad input: missing, not text, a secret that is not there."""
    binary = tmp_path / "b.ini"
    binary.write_bytes(b"\xff\xfe\x00")

    with pytest.raises(ConfigError, match="No such file"):
        ThingRunner.from_ini(tmp_path / "none.ini")
    with pytest.raises(ConfigError, match="not UTF-8"):
        ThingRunner.from_ini(binary)
    file.write_text("[follower a]\nPassword = env:NO_SUCH_THING\n")
    with pytest.raises(SecretUnreadable, match="NO_SUCH_THING is not set"):
        ThingRunner.from_ini(file)


def test_the_section_is_chosen_where_there_are_several(tmp_path: Path) -> None:
    """IN-14: by its header or its name."""
    path = tmp_path / "x.ini"
    path.write_text("[integrator a]\n[follower b]\n")

    assert ThingRunner.from_ini(path, "b")["name"] == "b"
    assert ThingRunner.from_ini(path, "integrator a")["name"] == "a"
    assert name_of("integrator") == "integrator"


def table(kind: str) -> Any:
    return next(one for one in TABLES if one.section == kind)


def test_in_the_daemon_a_section_names_its_class() -> None:
    """IN-14: the rest may be left out; unknown keys are the class's own."""
    _values, problems = table("follower").parse({}, Where("c.ini", section="follower a"))
    values, none = table("thing").parse({"type": "a.B", "LoopTime": "5"})

    assert "type: missing" in str(problems[0])
    assert none == []
    assert config_of("thing", "a", values)["config"] == {"loop_time": "5"}


def test_a_slip_in_a_known_key_is_found() -> None:
    """Bad input: within two letters of a name it is no key of the class's own."""
    _values, problems = table("integrator").parse({"type": "a.B", "Asets": "x"})

    assert "Did you mean Assets?" in str(problems[0])


@pytest.mark.parametrize(
    ("header", "values", "text"),
    [
        ("follower x", {"Assets": "a b"}, "Assets: 'a b' is no asset id or pattern"),
        ("follower x", {"Assets": ["ok", "[a]"]}, "Assets: '[a]' is no asset id or pattern"),
        ("integrator x", {"MaxWorkers": "-1"}, "MaxWorkers = -1: below the least allowed, 1"),
        ("integrator x", {"type": "nonsense"}, "type = nonsense: not a class"),
        ("thing " + "x" * 129, {}, "its name has 1 to 128 printable letters"),
    ],
)
def test_what_the_daemon_would_refuse_for_ever_is_an_error_of_the_config(
    header: str, values: dict[str, Any], text: str
) -> None:
    """Bad input: at the start, with its line, and not at each try."""
    kind = header.partition(" ")[0]
    _values, problems = table(kind).parse(
        {"type": "a.B", **values}, Where("c.ini", section=header, line=3)
    )

    assert [one for one in problems if text in str(one)], problems


@pytest.mark.parametrize("read", [follower_settings, lambda c: integrator_settings(c, "x")])
def test_patterns_that_are_none_are_named_before_anything_is_asked(read: Any) -> None:
    """Bad input: also in a process of its own."""
    with pytest.raises(ConfigError, match="assets = a b: 'a b' is no asset id or pattern"):
        read({"assets": ["a b"]})
