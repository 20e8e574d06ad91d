"""The HTTP keys of [server]."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from smapd.errors import SecretUnreadable
from smapd.http import TABLES, Listener, listener_from
from smapd.http.listener import is_loopback
from smapd.options import Where, merge
from smapd.values import Severity

TOKEN = "0123456789abcdef" * 4
ALL = {"Token": TOKEN, "Certificate": "c.pem", "PrivateKey": "k.pem"}
SERVER = merge(TABLES)["server"]


def parse(**keys: Any) -> tuple[dict[str, Any], list[str]]:
    values, problems = SERVER.parse(keys, Where("x.ini", "server", 1))
    return values, [str(p) for p in problems]


def test_without_a_section_it_is_loopback_and_8080() -> None:
    """SEC-01: it starts on loopback without any set-up."""
    values, problems = parse()
    listener = listener_from(values)

    assert problems == []
    assert (listener.interface, listener.port, listener.token) == ("127.0.0.1", 8080, None)
    assert listener.is_loopback
    assert not listener.is_secure
    assert listener_from(values, port=0).port == 0


@pytest.mark.parametrize("interface", ["0.0.0.0", "::", "192.0.2.1", "2001:db8::1"])
@pytest.mark.parametrize(
    ("keys", "missing"),
    [
        ({}, "Token, Certificate and PrivateKey"),
        ({"Token": TOKEN}, "Certificate and PrivateKey"),
        ({"Certificate": "c", "PrivateKey": "k"}, "Token"),
    ],
)
def test_any_other_interface_needs_all_three(
    interface: str, keys: dict[str, str], missing: str
) -> None:
    """SEC-01: refused, with what is missing."""
    _, problems = parse(Interface=interface, **keys)

    assert problems == [
        f"x.ini:1: [server] Interface = {interface}: other machines can reach it, which needs "
        f"{missing}. Give them, or listen on 127.0.0.1."
    ]


@pytest.mark.parametrize("interface", ["127.0.0.1", "127.0.0.2", "::1", "[::1]", "localhost"])
def test_loopback_needs_nothing(interface: str) -> None:
    """SEC-01: every loopback address."""
    assert parse(Interface=interface)[1] == []


def test_with_all_three_it_is_a_tls_listener() -> None:
    """SEC-01: what is needed is what it gets."""
    values, problems = parse(Interface="0.0.0.0", **ALL)
    listener = listener_from(values)

    assert problems == []
    assert listener.is_secure
    assert not listener.is_loopback
    assert listener.token == TOKEN.encode()
    assert (listener.certificate, listener.private_key) == ("c.pem", "k.pem")


def test_insecure_is_not_allowed_yet() -> None:
    """SEC-01: refused for now, with a sentence; `no` is fine."""
    assert parse(Insecure="yes")[1] == [
        "x.ini:1: [server] Insecure = yes: not allowed in this version. Leave it out; to be "
        "reached from other machines, give Token, Certificate and PrivateKey."
    ]
    assert parse(Insecure="no")[1] == []


@pytest.mark.parametrize(
    ("given", "other"), [("Certificate", "PrivateKey"), ("PrivateKey", "Certificate")]
)
def test_half_a_certificate_is_refused(given: str, other: str) -> None:
    """SEC-01: it would silently be no TLS at all."""
    (problem,) = parse(**{given: "x.pem"})[1]

    assert problem.endswith(f"{given}: given without {other}. Give both or neither.")


@pytest.mark.parametrize(
    ("key", "text"), [("Interface", "eth0"), ("Interface", "*"), ("Port", "70000"), ("Port", "x")]
)
def test_bad_values_are_refused(key: str, text: str) -> None:
    """SM-20: with what would do."""
    (problem,) = parse(**{key: text})[1]

    assert problem.startswith(f"x.ini:1: [server] {key} = {text}: ")


def test_a_short_token_is_a_warning_that_does_not_show_it() -> None:
    """SEC-02: a token that may be guessed; it is not quoted."""
    _, problems = SERVER.parse({"Token": "hunter2"})

    assert [p.severity for p in problems] == [Severity.WARNING]
    assert "hunter2" not in str(problems[0])


@pytest.mark.parametrize("text", ["two words", "tökén", "tab\there"])
def test_a_token_that_no_header_holds_stops_the_start(tmp_path: Path, text: str) -> None:
    """SEC-02: read from a file, it is checked when the section starts."""
    file = tmp_path / "token"
    file.write_text(text)
    values, _ = parse(Token=f"file:{file}")

    with pytest.raises(SecretUnreadable, match="blank or a character beyond ASCII") as caught:
        listener_from(values)

    assert text not in str(caught.value)


def test_a_token_is_never_shown() -> None:
    """SEC-07: not in a repr either."""
    assert TOKEN not in repr(listener_from(parse(**ALL)[0]))


def test_keys_ignore_case() -> None:
    """SM-20: the original's `port` is ours."""
    assert parse(port="9000")[0]["Port"] == 9000


@pytest.mark.parametrize(
    ("listener", "url"),
    [
        (Listener(), "http://localhost:8080/"),
        (Listener(interface="::1", port=1), "http://[::1]:1/"),
        (
            Listener(interface="192.0.2.1", certificate="c", private_key="k"),
            "https://192.0.2.1:8080/",
        ),
    ],
)
def test_the_address_to_show(listener: Listener, url: str) -> None:
    """SM-20: what is printed can be clicked."""
    assert listener.url() == url


def test_loopback_addresses_are_known() -> None:
    """SEC-01: IPv6 forms of IPv4 too; all interfaces are not loopback."""
    found = {a: is_loopback(a) for a in ("127.9.9.9", "::1", "::ffff:127.0.0.1", "0.0.0.0", "::")}

    assert list(found.values()) == [True, True, True, False, False]
