"""config/syntax.py: a value as it stands in a file."""

import time

import pytest
from configobj import ConfigObj, ConfigObjError
from hypothesis import given
from hypothesis import strategies as st

from smapd.config.reader import parse
from smapd.config.syntax import split_value, write_name, write_value


@pytest.mark.parametrize(
    ("text", "value", "comment"),
    [
        ("", "", ""),
        ("a b ", "a b", ""),
        ("a # c", "a", "# c"),
        ("a#c", "a", "#c"),
        ("# c", "", "# c"),
        ("a, b", ["a", "b"], ""),
        ("a,", ["a"], ""),
        (",", [], ""),
        (", # c", [], "# c"),
        ('"a, b" # c', "a, b", "# c"),
        ("'a # b', \"c\"", ["a # b", "c"], ""),
        ("it's", "it's", ""),
        ('"a" b"', 'a" b', ""),
        ('""', "", ""),
    ],
)
def test_a_value_is_text_or_list_and_comment(text, value, comment):
    assert split_value(text) == (value, comment)


@pytest.mark.parametrize("text", ['"a', '"a"b', "a,,b", ",a", "a, 'b", ",,"])
def test_what_does_not_match_is_refused(text):
    with pytest.raises(ValueError):
        split_value(text)


@given(st.text(alphabet="ab \t,#\"'=", max_size=8))
def test_a_value_is_read_as_configobj_reads_it(text):
    """Where both read it they agree; where only one does, it is on odd quotes alone."""
    try:
        theirs = ConfigObj([f"k = {text}"], interpolation=False)["k"]
    except ConfigObjError:
        theirs = None
    try:
        ours = split_value(text).value
    except ValueError:
        ours = None

    if text.strip()[:3] in ('"""', "'''"):
        return  # the reader, not this function, sees these
    plain = '"' not in text and "'" not in text
    if plain or (ours is not None and theirs is not None):
        assert ours == theirs


def test_a_line_of_many_quotes_with_one_mistake_takes_no_time():
    line = "k = " + '"a", ' * 2000 + '"b" c'
    started = time.process_time()

    doc = parse(f"[/]\n{line}\n", "f.ini")

    assert time.process_time() - started < 1.0
    assert [p.line for p in doc.problems] == [2]


TEXT = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters=list(map(chr, range(32))))
    | st.sampled_from("\n\t,#\"'= []"),
    max_size=30,
)
LINE = TEXT.filter(lambda t: "\n" not in t and "\x7f" not in t)


@given(st.one_of(TEXT.filter(lambda t: "\x7f" not in t), st.lists(LINE)))
def test_what_is_written_reads_back(value):
    try:
        written = write_value(value)
    except ValueError:
        both = [v for v in ([value] if isinstance(value, str) else value) if '"' in v]
        assert any("'" in v for v in both)  # nothing else may be refused
        return

    doc = parse(f"[/]\nk = {written}\nlast = 1\n", "f.ini")

    assert [p for p in doc.problems if p.severity.value == "error"] == []
    assert doc.sections[0].values == {"k": value, "last": "1"}


@given(LINE.filter(bool))
def test_names_of_keys_and_sections_read_back(name):
    try:
        key, section = write_name(name, stop="="), write_name("/" + name, stop="]")
    except ValueError:
        assert '"' in name
        assert "'" in name
        return

    doc = parse(f"[{section}]\n{key} = 1\n", "f.ini")

    assert [(s.name, dict(s.values)) for s in doc.sections] == [("/" + name, {name: "1"})]


@pytest.mark.parametrize("value", ["a\x07b", "a\rb", "\udc80", "'''\"\"\"\n", ["a\nb"], ["'\""]])
def test_what_a_file_cannot_hold_is_refused(value):
    with pytest.raises(ValueError):
        write_value(value)
