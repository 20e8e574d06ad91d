"""A delivery location taken apart."""

import pytest

from smapd.sinks.http.location import parse_location


@pytest.mark.parametrize(
    ("url", "dialled"),
    [
        ("http://a.example", b"http://a.example:80/"),
        ("https://a.example/x", b"https://a.example:443/x"),
        ("HTTP://A.Example:8080/x?y=1#part", b"http://a.example:8080/x?y=1"),
        ("http://a.example?y", b"http://a.example:80/?y"),
        ("http://[::1]:9/x", b"http://[::1]:9/x"),
        ("http://zürich.example/ä b", b"http://xn--zrich-kva.example:80/%C3%A4%20b"),
        ("http://a.example/100%25/%41", b"http://a.example:80/100%25/%41"),
        ("http://u:p@a.example/x", b"http://a.example:80/x"),
    ],
)
def test_where_a_url_leads(url: str, dialled: bytes) -> None:
    assert parse_location(url).url == dialled


@pytest.mark.parametrize(
    "url",
    ["", "x", "//h/x", "ftp://h/", "http://", "http://h:99999/", "http://h h/", "http://[::x]/"],
)
def test_what_leads_nowhere(url: str) -> None:
    with pytest.raises(ValueError, match="not a URL"):
        parse_location(url)


def test_a_line_end_cannot_make_a_second_header() -> None:
    location = parse_location("http://u%0d%0aX:p@h/a%0d%0ab\r\nX-Bad: 1")

    assert b"\r" not in location.url
    assert b"\n" not in location.url
    assert "\r" not in location.authorization


def test_what_is_shown_has_no_key() -> None:
    assert parse_location("https://u:p@h.example/KEY?k=1").shown == "h.example:443"
    assert parse_location("https://[fd00::1]/KEY").shown == "[fd00::1]:443"
