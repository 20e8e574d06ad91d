"""The class that ``Handler`` names: found or refused in one sentence, with keys of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from smapd.connectors.tree.handler import handlers_of, import_handler, own_config
from smapd.connectors.tree.options import KEYS
from smapd.errors import ConfigError, MissingExtra, SecretUnreadable, SmapError


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Writes a module of a name that no other test has, in the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(name: str, text: str) -> None:
        (tmp_path / f"{name}.py").write_text(text)

    return write


def test_a_class_is_found_and_its_coroutines_by_either_name(module: Any) -> None:
    """VQ-12: close, connect, publish and query, also as handle_…"""
    module(
        "h_good",
        "class Pumps:\n"
        "    def __init__(self, connection, config): pass\n"
        "    async def query(self, context, message): pass\n"
        "    async def handle_connect(self, context, configuration): pass\n",
    )
    made = import_handler("h_good.Pumps", "connector plant")(None, {})

    found = handlers_of(made, "connector plant", "h_good.Pumps")

    assert found.query is not None
    assert found.connect is not None
    assert (found.publish, found.close) == (None, None)


@pytest.mark.parametrize(
    ("name", "text", "error", "words"),
    [
        ("h_none.Pumps", None, ConfigError, "there is no module h_none"),
        ("h_near.Pump", "class Pumps:\n async def query(self): ...", ConfigError, "mean Pumps?"),
        ("h_data.Pumps", "Pumps = 5", ConfigError, "it is a int, and no class"),
        ("h_bare.Pumps", "class Pumps: ...", ConfigError, "none of close, connect"),
        ("h_needs.Pumps", "import h_not_there", MissingExtra, "needs the package h_not_there"),
        ("h_raises.Pumps", "1 / 0", ConfigError, "raised ZeroDivisionError: division by zero"),
        ("h_exits.Pumps", "import sys; sys.exit(3)", ConfigError, "raised SystemExit: 3"),
    ],
)
def test_what_cannot_be_used_is_one_sentence(
    module: Any, name: str, text: str | None, error: type[SmapError], words: str
) -> None:
    if text is not None:
        module(name.partition(".")[0], text)

    with pytest.raises(error) as caught:
        import_handler(name, "connector plant")

    assert words in str(caught.value)
    assert "connector plant" in str(caught.value)


def test_an_object_whose_handler_cannot_be_called_is_refused(module: Any) -> None:
    class Pumps:
        query = 5

    with pytest.raises(ConfigError, match="its query is a int"):
        handlers_of(Pumps(), "connector plant", "x.Pumps")


def test_its_own_keys_are_snake_case_and_the_others_are_ours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("H_KEY", "k-1")
    options = {"TargetServer": "x", "Notify*": {}, "MaxSpeed": "30", "ApiKey": "env:H_KEY"}

    assert own_config(options, KEYS) == {"max_speed": "30", "api_key": "k-1"}

    with pytest.raises(SecretUnreadable, match="Sub/Key|Key: environment variable H_NIX"):
        own_config({"Nested": {"Key": "env:H_NIX"}}, KEYS)
