"""docs/desired.md: what it shows runs, and its tables name what there is."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from smapd.desired import AgentSide, Change, Exporter, registry
from smapd.desired.builtin import Host
from smapd.desired.services import services

from .conftest import run
from .test_actuator import House

PAGE = (Path(__file__).parents[2] / "docs" / "desired.md").read_text("utf-8")
MODEL, HANDLER = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def test_the_model_of_the_page_is_one() -> None:
    names: dict[str, Any] = {}
    exec(MODEL, names)

    export = Exporter().run(names["model"](), 1)

    assert [one.id.entity_type for one in export.resources] == [
        "smap::Actuator",
        "smap::Actuator",
        "std::File",
        "smap::Report",
    ]
    assert sum(map(len, export.requires.values())) == 3


def test_the_handler_of_the_page_works() -> None:
    exec(HANDLER, {"__name__": "page"})
    house = House()
    house.tree.add_actuator("/second", "%", house.dimmer)
    reports: Any = None
    known = services(house.run.threads, house.actuators, reports, house.tree)

    def bring(level: int, purged: bool = False) -> Change:
        scene = SimpleNamespace(
            entity_type="hall::Scene",
            host=Host("edge"),
            name="evening",
            lamps=["/dimmer", "/second"],
            level=level,
            purged=purged,
        )
        return run(scene, AgentSide("edge", services=known)).change

    assert [bring(40), bring(40), bring(50), bring(50, purged=True), bring(50, purged=True)] == [
        Change.CREATED,
        Change.NOCHANGE,
        Change.UPDATED,
        Change.PURGED,
        Change.NOCHANGE,
    ]


def test_its_tables_name_every_field() -> None:
    for name in ("std::File", "smap::Actuator", "smap::Report"):
        table = PAGE.partition(f"## {name}\n")[2].partition("\n## ")[0]
        told = ", ".join(re.findall(r"^\| ([\w, ]+) \|", table, re.MULTILINE)).split(", ")

        assert set(registry.frozen().resources[name].cls.fields) <= set(told), name
