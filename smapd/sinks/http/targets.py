"""Which addresses a report may go to, where somebody asked for it over HTTP.

Public addresses and those of ``[server] AllowTargets``; loopback and private ones only where the
request for the report came from this machine itself; link-local, metadata services, multicast and
unspecified addresses never. A config file's own reports go anywhere, and need no ``Targets``.

A name is looked up at each connect, its addresses are judged, and the connection goes to one of
those judged: no second look-up can turn it to another place.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Final, TypeAlias

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

_METADATA: Final = frozenset(
    ipaddress.ip_address(text) for text in ("169.254.169.254", "100.100.100.200", "fd00:ec2::254")
)
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
_SITE_LOCAL: Final = ipaddress.IPv6Network("fec0::/10")


class Targets:
    """The rule for one report.

    ``allow``: networks of ``AllowTargets``. ``local``: the report was asked for over loopback, of a
    daemon that listens on loopback only, without an Origin header.
    """

    def __init__(self, allow: Sequence[Network] = (), *, local: bool = False) -> None:
        self._allow = tuple(allow)
        self._local = local

    def refusal(self, address: str) -> str:
        """Why a report may not go to this IP address; "" if it may. Any thread."""
        try:
            ip = _plain(ipaddress.ip_address(address.partition("%")[0]))
        except ValueError:
            return "it is not an IP address"
        if ip in _METADATA:
            return "it is a metadata service's address, and reports never go there"
        if ip.is_link_local:
            return "it is a link-local address, and reports never go there"
        if ip.is_multicast or ip.is_unspecified or str(ip) == "255.255.255.255":
            return "no single machine has that address"
        if any(ip.version == one.version and ip in one for one in self._allow):
            return ""
        if ip.is_loopback:
            return (
                "" if self._local else "it is a loopback address, which AllowTargets does not name"
            )
        if ip.is_global and not (ip.version == 6 and ip in _SITE_LOCAL):
            return ""
        if ip.is_private or (ip.version == 6 and ip in _SITE_LOCAL):
            return (
                "" if self._local else "it is a private address, which AllowTargets does not name"
            )
        return "it is not a public address, and AllowTargets does not name it"


def _plain(ip: Address) -> Address:
    """The IPv4 address inside an IPv6 one, where it is one in disguise."""
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour
        if inner is None and ip in _NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is None and int(ip) >> 32 == 0 and int(ip) > 1:  # ::a.b.c.d, long out of use
            inner = ipaddress.IPv4Address(int(ip))
        return inner or ip
    return ip
