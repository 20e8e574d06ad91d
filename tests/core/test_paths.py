"""Paths: what is one form of another, and what is no path."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smapd.core.paths import join, name_of, normalise, parent_of, shown, squash
from smapd.errors import BadPath


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("/", "/"),
        ("", "/"),
        ("//", "/"),
        ("/a", "/a"),
        ("a", "/a"),
        ("/a/", "/a"),
        ("//a//b//", "/a/b"),
        ("/a;b/c d", "/a;b/c d"),
        ("/café/π", "/café/π"),
        ("/a+b", "/a+b"),
        ("/...", "/..."),
    ],
)
def test_doubled_trailing_and_missing_slashes_make_no_difference(written: str, meant: str) -> None:
    """SM-02, SM-04: one node has one path however it is written."""
    assert normalise(written) == meant
    assert squash(written) == meant


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/a/./b", "/a/./b: . is no name of a node."),
        ("/..", "/..: .. is no name of a node."),
        ("/a/+", "/a/+: no name begins with '+', which asks for all below."),
        ("/+x/a", "/+x/a: no name begins with '+', which asks for all below."),
        ("/a\nb", "/a\\nb: a path has no control characters; found U+000A at place 2."),
        ("/a\x00", "/a\\x00: a path has no control characters; found U+0000 at place 2."),
        ("/a\x9b", "/a\\x9b: a path has no control characters; found U+009B at place 2."),
        ("/a\ud800", "/a\\ud800: a path has no control characters; found U+D800 at place 2."),
        (7, "A path is text like /hall/meter, not int."),
        (None, "A path is text like /hall/meter, not NoneType."),
    ],
)
def test_what_is_no_path_is_refused_in_a_sentence(path: object, said: str) -> None:
    with pytest.raises(BadPath) as caught:
        normalise(path)
    assert caught.value.message == said


def test_a_name_has_255_bytes_and_a_path_4096() -> None:
    assert normalise("/" + "x" * 255) == "/" + "x" * 255
    with pytest.raises(BadPath, match="a name has at most 255 bytes"):
        normalise("/" + "x" * 256)
    with pytest.raises(BadPath, match="a name has at most 255 bytes"):
        normalise("/" + "é" * 128)
    assert normalise("/x" * 2048)
    with pytest.raises(BadPath, match="a path has at most 4096 bytes"):
        normalise("/x" * 2049)


def test_parent_name_and_join() -> None:
    assert [parent_of(p) for p in ("/", "/a", "/a/b")] == ["/", "/", "/a"]
    assert [name_of(p) for p in ("/", "/a", "/a/b")] == ["", "a", "b"]
    assert join("/", "/a") == "/a"
    assert join("/d", "/") == "/d"
    assert join("/d", "/a/b") == "/d/a/b"


def test_a_long_path_is_cut_in_messages() -> None:
    assert shown("/" + "x" * 500) == "/" + "x" * 96 + "..."


@given(st.text(max_size=60))
def test_any_text_is_a_path_in_normal_form_or_refused(text: str) -> None:
    try:
        path = normalise(text)
    except BadPath as refused:
        message = refused.message
    else:
        message = ""
    assert message == "" or message.isprintable()
    if message:
        return
    assert normalise(path) == squash(path) == path
    assert path == "/" or not path.endswith("/")
    path.encode()
