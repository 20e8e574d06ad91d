import pathlib
from typing import Any

import pytest

from smapd.cli import add, main
from smapd.errors import BadRequest
from tests.cli.daemon import FakeDaemon

NOW = 1_700_000_000_123


@pytest.fixture(autouse=True)
def at_a_fixed_time(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SMAPD_TOKEN", raising=False)
    monkeypatch.setattr(add, "wall_ms", lambda: NOW)


def series(data_type: str) -> dict[str, Any]:
    return {"uuid": "…", "Properties": {"ReadingType": data_type}, "Readings": []}


def added(
    data_type: str, *arguments: str, path: str = "/x", status: int = 0
) -> list[tuple[str, str, Any]]:
    """What a daemon with one series is asked by ``smapd add PATH ARGUMENTS``."""
    answers = {f"/data{path}": (200, series(data_type)), "/readings": (200, {"Readings": 1})}
    with FakeDaemon(answers) as daemon:
        assert main(["add", "--url", daemon.url, path, *arguments]) == status
    return [(method, where, body) for method, where, _, body in daemon.asked]


@pytest.mark.real
def test_a_reading_is_posted_with_the_time_it_was_given(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert added("double", "21.5") == [
        ("GET", "/data/x", None),
        ("POST", "/readings", {"/x": {"Readings": [[NOW, 21.5]]}}),
    ]
    assert capsys.readouterr().out == "/x 21.5 at 2023-11-14T22:13:20.123Z\n"


@pytest.mark.real
@pytest.mark.parametrize(
    ("data_type", "text", "value"),
    [
        ("long", "5", 5),
        ("long", "-5", -5),
        ("long", "true", True),
        ("double", "5", 5.0),
        ("double", "-1e5", -1e5),
        ("double", "-.5", -0.5),
        ("string", "5", "5"),
        ("string", " on ", " on "),
        ("string", "Zürich", "Zürich"),
    ],
)
def test_a_value_is_read_as_its_series_wants_it(data_type: str, text: str, value: object) -> None:
    (_, (_, _, body)) = added(data_type, text)

    (reading,) = body["/x"]["Readings"]
    assert reading == [NOW, value]
    assert type(reading[1]) is type(value)


@pytest.mark.real
@pytest.mark.parametrize(
    ("text", "word"), [("nan", "NaN"), ("inf", "Infinity"), ("-inf", "-Infinity")]
)
def test_what_json_has_no_number_for_goes_as_null_with_its_word(text: str, word: str) -> None:
    (_, (_, _, body)) = added("double", text)

    assert body == {"/x": {"Readings": [[NOW, None]], "NonFinite": [[0, word]]}}


@pytest.mark.real
@pytest.mark.parametrize(
    ("data_type", "text", "sentence"),
    [
        ("long", "1.5", "smapd: /x takes a whole number (long), not '1.5'.\n"),
        ("long", "1_000", "smapd: /x takes a whole number (long), not '1_000'.\n"),
        ("long", "１２", "smapd: /x takes a whole number (long), not '１２'.\n"),
        ("double", "１２", "smapd: /x takes a number (double), not '１２'.\n"),
        ("string", "\udcff", "smapd: /x takes UTF-8 text, not '\\udcff'.\n"),
        ("double", "warm", "smapd: /x takes a number (double), not 'warm'.\n"),
    ],
)
def test_a_value_that_does_not_fit_is_not_sent(
    data_type: str, text: str, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert added(data_type, text, status=1) == [("GET", "/data/x", None)]

    assert capsys.readouterr().err == sentence


@pytest.mark.real
def test_a_collection_takes_no_reading(capsys: pytest.CaptureFixture[str]) -> None:
    with FakeDaemon({"/data/hall": (200, {"Contents": []})}) as daemon:
        assert main(["add", "--url", daemon.url, "/hall", "1"]) == 1

    assert capsys.readouterr().err == (
        "smapd: /hall is a collection; a reading goes to a timeseries.\n"
    )


@pytest.mark.real
@pytest.mark.parametrize("found", [b"", [], {"error": "none"}])
def test_what_is_no_daemon_is_said_to_be_none(
    found: object, capsys: pytest.CaptureFixture[str]
) -> None:
    with FakeDaemon({"/data/x": (200, found)}) as daemon:
        assert main(["add", "--url", daemon.url, "/x", "1"]) == 1

    assert capsys.readouterr().err == (
        f"smapd: what answers at {daemon.url} is no smapd: it tells nothing of /x.\n"
    )


@pytest.mark.parametrize("text", ["１７０００００００００", "1_700_000_000"])
def test_a_time_in_other_digits_is_refused(text: str) -> None:
    with pytest.raises(BadRequest, match="neither seconds since 1970"):
        add.time_ms(text)


@pytest.mark.real
def test_an_unknown_path_is_answered_in_the_daemons_words(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with FakeDaemon({}) as daemon:
        assert main(["add", "--url", daemon.url, "/y", "1"]) == 1

    assert capsys.readouterr().err == "smapd: No such path\n"


@pytest.mark.real
def test_a_path_is_taken_as_people_write_it() -> None:
    answers = {"/data/a/b%20%3F": (200, series("long")), "/readings": (200, {})}
    with FakeDaemon(answers) as daemon:
        assert main(["add", "--url", daemon.url + "/", "a//b ?/", "1"]) == 0

    assert daemon.asked[1][3] == {"/a/b ?": {"Readings": [[NOW, 1]]}}


@pytest.mark.parametrize("path", ["", "/", "//", "/x/+", "+"])
def test_a_path_of_no_series_is_refused(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["add", path, "1"]) == 1

    assert capsys.readouterr().err.startswith(f"smapd: {path!r} is not the path of a timeseries.\n")


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("1700000000", 1_700_000_000_000),
        ("1700000000.1234", 1_700_000_000_123),
        ("0", 0),
        ("-1.5", -1500),
        ("2023-11-14T22:13:20Z", 1_700_000_000_000),
        ("2023-11-14 23:13:20.123+01:00", 1_700_000_000_123),
    ],
)
def test_times_are_seconds_or_dates_with_a_zone(text: str, ms: int) -> None:
    assert add.time_ms(text) == ms


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("noon", "--time noon: neither seconds since 1970 nor like 2026-11-20T09:00:00Z."),
        ("nan", "--time nan: neither seconds since 1970 nor like 2026-11-20T09:00:00Z."),
        ("1e300", "--time 1e300: neither seconds since 1970 nor like 2026-11-20T09:00:00Z."),
        ("2026-11-20T09:00", "--time 2026-11-20T09:00: names no zone; add Z or one like +01:00."),
        ("999999999999", "--time 999999999999: beyond the year 9999; are these seconds?"),
    ],
)
def test_a_time_that_says_too_little_is_refused(text: str, sentence: str) -> None:
    with pytest.raises(BadRequest) as caught:
        add.time_ms(text)

    assert caught.value.message == sentence


@pytest.mark.real
def test_the_time_can_be_given() -> None:
    (_, (_, _, body)) = added("long", "1", "--time", "1700000000")

    assert body == {"/x": {"Readings": [[1_700_000_000_000, 1]]}}
