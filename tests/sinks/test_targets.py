"""Which addresses a report made over HTTP may go to."""

import ipaddress

import pytest

from smapd.sinks import Targets

PUBLIC = ["93.184.216.34", "8.8.8.8", "2606:2800:220:1:248:1893:25c8:1946"]
INSIDE = ["127.0.0.1", "127.8.8.8", "::1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "fd00::1"]
NEVER = [
    "169.254.169.254",
    "169.254.0.1",
    "fe80::1",
    "fe80::1%eth0",
    "fd00:ec2::254",
    "100.100.100.200",
    "0.0.0.0",
    "::",
    "224.0.0.1",
    "ff02::1",
    "255.255.255.255",
    "::ffff:169.254.169.254",
    "64:ff9b::a9fe:a9fe",
    "2002:a9fe:a9fe::1",
    "::169.254.169.254",
    "name.example",
    "",
]
EVERYTHING = [ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_network("::/0")]


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_open(address: str) -> None:
    """SM-24: a report made over HTTP goes to public addresses."""
    assert Targets().refusal(address) == ""


@pytest.mark.parametrize(
    "address", [*INSIDE, "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1"]
)
def test_loopback_and_private_ones_are_for_who_asked_from_this_machine(address: str) -> None:
    assert "AllowTargets does not name" in Targets().refusal(address)
    assert Targets(local=True).refusal(address) == ""


@pytest.mark.parametrize("address", NEVER)
def test_some_are_never_open(address: str) -> None:
    assert Targets(EVERYTHING, local=True).refusal(address) != ""


def test_what_allow_targets_names_is_open() -> None:
    targets = Targets([ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("fd12::/16")])

    assert targets.refusal("10.200.0.1") == ""
    assert targets.refusal("fd12::1") == ""
    assert targets.refusal("192.168.0.1") != ""
    assert targets.refusal("fd13::1") != ""


@pytest.mark.parametrize("address", ["100.64.0.1", "192.0.2.1", "240.0.0.1", "198.18.0.1"])
def test_addresses_that_are_not_public_need_to_be_named(address: str) -> None:
    assert Targets().refusal(address) != ""
