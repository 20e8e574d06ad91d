"""config/reader.py: sections that know their lines."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smapd.config.reader import parse
from smapd.errors import ConfigError
from smapd.values import Severity


def problems(text: str) -> list[str]:
    return [str(p) for p in parse(text, "f.ini").problems]


def lines_of(text: str) -> dict[str, dict[str, int]]:
    doc = parse(text, "f.ini")
    return {s.name: {"": s.line, **doc.where(s).lines} for s in doc.sections}


def test_every_section_and_key_has_its_line():
    """P-13"""
    text = """# first line
[/]  # the root
uuid = x

  [ "/a b" ]
 'key' = 1
b = '''one
[/no]
no = 1
two'''  # ends here
"c = d" = 2
[[sub]]
c = 3
e = 4
[/z]
last = 1
"""

    assert lines_of(text) == {
        "/": {"": 2, "uuid": 3},
        "/a b": {"": 5, "key": 6, "b": 7, "c = d": 11, "sub": 12},
        "/z": {"": 15, "last": 16},
    }


def test_values_come_as_text_lists_and_nested_sections():
    doc = parse('[/]\na = 1\nb = x, y\nc = "x, y"\n[[s]]\nd = 1,\n[[[t]]]\ne = 2\n', "f.ini")

    assert doc.sections[0].values == {
        "a": "1",
        "b": ["x", "y"],
        "c": "x, y",
        "s": {"d": ["1"], "t": {"e": "2"}},
    }
    assert type(doc.sections[0].values["s"]) is dict


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends_of_any_system_are_read(end):
    doc = parse(end.join(["[/]", "a = 1", "b = x", ""]).encode(), "f.ini")

    assert doc.sections[0].values == {"a": "1", "b": "x"}
    assert doc.where(doc.sections[0]).lines["b"] == 3


def test_a_byte_order_mark_is_ignored():
    assert parse(b"\xef\xbb\xbf[/]\na = 1\n", "f.ini").sections[0].name == "/"


def test_other_line_separators_are_part_of_the_text():
    doc = parse("[/]\na = x\u2028y\x85z\n", "f.ini")

    assert doc.sections[0].values == {"a": "x\u2028y\x85z"}


def test_keys_below_a_bad_header_belong_to_nobody():
    doc = parse("[/a]\nk = 1\n[/a]\nk = 2\n[/b\nk = 3\n[[x]]\nk = 4\n[/c]\nk = 5\n", "f.ini")

    assert [(s.name, dict(s.values)) for s in doc.sections] == [
        ("/a", {"k": "1"}),
        ("/c", {"k": "5"}),
    ]
    assert [p.line for p in doc.problems] == [3, 5]


def test_a_problem_below_a_bad_header_names_that_header():
    assert problems("[/b\nk = 1\nk = 2\n")[1] == (
        "f.ini:3: [[/b] k: given already, at line 2. Keep one of them."
    )


def test_a_percent_sign_stays_and_is_warned_of():
    """SM-11: %(x)s is literal, and check warns."""
    doc = parse("[/]\na = 100%\nb = %(a)s\nc = %(a\n", "f.ini")

    assert doc.sections[0].values == {"a": "100%", "b": "%(a)s", "c": "%(a"}
    assert [str(p) for p in doc.problems] == [
        "f.ini:3: warning: [/] b = %(a)s: "
        "%(name)s is taken as it stands; nothing is put in its place."
    ]


@pytest.mark.parametrize(
    ("line", "warned"),
    [
        ("k = V # volts", False),
        ("k = http://h/ # the host", False),
        ("k = # nothing", False),
        ('k = "http://h/#top"', False),
        ("# k = http://h/#top", False),
        ("k = http://h/#top", True),
        ("k = a, http://h/#top", True),
        ("k = #ff0000", True),
    ],
)
def test_a_comment_that_cuts_a_value_is_warned_of(line, warned):
    """P-13"""
    found = problems(f"[/]\n{line}\n")

    assert bool(found) is warned
    if warned:
        assert "a # begins a comment and cuts the value. Write quotes around it." in found[0]


def test_what_looks_like_a_secret_is_not_quoted_before_types_are_known():
    """P-22"""
    text = "\n".join(
        [
            "[/]",
            'Password = "hunter2',
            "AuthToken = a,,hunter2",
            "Secret: hunter2",
            "ApiKey = hunter2#x",
        ]
    )

    found = problems(text)

    assert len(found) == 4
    assert "hunter2" not in "".join(found)


@pytest.mark.parametrize(
    "line",
    ["a" + " " * 60_000 + "b", "a" + " " * 60_000 + "b = 1", "[" * 30_000, "[/a" + " " * 60_000],
)
def test_a_line_that_never_comes_to_its_point_takes_no_time(line):
    started = time.process_time()

    found = problems(f"[/]\na = 1\n{line}\nb = 1\nb = 2\n")

    assert time.process_time() - started < 1.0
    assert found == [
        "f.ini:3: [/] neither a section nor key = value, and too long to tell.",
        "f.ini:5: [/] b: given already, at line 4. Keep one of them.",
    ]


def test_long_comments_and_values_are_read():
    long = "x" * 60_000
    doc = parse(f"# {long}\n[/]\na = {long}\nb = '''\n{long}'''\n", "f.ini")

    assert doc.problems == []
    assert doc.sections[0].values == {"a": long, "b": "\n" + long}


def test_a_text_given_is_read_like_a_file():
    assert parse("[/]\na = \u00e9\n", "f.ini").sections[0].values == {"a": "é"}


@given(st.binary(max_size=200))
def test_any_bytes_give_sections_or_problems(data):
    """SM-13: nothing but a ConfigError comes out, whatever stands in the file."""
    try:
        doc = parse(data, "f.ini")
    except ConfigError:
        return
    for section in doc.sections:
        assert doc.lines[section.line - 1].lstrip().startswith("[")


LINES = st.sampled_from(
    [
        "[/a]",
        "[/b]",
        "[[x]]",
        "[[[y]]]",
        "[/a",
        "[]",
        "k = 1",
        "k = a, b",
        "j = '''x",
        "x'''",
        'j = """x"""',
        'q = "',
        "nothing",
        "",
        "# c",
        "l = ,,",
    ]
)


@given(st.lists(LINES, max_size=12))
def test_any_mixture_of_lines_is_read_with_the_right_lines(lines):
    """P-13"""
    doc = parse("\n".join(lines), "f.ini")

    assert {p.line for p in doc.problems} <= set(range(1, len(lines) + 1))
    for section in doc.sections:
        for key, line in doc.where(section).lines.items():
            if key in section.values and section.line < line:
                assert key in lines[line - 1]
        assert not any("\x01" in key for key in section.values)
    if not any(p.severity is Severity.ERROR for p in doc.problems):
        assert len(doc.sections) == len({s.name for s in doc.sections})


def test_sections_in_sections_end_at_sixteen_levels():
    """SM-13: two thousand lines were enough to end a check with a traceback."""
    text = "".join("[" * n + f"a{n}" + "]" * n + f"\nx = {n}\n" for n in range(1, 1001))

    doc = parse(text + "[z]\nx = 1\n", "f.ini")

    assert [str(p) for p in doc.problems] == [
        f"f.ini:33: [{'[' * 16}a17{']' * 16}] nested deeper than 16 levels. Write fewer [."
    ]
    assert [s.name for s in doc.sections] == ["a1", "z"]
    deepest = doc.sections[0].values
    for n in range(2, 17):
        deepest = deepest[f"a{n}"]
    assert deepest == {"x": "16"}
