"""The keys of a [connector NAME] section, and what is said of wrong ones."""

from __future__ import annotations

from typing import Any

import pytest

from smapd.assembly import TABLES
from smapd.config import load_text
from smapd.errors import ConfigError
from tests.connectors.tree.house import TABLE

HEAD = """
[/]
uuid = 75503ac2-abf0-11e0-b7d6-0026bb56ec92
Properties/Timezone = UTC
"""


def parsed(**keys: Any) -> tuple[dict[str, Any], list[str]]:
    given = {"type": "vantiq", "TargetServer": "https://x.example/", "Sources": "pump"} | keys
    given = {key: value for key, value in given.items() if value is not None}
    values, problems = TABLE.parse(given)
    return values, [f"{problem.key}: {problem.text}" for problem in problems]


def test_the_least_there_is() -> None:
    values, problems = parsed()

    assert problems == []
    assert values["Sources"] == ("pump",)
    assert values["Publish"] == "none"  # nothing is set from outside unless somebody says so
    assert values["Query"] == "both"
    assert values["TcpProbePort"] is None


def test_other_keys_are_the_handlers() -> None:
    values, problems = parsed(Handler="plant.pumps.Handler", MaxSpeed="30")

    assert problems == []
    assert values["MaxSpeed"] == "30"


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"type": "mqtt"}, "type: not one of vantiq"),
        ({"type": None}, "type: missing"),
        ({"TargetServer": None}, "TargetServer: missing, and there is no ServerConfig"),
        ({"Sources": None}, "Sources: missing"),
        ({"TargetServer": "ftp://x/"}, "TargetServer: a URL of scheme ftp"),
        ({"Notify": ""}, "Notify: empty"),
        ({"Notify": "/a/+/b"}, "Notify: /a/+/b: + stands at the end"),
        ({"Notify0": "/ok", "Notify10": "/x"}, "Notify10: one too many"),
        ({"Assets": "pump/7"}, "Assets: no asset id or pattern"),
        ({"Publish": "all"}, "Publish: not one of none, actuate, event, both"),
        ({"ConnectKWArgs": "{"}, "ConnectKWArgs: not a JSON object"),
        ({"ConnectKWArgs": '{"max_siz": 1}'}, "Did you mean max_size?"),
        ({"Handler": "Pumps"}, "Handler: no class"),
        ({"Notfy": "/+"}, "Notfy: no such key of a connector. Did you mean Notify?"),
        ({"TcpProbePort": "99999"}, "TcpProbePort: not a port"),
        ({"SendPings": "maybe"}, "SendPings: neither yes nor no"),
    ],
)
def test_what_is_wrong_is_said(keys: dict[str, Any], words: str) -> None:
    """VQ-29, VQ-31, VQ-35."""
    _values, problems = parsed(**keys)

    assert any(words in problem for problem in problems), problems


def test_a_server_config_may_say_the_rest() -> None:
    """VQ-28."""
    _values, problems = parsed(
        TargetServer=None, Sources=None, ServerConfig="serverConfig/server.config"
    )

    assert problems == []


def test_a_section_is_found_in_a_config_file_and_its_secrets_are_not_shown() -> None:
    text = HEAD + (
        "[connector plant]\ntype = vantiq\nTargetServer = https://x.example/\nSources = a, b\n"
        'AuthToken = very-secret\nConnectKWArgs = \'{"origin": "also-secret", "x": 1}\'\n'
    )
    with pytest.raises(ConfigError) as caught:
        load_text(text, "test.ini", tables=TABLES, drivers=lambda name: object)
    assert "very-secret" not in str(caught.value)
    assert "also-secret" not in str(caught.value)

    plan = load_text(
        text.replace(', "x": 1', ""),
        "test.ini",
        tables=TABLES,
        drivers=lambda name: object,
    )
    (section,) = plan.others
    assert (section.kind, section.name) == ("connector", "connector plant")
    assert section.options["Sources"] == ("a", "b")
    assert "secret" not in repr(section.options)


def test_a_misspelt_section_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"Did you mean \[connector plant\]"):
        load_text(
            HEAD + "[conector plant]\ntype = vantiq\n",
            "test.ini",
            tables=TABLES,
            drivers=lambda n: object,
        )


def test_a_path_that_is_nowhere_is_an_error() -> None:
    text = HEAD + (
        "[/hall]\ntype = Collection\n[connector plant]\ntype = vantiq\nSources = a\n"
        "TargetServer = https://x.example/\nNotify = /hall/+\nNotify0 = /hal/+\n"
    )
    with pytest.raises(ConfigError, match=r"Notify0 = /hal/\+: there is no /hal in this file"):
        load_text(text, "test.ini", tables=TABLES, drivers=lambda name: object)
