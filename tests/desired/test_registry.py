"""What the two decorators write."""

import sys
import types
from pathlib import Path
from typing import Any

import pytest

import smapd.desired
from smapd.desired import CRUDHandler, Resource, provider, registry, resource
from smapd.errors import BadModel


def make_resource(name: str = "std::File", module: str = "one") -> type[Resource]:
    cls = type("File", (Resource,), {"fields": ("path",), "__module__": module})
    return resource(name, agent="agent", id_attribute="path")(cls)


def make_handler(module: str = "one", cls_name: str = "H") -> type[CRUDHandler]:
    cls = type(cls_name, (CRUDHandler,), {"__module__": module})
    return provider("std::File", name="posix")(cls)


def test_a_provider_registers_its_handler() -> None:
    """IM-13"""
    cls = make_handler()

    one = registry.frozen().providers["std::File"]
    assert (one.cls, one.name, one.type_name) == (cls, "posix", "std::File")


def test_a_frozen_copy_does_not_change() -> None:
    """IM-13: a deploy goes on with the handlers it began with."""
    first = make_handler("one")
    frozen = registry.frozen()

    make_handler("two")
    registry.add_resource(registry.ResourceType("a::B", Resource, "x", "y"))

    assert frozen.providers["std::File"].cls is first
    assert "a::B" not in frozen.resources
    with pytest.raises(TypeError):
        frozen.providers["x"] = frozen.providers["std::File"]  # type: ignore[index]


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (make_resource, "two resource classes for std::File: one.File, and now two.File"),
        (make_handler, "two handler classes for std::File: one.H, and now two.H"),
    ],
)
def test_the_newest_of_one_name_wins_and_one_warning_names_both(make: Any, sentence: str) -> None:
    """IM-14"""
    make(module="one")
    newest = make(module="two")
    make(module="one")
    newest = make(module="two")

    frozen = registry.frozen()
    found = {**frozen.resources, **frozen.providers}["std::File"]
    assert found.cls is newest
    assert len([w for w in frozen.warnings if sentence in w]) == 1


def test_a_module_imported_anew_takes_its_own_place_silently() -> None:
    make_handler("one")
    newest = make_handler("one")

    assert registry.frozen().warnings == ()
    assert registry.frozen().providers["std::File"].cls is newest


def test_clear_forgets_all() -> None:
    make_resource()
    make_resource(module="two")
    make_handler()

    smapd.desired.registry.clear()

    assert registry.frozen() == registry.FrozenRegistry()


def test_only_a_handler_is_registered_for_a_type() -> None:
    with pytest.raises(BadModel, match="not a subclass of CRUDHandler"):
        provider("std::File", name="x")(dict)  # type: ignore[type-var]
    with pytest.raises(BadModel, match="not the type of an id"):
        provider("File", name="x")


def load(path: Path, name: str, text: str) -> types.ModuleType:
    path.write_text(text, "utf-8")
    module = types.ModuleType(name)
    module.__file__ = str(path)
    sys.modules[name] = module
    exec(compile(text, str(path), "exec"), module.__dict__)
    return module


HANDLER = """
from {base} import {name} as Base
from smapd.desired import provider

@provider("std::File", name="x")
class H(Base):
    STEP = {step}
"""


def test_the_hash_of_a_handler_is_that_of_its_code_and_its_bases(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """IM-14"""
    for name in ("d1_base", "d1_handler"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    base = "from smapd.desired import CRUDHandler\nclass Base(CRUDHandler):\n    {}\n"

    def hashed(step: int, body: str, version: int) -> str:
        folder = tmp_path / str(version)
        folder.mkdir()
        load(folder / "d1_base.py", "d1_base", base.format(body))
        text = HANDLER.format(base="d1_base", name="Base", step=step)
        load(folder / "d1_handler.py", "d1_handler", text)
        return registry.frozen().handler_hashes()["std::File"]

    first = hashed(1, "A = 1", 1)

    assert len(first) == 64
    assert hashed(1, "A = 1", 2) == first
    assert hashed(2, "A = 1", 3) != first
    assert hashed(1, "A = 2", 4) != first


def test_a_handler_without_source_has_no_hash() -> None:
    make_handler("nowhere")

    assert registry.frozen().handler_hashes() == {}
