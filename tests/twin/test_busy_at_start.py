"""A daemon that cannot take a thing just now is waited for, as one that is not there."""

from __future__ import annotations

import pytest

from smapd.errors import NotConnected
from smapd.twin import Integrator
from tests.twin.programs import Heard, Said
from tests.twin.test_links import server, web

pytestmark = pytest.mark.real


@pytest.mark.parametrize("status", [429, 502, 503])
def test_a_server_that_is_busy_at_the_start_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    """IN-14, IN-18: a full daemon, or a proxy whose daemon is being started again."""
    monkeypatch.setattr("smapd.twin.client.START_S", 0.2)
    with server() as hub:
        hub.status = status
        client = web(hub.url)
        integrator = Integrator({}, client, Heard())
        integrator.start()
        hub.status = 0

        assert integrator.publish_event(Said("a", data={"words": "x"}), retry=True) == 0
        assert client.close()


def test_an_address_without_a_daemon_is_an_error_at_start() -> None:
    """IN-14: a wrong path does not become right by waiting."""
    with server() as hub:
        hub.status = 404
        client = web(hub.url)
        with pytest.raises(NotConnected, match="answers 404"):
            Integrator({}, client, Heard()).start()
        assert client.close()
