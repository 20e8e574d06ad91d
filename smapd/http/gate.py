"""Who asks, and may they: the checks before any route, made once for each request.

Against a hostile web page in the visitor's own browser: a loopback listener answers only to a
Host that names loopback (a page whose name was rebound to 127.0.0.1 sends its own name), and a
write that carries the Origin of another page is refused, as is one that the browser itself marks
as coming from elsewhere. No CORS header is ever sent, so no page but ours reads an answer.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote_to_bytes

from smapd.errors import BadRequest, Forbidden
from smapd.interfaces import IAccess
from smapd.values import Principal

from .listener import Listener
from .routes import action_of

if TYPE_CHECKING:
    from twisted.web.http_headers import Headers

_SAFE: Final = frozenset({b"GET", b"HEAD", b"OPTIONS"})
_ELSEWHERE: Final = frozenset({b"cross-site", b"same-site"})
_MOST_HOSTS = 32


class Gate:
    """The checks of one listener; on the reactor's thread."""

    def __init__(self, access: IAccess, listener: Listener) -> None:
        self._access = access
        self._scheme = b"https://" if listener.is_secure else b"http://"
        self._loopback = listener.is_loopback
        self._token_hash = None if listener.token is None else _hash(listener.token)
        # the Hosts that passed, so that the usual request costs one look-up
        self._hosts: set[bytes] = set()
        self._near = Principal(loopback=True)
        self._far = Principal()

    def admit(self, method: bytes, where: str, headers: Headers, from_loopback: bool) -> Principal:
        """Who asks for ``method`` of the address ``where`` (decoded), if they may.

        :raises BadRequest: without exactly one Host header.
        :raises Unauthorized: if the token would help.
        :raises Forbidden: if nothing would, as for a foreign Host or Origin.
        """
        hosts = headers.getRawHeaders(b"host")
        if hosts is None or len(hosts) != 1:
            raise BadRequest("The request needs one Host header.")
        host = hosts[0]
        if self._loopback and host not in self._hosts:
            self._check_host(host)
        origins = headers.getRawHeaders(b"origin")
        if method not in _SAFE:
            self._check_origin(host, origins, headers.getRawHeaders(b"sec-fetch-site"))
        who = self._near if self._loopback and from_loopback else self._far
        if self._token_hash is not None or origins:
            who = Principal(
                loopback=who.loopback,
                token=self._has_token(headers.getRawHeaders(b"authorization")),
                origin=origins[0].decode("latin-1") if origins else "",
            )
        self._access.decide(who, action_of(method.decode("latin-1"), where), where)
        return who

    def check_origin(self, headers: Headers) -> None:
        """For a GET that opens more than an answer: a WebSocket.

        :raises Forbidden: if a web page of another origin asks.
        """
        host = (headers.getRawHeaders(b"host") or (b"",))[0]
        self._check_origin(
            host, headers.getRawHeaders(b"origin"), headers.getRawHeaders(b"sec-fetch-site")
        )

    def knows(self, token: bytes) -> bool:
        """Whether this is the listener's token."""
        return self._token_hash is not None and hmac.compare_digest(_hash(token), self._token_hash)

    def _check_host(self, host: bytes) -> None:
        name = host_name(host)
        if not _names_loopback(name):
            raise Forbidden(
                f"Host {name[:100]!r} is not this machine's loopback.",
                hint="Ask for localhost or 127.0.0.1.",
            )
        if len(self._hosts) < _MOST_HOSTS:
            self._hosts.add(host)

    def _check_origin(
        self, host: bytes, origins: Sequence[bytes] | None, sites: Sequence[bytes] | None
    ) -> None:
        own = self._scheme + host.lower()
        if any(origin.lower() != own for origin in origins or ()) or (
            not origins and any(site.lower() in _ELSEWHERE for site in sites or ())
        ):
            raise Forbidden(
                "A web page of another origin may not write here.",
                hint="Send the request from a program, or from a page of this server.",
            )

    def _has_token(self, values: Sequence[bytes] | None) -> bool:
        if self._token_hash is None or values is None or len(values) != 1:
            return False
        scheme, _, presented = values[0].partition(b" ")
        # hashes have one length, so the time taken says nothing of the token
        same = hmac.compare_digest(_hash(presented.strip()), self._token_hash)
        return same and scheme.lower() == b"bearer"


def decoded(path: bytes) -> str:
    """The text of an address, percent signs decoded; what is not UTF-8 becomes surrogates."""
    if not path.startswith(b"/") and b"://" in path:  # as a proxy asks: with scheme and host
        path = b"/" + path.partition(b"://")[2].partition(b"/")[2]
    raw = unquote_to_bytes(path) if b"%" in path else path
    return raw.decode("utf-8", "surrogateescape")


def check_text(where: str) -> None:
    """:raises BadRequest: if this address, as ``decoded`` gave it, was not UTF-8."""
    if not where.isascii():
        try:
            where.encode("utf-8")
        except UnicodeEncodeError:
            raise BadRequest("The address is not UTF-8.") from None


def host_name(host: bytes) -> str:
    """The name in a Host header, without port and brackets, in lower case."""
    text = host.decode("latin-1").strip().lower()
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.rpartition(":")[0] if text.count(":") == 1 else text


def _names_loopback(name: str) -> bool:
    if name == "localhost":
        return True
    try:
        # an address cannot be rebound, so any of 127.0.0.0/8 will do
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _hash(token: bytes) -> bytes:
    return hashlib.sha256(token).digest()
