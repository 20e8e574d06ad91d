"""server.config's syntax: that of java.util.Properties, in UTF-8."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smapd.connectors.vantiq.properties import parse_properties


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a=1", {"a": "1"}),
        ("a:1", {"a": "1"}),
        ("a 1", {"a": "1"}),
        ("a\t\f1", {"a": "1"}),
        ("  a  =  1", {"a": "1"}),
        ("a = = 1", {"a": "= 1"}),
        ("a", {"a": ""}),
        ("a=", {"a": ""}),
        ("=1", {"": "1"}),
        ("a=b=c:d e", {"a": "b=c:d e"}),
        ("targetServer=https://dev.vantiq.com/", {"targetServer": "https://dev.vantiq.com/"}),
        ("tcpProbePort:8001", {"tcpProbePort": "8001"}),
        ("# no\n! no\n   # no\na=1", {"a": "1"}),
        ("a=1 # part of it", {"a": "1 # part of it"}),
        ("\n\n \t\na=1\n\n", {"a": "1"}),
        ("a=1\r\nb=2\rc=3\nd=4", {"a": "1", "b": "2", "c": "3", "d": "4"}),
        ("a=1\\\n   2\\\n\t3", {"a": "123"}),
        ("a=1\\\r\n  2", {"a": "12"}),
        ("a=1\\\\\nb=2", {"a": "1\\", "b": "2"}),
        ("a=1\\\\\\\nb=2", {"a": "1\\b=2"}),
        ("# a comment is not continued\\\na=1", {"a": "1"}),
        ("a=1\\\n# but this is a value", {"a": "1# but this is a value"}),
        ("a=1\\", {"a": "1"}),
        ("a\\=b=1", {"a=b": "1"}),
        ("a\\:b:1", {"a:b": "1"}),
        ("a\\ b 1", {"a b": "1"}),
        ("a=\\t\\n\\r\\f\\\\\\q\\=", {"a": "\t\n\r\f\\q="}),
        ("a=\\u00fc\\u00FC", {"a": "üü"}),
        ("a=\\ud83d\\ude00", {"a": "😀"}),
        ("a=Zürich 😀", {"a": "Zürich 😀"}),
        ("\ufeffa=1", {"a": "1"}),
        ("a=1\na=2", {"a": "2"}),
        ("a=\\  1  ", {"a": "  1  "}),
        ("", {}),
    ],
)
def test_a_file_reads_as_java_reads_it(text: str, expected: dict[str, str]) -> None:
    """VQ-33: property=value, one a line, also property:value; escapes, continuations, comments."""
    assert parse_properties(text) == expected


@pytest.mark.parametrize("text", ["a=\\u12", "a=\\u00g0", "\\uxyz=1", "a=\\ud83d", "a=\\ude00x"])
def test_an_escape_that_is_none_is_named_with_its_line(text: str) -> None:
    with pytest.raises(ValueError, match=r"^line 3: ") as raised:
        parse_properties("# one\n\n" + text)

    assert "Write" in str(raised.value)


def written(text: str) -> str:
    """As java.util.Properties stores a key or a value."""
    special = {"\t": "\\t", "\n": "\\n", "\r": "\\r", "\f": "\\f"}
    return "".join(special.get(c, f"\\{c}" if c in " =:#!\\" else c) for c in text)


@given(
    st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"])),
        st.text(st.characters(exclude_categories=["Cs"])),
    )
)
def test_what_java_stores_is_read_back(found: dict[str, str]) -> None:
    found = {key.removeprefix("\ufeff"): value for key, value in found.items()}
    text = "\n".join(f"{written(key)}={written(value)}" for key, value in found.items())

    assert parse_properties(text) == found


@given(st.text())
def test_any_text_is_read_or_refused_with_a_line(text: str) -> None:
    said = "line "
    try:
        parse_properties(text)
    except ValueError as error:
        said = str(error)

    assert said.startswith("line ")
