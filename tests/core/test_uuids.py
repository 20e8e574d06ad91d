"""Stream uuids, held against the original library's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smapd.core import SmapInstance
from smapd.core.uuids import as_uuid, stream_uuid, text_as_uuid

GOLDEN = json.loads((Path(__file__).parent.parent / "golden/http.json").read_text("utf-8"))
ROOT = UUID(GOLDEN["root"])


@pytest.mark.parametrize("case", GOLDEN["uuids"], ids=lambda case: str(case["key"])[:20])
def test_uuids_are_those_of_the_original(case: dict[str, Any]) -> None:
    """SM-03: same root, key and path give the uuid that sMAP gave."""
    inst = SmapInstance(case["root"])
    namespace = None
    if case["namespace_from"] is not None:
        namespace = inst.uuid(case["namespace_from"])

    assert str(inst.uuid(case["key"], namespace)) == case["uuid"]


@pytest.mark.parametrize("key", ["/café", "café"])
def test_a_config_files_key_is_hashed_as_utf_8(key: str) -> None:
    """SM-03: a key from a file is UTF-8, where a driver's is unicode-escape."""
    case = next(c for c in GOLDEN["loads"] if c["name"] == "utf-8 key and path")
    path = {"/café": "/café", "café": "/k"}[key]

    made = SmapInstance(ROOT).add_timeseries(path, key, "V", key_encoding="utf-8")

    assert str(made.uuid) == case["tree"][path]["uuid"]
    assert made.uuid != stream_uuid(ROOT, key)


@given(st.text(st.characters(max_codepoint=127), min_size=1, max_size=50))
def test_ascii_keys_are_plain_uuid5_in_both_encodings(key: str) -> None:
    """SM-03"""
    assert stream_uuid(ROOT, key) == stream_uuid(ROOT, key, "utf-8") == uuid5(ROOT, key)
    assert stream_uuid(ROOT, key.encode()) == uuid5(ROOT, key)


@given(st.text(min_size=1, max_size=50))
def test_utf_8_keys_are_plain_uuid5(key: str) -> None:
    assert stream_uuid(ROOT, key, "utf-8") == uuid5(ROOT, key)


def test_a_key_is_neither_empty_nor_endless() -> None:
    with pytest.raises(ValueError, match="A key has 1 to 4096 characters; this has 0"):
        stream_uuid(ROOT, "")
    with pytest.raises(ValueError, match="this has 4097"):
        stream_uuid(ROOT, "x" * 4097)
    with pytest.raises(ValueError, match="surrogates not allowed"):
        stream_uuid(ROOT, "a\ud800", "utf-8")


def test_a_bad_uuid_is_named() -> None:
    """SM-01: a bad uuid is a ValueError that names it."""
    with pytest.raises(ValueError, match="The root's uuid '75503ac2' is not a uuid"):
        SmapInstance("75503ac2")
    with pytest.raises(ValueError, match="'7' is not a uuid"):
        as_uuid(7, "The uuid")


@pytest.mark.parametrize(
    "text",
    [
        "75503ac2-abf0-11e0-b7d6-0026bb56ec9",
        " 5503ac2-abf0-11e0-b7d6-0026bb56ec92",
        "7_503ac2-abf0-11e0-b7d6-0026bb56ec92",
        "/75503ac2-abf0-11e0-b7d6-0026bb56ec92",
        "",
    ],
)
def test_what_only_looks_like_a_uuid_is_none(text: str) -> None:
    assert text_as_uuid(text) is None


def test_the_usual_spellings_of_a_uuid_are_taken() -> None:
    for text in (str(ROOT), str(ROOT).upper(), ROOT.hex, f"{{{ROOT}}}", ROOT.urn):
        assert text_as_uuid(text) == ROOT
