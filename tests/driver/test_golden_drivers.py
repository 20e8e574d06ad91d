"""The drivers recorded on the original daemon run unchanged, and give the tree recorded there."""

from __future__ import annotations

import importlib
import importlib.util
import json
import pathlib
import sys
import types
from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from smapd.config import (
    attach_section,
    find_driver,
    finish_driver_section,
    load_plan,
    namespace,
    resolve,
)
from smapd.core import SmapInstance
from smapd.driver import DriverHost

GOLDEN = pathlib.Path(__file__).parents[1] / "golden"
CASES = [
    case
    for case in json.loads((GOLDEN / "http.json").read_text())["cases"]
    if case["config"] == "drivers.ini"
]


@pytest.fixture(scope="module")
def tree() -> Iterator[SmapInstance]:
    """The tree of drivers.ini, each driver set up and read once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(GOLDEN / "configs"))
        if importlib.util.find_spec("smapd.actuate") is None:
            actuate = types.ModuleType("smapd.actuate")
            for name in ("BinaryActuator", "NStateActuator", "ContinuousActuator"):
                setattr(actuate, name, type(name, (), {}))
            patch.setitem(sys.modules, "smapd.actuate", actuate)
        plan = load_plan(GOLDEN / "configs" / "drivers.ini", tables=(), drivers=find_driver)
        inst = SmapInstance(plan.root_uuid)
        for section in plan.sections:
            attach_section(inst, section)
            if section.driver is None:
                continue
            scope = inst.scope(section.path, namespace(plan, section))
            host = DriverHost(section.driver, scope, resolve(section))
            host.setup()
            finish_driver_section(inst, section)
            if section.path == "/static":
                host.start()
            elif section.path == "/example":
                host.driver.read()
        inst.drain()
        yield inst
    sys.modules.pop("golden_drivers", None)


def _matches(found: Any, expected: Any) -> bool:
    if expected == "<TIME_MS>":
        return isinstance(found, int)
    if isinstance(expected, dict):
        return found.keys() == expected.keys() and all(
            _matches(found[k], v) for k, v in expected.items()
        )
    if isinstance(expected, list):
        return len(found) == len(expected) and all(map(_matches, found, expected))
    return bool(found == expected)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_recorded_tree_comes_out(tree: SmapInstance, case: dict[str, Any]) -> None:
    """SM-14, SM-15: golden_drivers.py, its uuids, metadata, options and readings."""
    path = case["request"]["path"].removeprefix("/data") or "/"

    found = tree.lookup(path)

    assert found is not None
    shown: Any = (
        {place: node.as_json() for place, node in found.items()}
        if isinstance(found, dict)
        else found.as_json()
    )
    shown = orjson.loads(orjson.dumps(shown))
    assert _matches(shown, case["response"]["json"]), (shown, case["response"]["json"])


def test_every_recorded_case_is_played() -> None:
    assert len(CASES) >= 12
