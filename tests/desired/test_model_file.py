"""``smapd desired export MODEL.py``: what is wrong in the file is one sentence, with its line."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from smapd.cli.desired_export import export_of, send
from smapd.cli.peer import Answered
from smapd.desired import PurgeableResource, registry, resource
from smapd.errors import BadModel, SmapError


@pytest.fixture(autouse=True)
def box() -> Iterator[None]:
    registry.clear()

    @resource("test::Box", agent="agent", id_attribute="name")
    class Box(PurgeableResource):
        fields = ("name",)

    yield
    registry.clear()


def model(folder: Path, text: str) -> Path:
    path = folder / "model.py"
    path.write_text(text)
    return path


BOX = """
class Box:
    name, agent, purged, purge_on_delete = "a", "edge", False, False
    requires = ()
"""


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("x = 1\ndef (:\n", "model.py, line 2: invalid syntax."),
        ("x = 1\nraise KeyError('z')\n", "model.py, line 2: KeyError: 'z'."),
        ("def model():\n    return 1 / 0\n", "model.py, line 2: ZeroDivisionError: division"),
        ("def model():\n    yield 1\n    1 / 0\n", "model.py, line 3: ZeroDivisionError"),
        ("def model(a): return []\n", "model.py: TypeError: model() missing 1 required"),
        ("import sys\nsys.exit(3)\n", "model.py ended the program, with 3"),
        ("entities = 5\n", "model.py gives no entities."),
    ],
)
def test_a_model_that_cannot_be_run_says_where(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(BadModel) as found:
        export_of(model(tmp_path, text))

    assert sentence in found.value.message


def test_the_model_s_own_part_of_a_traceback_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = model(tmp_path, "def inner():\n    1 / 0\ndef model():\n    inner()\n")

    with pytest.raises(BadModel):
        export_of(path)

    told = capsys.readouterr().err
    assert "in model" in told
    assert "in inner" in told
    assert "runpy" not in told


@pytest.mark.parametrize("wanted", ["['x']", "5", "[b'y']", "'text'"])
def test_a_requirement_that_is_no_entity_is_refused(tmp_path: Path, wanted: str) -> None:
    """Passed over, its order would be lost without a word."""
    path = model(tmp_path, f"{BOX}    requires = {wanted}\nentities = [Box()]\n")

    with pytest.raises(BadModel, match="its requires (holds|is the text)"):
        export_of(path)


def test_a_model_without_any_resource_says_so(tmp_path: Path) -> None:
    found = export_of(model(tmp_path, "class Bax: pass\nentities = [Bax(), Bax()]\n"))

    assert found.warnings == ["None of the 2 entities is of a type that is registered."]


def test_a_file_that_is_not_taken_is_named() -> None:
    class Full:
        def send(self, method: str, path: str, data: bytes) -> Any:
            raise Answered("The body has 20 bytes; 16 fit.", status=413)

    sha256 = hashlib.sha256(b"x").hexdigest()
    with pytest.raises(SmapError, match="the file big is not taken: The body has 20 bytes"):
        send(Full(), {}, {sha256: b"x"}, {sha256: "the file big"})  # type: ignore[arg-type]
