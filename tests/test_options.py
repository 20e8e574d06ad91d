"""options.py: the keys of one section."""

import copy
import os
import pickle
from contextlib import suppress
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smapd.errors import SecretUnreadable
from smapd.options import (
    REQUIRED,
    ListOf,
    Option,
    OptionTable,
    Secret,
    SecretUrl,
    Where,
    boolean,
    duration,
    edit_distance,
    hidden_keys,
    integer,
    merge,
    nearest,
    number,
    open_urls,
    path,
    port,
    read_regular,
    resolve,
    secret,
    secret_url,
    show,
    size,
    url,
    uuid,
    words,
)
from smapd.values import Problem, Severity


def table(*options: Option, **more) -> OptionTable:
    return OptionTable("thing", options, **more)


def texts(problems: list[Problem]) -> list[str]:
    return [str(p) for p in problems]


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (integer, "30", 30),
        (integer, " -7 ", -7),
        (integer, "0x1F", 31),
        (integer, "-9223372036854775808", -(2**63)),
        (number, "0.5", 0.5),
        (number, "1e3", 1000.0),
        (boolean, "Yes", True),
        (boolean, "off", False),
        (boolean, "1", True),
        (duration, "500ms", 0.5),
        (duration, "30", 30.0),
        (duration, "30 s", 30.0),
        (duration, "1.5m", 90.0),
        (duration, "1h", 3600.0),
        (duration, "1d", 86400.0),
        (size, "100", 100),
        (size, "64KiB", 65536),
        (size, "2GiB", 2**31),
        (size, "1.5k", 1536),
        (size, "3 M", 3 * 2**20),
        (size, "9223372036854775807", 2**63 - 1),
        (port, "0", 0),
        (port, "65535", 65535),
        (path, "a/b", Path("a/b")),
        (url("http"), "http://h:80/x?y=1", "http://h:80/x?y=1"),
        (url("mqtt", "mqtts"), "mqtts://h", "mqtts://h"),
        (
            uuid,
            "75503AC2-abf0-11e0-b7d6-0026bb56ec92",
            UUID("75503ac2-abf0-11e0-b7d6-0026bb56ec92"),
        ),
        (words, "one", ("one",)),
        (words, ["a", "b"], ("a", "b")),
        (ListOf(integer), ["1", "2"], (1, 2)),
    ],
)
def test_a_type_reads_what_it_says(kind, text, value):
    assert kind(text) == value
    assert type(kind(text)) is type(value) or isinstance(value, Path)


@pytest.mark.parametrize(
    ("kind", "text", "sentence"),
    [
        (integer, "1.5", "not a whole number. Write digits, like 30."),
        (integer, "1_000", "not a whole number. Write digits, like 30."),
        (integer, "٣", "not a whole number. Write digits, like 30."),
        (integer, "9223372036854775808", "beyond 64 bits. Write a smaller number."),
        (number, "nan", "not a number. Write one like 0.5."),
        (number, "1e999", "not a number. Write one like 0.5."),
        (number, "1_0", "not a number. Write one like 0.5."),
        (boolean, "maybe", "neither yes nor no. Write yes or no."),
        (duration, "30x", "not a duration. Write a number with ms, s, m, h or d, like 30s."),
        (duration, "-1s", "not a duration. Write a number with ms, s, m, h or d, like 30s."),
        (duration, "", "not a duration. Write a number with ms, s, m, h or d, like 30s."),
        (duration, "5M", "not a duration. Write a number with ms, s, m, h or d, like 30s."),
        (duration, "99999d", "longer than a hundred years. Write a shorter time, like 30d."),
        (
            size,
            "1 PiB",
            "not a size. Write bytes, or a number with KiB, MiB or GiB, like 64KiB.",
        ),
        (size, "9" * 30, "beyond 64 bits. Write a smaller size."),
        (port, "65536", "not a port. Write a number from 0 to 65535."),
        (port, "http", "not a port. Write a number from 0 to 65535."),
        (path, "", "not a path. Write the name of a file or directory."),
        (
            path,
            "~no-such-user-here/x",
            "no such user's home directory. Write the path in full.",
        ),
        (uuid, "{75503ac2-abf0-11e0-b7d6-0026bb56ec92}", None),
        (uuid, "7550_ac2-abf0-11e0-b7d6-0026bb56ec92", None),
        (url("http", "https"), "ftp://h/", "a URL of scheme ftp; http or https is needed."),
        (
            url("http"),
            "http:///x",
            "not a URL of scheme http. Write one like http://host/path.",
        ),
        (
            url("http"),
            "http://h:99999/",
            "not a URL of scheme http. Write one like http://host/path.",
        ),
        (
            url("http"),
            "http://h/a b",
            "a URL with a blank or control character in it. Write it as %20.",
        ),
        (number, "１２", "not a number. Write one like 0.5."),
        (secret, "", "empty. Write env:NAME or file:PATH."),
        (secret, "env:", "names nothing. Write env:NAME or file:PATH."),
    ],
)
def test_a_type_refuses_the_rest_with_a_sentence(kind, text, sentence):
    with pytest.raises(ValueError) as caught:
        kind(text)

    assert str(caught.value) == (
        sentence or "not a uuid. Write one like 75503ac2-abf0-11e0-b7d6-0026bb56ec92."
    )


@given(st.text())
def test_types_raise_nothing_but_value_errors(text):
    kinds = (integer, number, boolean, duration, size, port, path, uuid, url("http"), secret)
    for kind in (*kinds, secret_url, words):
        with suppress(ValueError):
            kind(text)


def test_declared_options_are_typed_and_defaulted():
    """SM-12: what a table declares arrives with its type, or as its default."""
    t = table(
        Option("Rate", duration, "30s", "between polls"),
        Option("Scale", float, 1.0, "factor"),
        Option("Count", int, 3, "number"),
        Option("On", bool, True, "whether"),
        Option("Name", str, None, "name"),
        Option("Units", words, (), "units"),
    )

    assert t.parse({"Rate": "5m", "Scale": "2", "Count": "7", "On": "no"}) == (
        {"Rate": 300.0, "Scale": 2.0, "Count": 7, "On": False, "Name": None, "Units": ()},
        [],
    )


def test_all_problems_of_a_section_come_at_once():
    """SM-12, SM-13, P-13: an unknown or bad key names file, line, section, key, what would do."""
    t = table(
        Option("Address", str, REQUIRED, "the host"),
        Option("Rate", duration, "30s", "between polls", at_least="100ms", at_most="1h"),
        title="Meter",
    )
    where = Where("pump.ini", "/m", 12, {"Rate": 14, "Bogus": 15})

    values, problems = t.parse({"Rate": "30x", "Bogus": "1"}, where)

    assert values == {}
    assert texts(problems) == [
        "pump.ini:14: [/m] Rate = 30x: not a duration. "
        "Write a number with ms, s, m, h or d, like 30s.",
        "pump.ini:15: [/m] Bogus: no such key of Meter.",
        "pump.ini:12: [/m] Address: missing. It is the host.",
    ]


@pytest.mark.parametrize(
    ("rate", "problem"),
    [
        ("100ms", []),
        ("1h", []),
        ("99ms", ["Rate = 99ms: below the least allowed, 100ms."]),
        ("61m", ["Rate = 61m: above the most allowed, 1h."]),
    ],
)
def test_bounds_are_inclusive(rate, problem):
    t = table(Option("Rate", duration, "30s", "rate", at_least="100ms", at_most="1h"))

    assert texts(t.parse({"Rate": rate})[1]) == problem


def test_bounds_and_choices_hold_for_each_item_of_a_list():
    t = table(
        Option("Ids", ListOf(integer), (), "ids", at_most=9),
        Option("Days", words, (), "days", choices=("mon", "tue")),
    )

    assert texts(t.parse({"Ids": ["1", "10"], "Days": ["mon", "teu"]})[1]) == [
        "Ids = 1, 10: above the most allowed, 9.",
        "Days = mon, teu: not one of mon, tue. Did you mean tue?",
    ]


def test_a_comma_list_for_a_text_asks_for_quotes():
    t = table(Option("Name", str, None, "name"))

    assert texts(t.parse({"Name": ["a", "b"]})[1]) == [
        'Name = a, b: a comma makes a list of it. Write quotes, like "a, b".'
    ]


def test_repeated_keys_come_by_number():
    t = table(Option("Loc*", str, None, "more locations"))

    assert t.parse({"Loc10": "c", "Loc0": "a", "Loc3": "b"}) == (
        {"Loc*": {0: "a", 3: "b", 10: "c"}},
        [],
    )
    assert list(t.parse({"Loc10": "c", "Loc0": "a"})[0]["Loc*"]) == [0, 10]
    assert t.parse({})[0] == {"Loc*": {}}
    assert texts(t.parse({"Loc": "x", "Loc01": "y", "Loc*": "z"})[1]) == [
        "Loc: no such key of [thing]. Did you mean Loc0?",
        "Loc01: no such key of [thing]. Did you mean Loc0?",
        "Loc*: no such key of [thing]. Did you mean Loc0?",
    ]


def test_a_parse_does_not_change_the_defaults():
    t = table(Option("Loc*", str, None, "more"))

    t.parse({"Loc0": "a"})

    assert t.parse({})[0] == {"Loc*": {}}


def test_a_deprecated_name_still_works_and_warns():
    t = table(
        Option("Address", str, REQUIRED, "host"),
        Option("Host", str, None, "old name", deprecated="use Address"),
        Option("Old", str, "x", "gone soon", deprecated="it does nothing"),
    )

    values, problems = t.parse({"Host": "h", "Old": "y"})

    assert values == {"Address": "h", "Old": "y"}
    assert [(p.key, p.text, p.severity) for p in problems] == [
        ("Host", "deprecated: use Address.", Severity.WARNING),
        ("Old", "deprecated: it does nothing.", Severity.WARNING),
    ]
    assert texts(t.parse({"Host": "h", "Address": "g"})[1]) == [
        "warning: Host: deprecated: use Address.",
        "Address: given already as Host.",
    ]


def test_a_table_may_ignore_case():
    """SM-11: keys of [server] ignore case; the values have the names as declared."""
    t = table(Option("Port", port, 8080, "port"), ignore_case=True)

    assert t.parse({"pORT": "1"}) == ({"Port": 1}, [])
    assert texts(t.parse({"port": "1", "PORT": "2"})[1]) == ["PORT: given already as port."]


def test_a_check_between_keys_sees_sound_values_only():
    seen = []

    def check(values, where):
        seen.append(dict(values))
        yield where.problem("A without B.", "A")

    t = table(Option("A", int, 1, "a"), check=check)

    assert texts(t.parse({"A": "x"})[1]) == ["A = x: not a whole number. Write digits, like 30."]
    assert texts(t.parse({"A": "5"})[1]) == ["A: A without B."]
    assert seen == [{"A": 5}]


def test_tables_of_several_rooms_for_one_section_become_one():
    one = OptionTable("server", (Option("Port", port, 1, "port"),), check=lambda v, w: [])
    two = OptionTable(
        "server",
        (Option("DataDir", path, "d", "dir"),),
        check=lambda v, w: [w.problem("second.")],
    )
    other = OptionTable("report*", ())

    merged = merge([one, two, other])

    assert list(merged) == ["server", "report*"]
    values, problems = merged["server"].parse({"PORT": "2"})
    assert values == {"Port": 2, "DataDir": Path("d")}
    assert texts(problems) == ["second."]
    with pytest.raises(ValueError, match="option Port of .server. is declared twice"):
        merge([one, one])


def test_a_wrong_declaration_is_noticed_when_the_table_is_made():
    with pytest.raises(ValueError, match="not a duration"):
        table(Option("Rate", duration, "30x", "rate"))


# --- secrets


@pytest.mark.parametrize("found", ["hunter2", "env:PUMP_KEY", "file:/etc/pump"])
def test_a_secret_is_never_shown(found):
    """P-22: neither text nor repr nor a problem shows a secret."""
    value = secret(found)

    assert f"{value} {value!r} {value:>3} {[value]}" == "*** *** *** [***]"
    with pytest.raises(TypeError):
        pickle.dumps(value)
    assert copy.deepcopy(value) is value


def test_a_bad_secret_is_not_quoted_in_its_problem():
    """P-22"""
    t = table(Option("Token", secret, None, "t"), Option("Url", secret_url, None, "u"))

    problems = t.parse({"Token": ["hunter2", "x"], "Url": "http://u:hunter2@:1/"})[1]

    assert len(problems) == 2
    assert "hunter2" not in "".join(texts(problems))


def test_secrets_come_from_environment_and_files_when_the_section_starts(monkeypatch, tmp_path):
    """P-22: env:NAME and file:PATH are read by resolve, not by the parse."""
    t = table(
        Option("A", secret, None, "a"),
        Option("B", secret, None, "b"),
        Option("C", secret, None, "c"),
        Option("U*", secret_url, None, "u"),
    )
    file = tmp_path / "key"
    values, problems = t.parse(
        {"A": "env:PUMP_A", "B": f"file:{file}", "C": "as is", "U0": "env:PUMP_URL"}
    )
    assert problems == []
    file.write_text("from file\n")
    monkeypatch.setenv("PUMP_A", "from env")
    monkeypatch.setenv("PUMP_URL", "http://h/add/KEY")

    found = resolve(values)

    assert [found[k].reveal() for k in "ABC"] == ["from env", "from file", "as is"]
    assert found["U*"][0].reveal() == "http://h/add/KEY"
    assert found["A"].source() == "env:PUMP_A"
    assert found["C"].source() == "as is"
    assert values["A"].reveal() == "from env"  # unresolved, it reads there and then
    assert found["A"] != values["A"]


@pytest.mark.parametrize(
    ("reference", "content", "sentence"),
    [
        ("env:PUMP_NONE", None, "K: environment variable PUMP_NONE is not set."),
        ("env:PUMP_EMPTY", None, "K: environment variable PUMP_EMPTY is empty."),
        ("file:{}", None, "K: file {}: No such file or directory."),
        ("file:{}", b"", "K: file {} is empty."),
        ("file:{}", b"\xff", "K: file {} is not UTF-8 text."),
        ("file:{}", b"x" * 70000, "K: file {} is larger than 64 KiB."),
    ],
)
def test_an_unreadable_secret_says_where_it_was_looked_for(
    monkeypatch, tmp_path, reference, content, sentence
):
    """SM-13, P-22"""
    file = tmp_path / "key"
    if content is not None:
        file.write_bytes(content)
    monkeypatch.setenv("PUMP_EMPTY", "")
    values, _ = table(Option("K", secret, None, "k")).parse({"K": reference.format(file)})

    with pytest.raises(SecretUnreadable) as caught:
        resolve(values)

    assert caught.value.message == sentence.format(file)


def test_a_secret_is_read_from_regular_files_alone(tmp_path):
    """P-22: reading a pipe waits for ever, and no signal ends that."""
    os.mkfifo(tmp_path / "pipe")

    for name in (tmp_path / "pipe", "/dev/zero"):
        with pytest.raises(SecretUnreadable, match=f"^file {name}: it is no regular file.$"):
            secret(f"file:{name}").resolve()
    with pytest.raises(SecretUnreadable, match=f"^file {tmp_path}: Is a directory.$"):
        secret(f"file:{tmp_path}").resolve()


def test_a_file_is_read_up_to_one_byte_more_than_its_bound(tmp_path):
    (tmp_path / "f").write_bytes(b"12345")

    assert read_regular(tmp_path / "f", 5) == b"12345"
    assert read_regular(str(tmp_path / "f"), 2) == b"123"


def test_open_urls_are_those_that_a_config_holds_itself():
    urls = table(Option("Url*", secret_url, None, "u"), Option("Word", str, "", "w"))
    raw = {"Url0": "http://h/key", "Url1": "env:URL", "Url2": "file:/url", "Word": "http://h/x"}

    assert open_urls(urls, raw) == {"Url0"}


def test_a_url_with_a_key_shows_only_its_host(monkeypatch):
    """P-22"""
    value = secret_url("https://user:pw@archiver.example:8079/add/KEY?x=y")

    assert str(value) == "https://archiver.example:8079/***"
    assert isinstance(value, SecretUrl)
    monkeypatch.setenv("PUMP_URL", "gopher://h/KEY")
    with pytest.raises(SecretUnreadable) as caught:
        secret_url("env:PUMP_URL").resolve()
    assert (
        caught.value.message == "env:PUMP_URL is a URL of scheme gopher; http or https is needed."
    )


def test_hidden_keys_are_those_with_a_secrets_text():
    t = table(
        Option("A", secret, None, "a"),
        Option("B", secret, None, "b"),
        Option("U", secret_url, None, "u"),
        Option("N", str, None, "n"),
    )

    raw = {"A": "text", "B": "env:X", "U": "http://h/KEY", "N": "x", "Z": "x"}
    assert hidden_keys(t, raw) == {"A"}


def test_equal_secrets_are_equal():
    assert secret("a") == secret("a")
    assert hash(secret("a")) == hash(secret("a"))
    assert secret("a") != secret("b")
    assert secret("a") != "a"
    assert Secret("http://h/") != secret_url("http://h/")


# --- names


@pytest.mark.parametrize(
    ("a", "b", "distance"),
    [
        ("server", "server", 0),
        ("sever", "server", 1),
        ("reprot", "report", 1),
        ("srvr", "server", 2),
        ("abc", "xyz", 3),
        ("", "abc", 3),
        ("a" * 500, "b" * 500, 3),
    ],
)
def test_edit_distance_counts_up_to_its_limit(a, b, distance):
    assert edit_distance(a, b) == distance


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("Adress", "Address"),
        ("address", "Address"),
        ("BaudRtae", "BaudRate"),
        ("Baudrate", "BaudRate"),
        ("xyzzy", None),
        ("", None),
        ("A" * 10000, None),
    ],
)
def test_nearest_finds_what_was_meant(name, found):
    """P-13"""
    assert nearest(name, ["Address", "BaudRate", "Timeout"]) == found


def test_what_is_shown_is_short_and_printable():
    assert show("a\nb\x1b[31m") == "a\\nb\\x1b[31m"
    assert show(["a", "b"]) == "a, b"
    assert show({"x": "y"}) == "[[…]]"
    assert len(show("x" * 1000)) == 60


def test_a_table_describes_itself():
    t = table(
        Option("Host", str, REQUIRED, "the host"),
        Option("Rate", duration, "30s", "rate", at_least="1s", at_most="1h"),
        Option("Mode", str, "a", "mode", choices=("a", "b|c")),
        Option("Key", secret, "x", "key"),
        Option("On", bool, False, "on"),
        Option("Old", int, None, "old", deprecated="use Rate"),
    )

    assert t.describe() == [
        ("Host", "text", "required", "the host"),
        ("Rate", "duration", "30s", "rate; at least 1s; at most 1h"),
        ("Mode", "text", "a", "mode; one of a, b|c"),
        ("Key", "secret", "***", "key"),
        ("On", "boolean", "no", "on"),
        ("Old", "integer", "", "old; deprecated, use Rate"),
    ]
    assert "| Mode | text | a | mode; one of a, b\\|c |\n" in t.markdown()
