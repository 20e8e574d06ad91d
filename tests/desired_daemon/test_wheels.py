"""IM-14: handlers that a version brings along, as a wheel."""

from __future__ import annotations

import hashlib
import io
import sys
import zipfile
from collections.abc import Iterator
from typing import Any

import pytest

from smapd.desired import registry
from smapd.desired.wheels import load_wheels
from smapd.errors import BadRequest
from smapd.values import ActionFilter

from .conftest import result

HANDLERS = """
from smapd.desired import CRUDHandler, Resource, provider, resource
from . import words

@resource("brought::Note", agent="host", id_attribute="name")
class Note(Resource):
    fields = ("name",)

@provider("brought::Note", name="notes")
class NoteHandler(CRUDHandler):
    def read_resource(self, ctx, resource):
        ctx.info(words.WORD)
"""


def wheel(word: str, *more: str) -> bytes:
    """A wheel of the package acmenotes, whose handler logs that word."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as f:
        f.writestr("acmenotes/__init__.py", "")
        f.writestr("acmenotes/words.py", f"WORD = {word!r}")
        f.writestr("acmenotes/handlers.py", HANDLERS)
        f.writestr("acmenotes-1.dist-info/METADATA", "Name: acmenotes")
        for name in more:
            f.writestr(name, "")
    return out.getvalue()


@pytest.fixture(autouse=True)
def put_back() -> Iterator[None]:
    path = list(sys.path)
    yield
    sys.path[:] = path
    for name in [n for n in sys.modules if n.startswith("acmenotes")]:
        del sys.modules[name]
    registry.clear()


def deploy(home: Any, data: bytes) -> dict[str, Any]:
    """Deploy one note with that code; the result of the resource."""
    sha256 = hashlib.sha256(data).hexdigest()
    result(home.desired.put_blob(sha256, data))
    body = {
        "resources": [{"id": "brought::Note[edge,name=n]", "requires": [], "name": "n"}],
        "code": [{"wheel": sha256, "modules": ["acmenotes.handlers"]}],
    }
    n = result(home.desired.add(body, token=True))
    d = result(home.desired.deploy(n, dry_run=False, token=True))
    found: dict[str, Any] = home.deployed(d)["results"][0]
    return found


def logged(home: Any) -> list[str]:
    found = result(home.desired.actions("brought::Note[edge,name=n]", ActionFilter(level="info")))
    return [one["logs"][0]["message"] for one in reversed(found)]


def test_a_version_brings_its_handlers_along(daemon: Any) -> None:
    home = daemon(accept_code=True)

    assert deploy(home, wheel("first"))["status"] == "deployed"
    assert deploy(home, wheel("second"))["status"] == "deployed"

    assert logged(home) == ["first", "second"]


def test_an_agent_that_accepts_no_code_has_no_handler(daemon: Any) -> None:
    found = deploy(daemon(), wheel("first"))

    assert found["status"] == "unavailable"
    assert "acmenotes" not in sys.modules


def test_code_that_cannot_be_loaded_leaves_the_agent_as_it_was(daemon: Any) -> None:
    home = daemon(accept_code=True)

    found = deploy(home, b"no wheel")

    assert found["status"] == "unavailable"
    assert any("cannot be loaded" in one["text"] for one in home.run.faults.status())


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"no wheel", "is no zip file"),
        (wheel("x", "acmenotes/fast.so"), "compiled code: acmenotes/fast.so"),
        (wheel("x", "json/__init__.py"), "the package json, which is not its own"),
        (wheel("x", "smapd/errors.py"), "the package smapd, which is not its own"),
    ],
)
def test_a_wheel_that_cannot_be_used_says_why(data: bytes, sentence: str) -> None:
    with pytest.raises(BadRequest, match=sentence):
        load_wheels([{"wheel": "0" * 64, "modules": []}], lambda sha256: data)
