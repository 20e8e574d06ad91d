"""Every answer has an end that the requester sees, whatever the program writes into it."""

from __future__ import annotations

from typing import Any

import pytest

from smapd.errors import T2ResponseException
from smapd.http.errors import body_of
from smapd.twin import T2ProviderFailureReason
from smapd.twin.wire import encode
from smapd.values import T2ReqFailureReason
from tests.twin.programs import Played

REASON = T2ProviderFailureReason.RESOURCE_UNKNOWN


@pytest.mark.parametrize("message", ["no file \udcff.pdf", "x" * 1_000_000])
def test_a_failure_with_any_message_reaches_the_wire(message: str) -> None:
    """IN-31: file names that are no UTF-8 are such texts; without its end the requester waits."""
    played = Played()
    integrator = played.integrator(t2=True)
    played.request(2)

    integrator.t2_respond_error(played.heard.requests[0], REASON, message)

    sent = [frame for frame in played.peer.sent if frame.head["op"] == "failed"]
    assert [frame.head["reason"] for frame in sent] == ["RESOURCE_UNKNOWN"]
    assert encode(sent[0])


def test_an_error_with_half_a_surrogate_pair_has_a_body() -> None:
    """HT: an answer that cannot be written would leave its client waiting."""
    error = T2ResponseException("no file \udcff.pdf", reason=T2ReqFailureReason.RESOURCE_UNKNOWN)

    assert b"RESOURCE_UNKNOWN" in body_of(error)


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ({"type_": None}, "type"),
        ({"type_": b"Sum"}, "type"),
        ({"type_": "a\nb"}, "type"),
        ({"mime": "\ud800"}, "mime type"),
        ({"timeout": None}, "timeout"),
        ({"timeout": "5"}, "timeout"),
    ],
)
def test_a_request_that_is_none_is_said_before_it_is_sent(more: dict[str, Any], named: str) -> None:
    """FO-36: the sentence names what is wrong; also within the daemon."""
    follower = Played().follower(t2=True)

    with pytest.raises(TypeError, match=named):
        follower.t2_request("a", more.pop("type_", "Sum"), **more)
