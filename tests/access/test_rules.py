"""The rule of access, for every kind of asker and every action."""

from __future__ import annotations

import pytest
from zope.interface.verify import verifyObject

from smapd.access import Access
from smapd.errors import Forbidden, Unauthorized
from smapd.interfaces import IAccess
from smapd.values import Action, Principal

READS = {Action.READ, Action.STATUS}
NEAR = Principal(loopback=True)
NEAR_TOKEN = Principal(loopback=True, token=True)
FAR = Principal()
FAR_TOKEN = Principal(token=True)


def answer(access: Access, who: Principal, what: Action) -> str:
    try:
        access.decide(who, what, "/data/x")
    except Unauthorized:
        return "401"
    except Forbidden:
        return "403"
    return "yes"


@pytest.mark.parametrize("what", Action)
def test_without_a_token_loopback_may_do_everything(what: Action) -> None:
    """SEC-02: until a token exists, whoever is on this machine may write."""
    assert answer(Access(None, True), NEAR, what) == "yes"


@pytest.mark.parametrize("what", Action)
def test_once_a_token_exists_loopback_needs_it_to_write(what: Action) -> None:
    """SEC-02: every write needs the token once there is one; reading stays open."""
    access = Access(b"t", True)

    assert answer(access, NEAR, what) == ("yes" if what in READS else "401")
    assert answer(access, NEAR_TOKEN, what) == "yes"


@pytest.mark.parametrize("what", Action)
def test_elsewhere_everything_needs_the_token(what: Action) -> None:
    """SEC-01, SEC-02: on another interface nothing is open, reading neither."""
    access = Access(b"t", False)

    assert answer(access, FAR, what) == "401"
    assert answer(access, FAR_TOKEN, what) == "yes"
    assert answer(access, NEAR, what) == "401"


@pytest.mark.parametrize("what", Action)
def test_elsewhere_without_a_token_nobody_gets_in(what: Action) -> None:
    """SEC-01: should such a listener ever be made, it answers nobody."""
    assert answer(Access(None, False), FAR, what) == "403"
    assert answer(Access(b"", False), FAR_TOKEN, what) == "403"


def test_a_stranger_at_a_loopback_listener_needs_the_token() -> None:
    """SEC-01: loopback is a fact about the connection, not only about the listener."""
    assert answer(Access(b"t", True), FAR, Action.READ) == "401"
    assert answer(Access(None, True), FAR, Action.READ) == "403"


def test_refusals_say_what_would_help() -> None:
    """SEC-03: one place decides, and says why."""
    with pytest.raises(Unauthorized, match="needs the token") as caught:
        Access(b"t", True).decide(NEAR, Action.WRITE, "/readings")

    assert "Authorization: Bearer" in caught.value.hint


def test_it_keeps_no_token() -> None:
    """SEC-07: the rule knows that there is a token, and not which."""
    access = Access(b"a very secret token", True)

    assert b"secret" not in b"".join(
        repr(getattr(access, name)).encode() for name in Access.__slots__
    )


def test_it_is_what_the_server_asks() -> None:
    """SEC-03: Access provides IAccess."""
    assert verifyObject(IAccess, Access(None, True))
