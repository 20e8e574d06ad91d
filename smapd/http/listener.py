"""Where the server listens and who is let in: the HTTP keys of [server], and what they give."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from smapd.errors import SecretUnreadable
from smapd.options import Option, OptionTable, Where, boolean, integer, path, port, secret
from smapd.values import Problem, Severity

MAX_BODY: Final = 16 * 1024 * 1024
MAX_CONNECTIONS: Final = 1000
_NOWHERE: Final = Where()
_SHORT_TOKEN = 32
"""Characters; 256 random bits are 43 in base64, 64 in hexadecimal."""


def interface(text: str) -> str:
    """The address of one network interface, or localhost.

    :raises ValueError: if it is anything else.
    """
    text = text.strip()
    if text.lower() == "localhost":
        return "127.0.0.1"
    try:
        address = ipaddress.ip_address(text.removeprefix("[").removesuffix("]"))
    except ValueError:
        raise ValueError("not an address. Write one like 127.0.0.1, ::1 or 0.0.0.0.") from None
    return str(address)


@dataclass(frozen=True)
class Listener:
    """One port of the server.

    ``interface``: an IP address; port 0 takes a free one. With ``certificate`` and ``private_key``
    (paths of PEM files) it speaks TLS. ``token``: what writers, and on other than loopback all,
    must present; None for none. ``max_body``: bytes, as sent and unpacked.
    """

    interface: str = "127.0.0.1"
    port: int = 8080
    token: bytes | None = field(default=None, repr=False)
    certificate: str | None = None
    private_key: str | None = None
    max_body: int = MAX_BODY
    max_connections: int = MAX_CONNECTIONS

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        return is_loopback(self.interface)

    @property
    def is_secure(self) -> bool:
        """Whether it speaks TLS."""
        return self.certificate is not None and self.private_key is not None

    def url(self, port: int | None = None) -> str:
        """The address to show; ``port`` is the one that was bound, where 0 was asked for."""
        address = ipaddress.ip_address(self.interface)
        host = {"127.0.0.1": "localhost", "0.0.0.0": "localhost", "::": "localhost"}.get(
            str(address), f"[{address}]" if address.version == 6 else str(address)
        )
        return f"http{'s' * self.is_secure}://{host}:{port or self.port}/"


def is_loopback(interface: str) -> bool:
    """Whether this IP address is one of loopback; False for 0.0.0.0 and ::."""
    address = ipaddress.ip_address(interface)
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


def check_listener(values: Mapping[str, Any], where: Where = _NOWHERE) -> Iterator[Problem]:
    """What must hold between the HTTP keys of [server]; ``values`` as parsed by ``TABLES``."""
    certificate, private_key = values.get("Certificate"), values.get("PrivateKey")
    if values.get("Insecure"):
        yield where.problem(
            "not allowed in this version. Leave it out; to be reached from other machines, "
            "give Token, Certificate and PrivateKey.",
            "Insecure",
            "yes",
        )
    if (certificate is None) != (private_key is None):
        given, missing = ("Certificate", "PrivateKey")[:: 1 if certificate is not None else -1]
        yield where.problem(f"given without {missing}. Give both or neither.", given)
    found = values.get("Interface", "127.0.0.1")
    if not is_loopback(found):
        keys = ("Token", "Certificate", "PrivateKey")
        missing_keys = [key for key in keys if values.get(key) is None]
        if missing_keys:
            yield where.problem(
                f"other machines can reach it, which needs {_and(missing_keys)}. "
                "Give them, or listen on 127.0.0.1.",
                "Interface",
                found,
            )
    token = values.get("Token")
    if token is not None and not token.reference and len(token.reveal()) < _SHORT_TOKEN:
        yield where.problem(
            f"shorter than {_SHORT_TOKEN} characters, so it may be guessed. "
            "Take 64 random ones, as from: openssl rand -hex 32",
            "Token",
            severity=Severity.WARNING,
        )


def listener_from(values: Mapping[str, Any], port: int | None = None) -> Listener:
    """The listener of a checked [server] section; ``port`` overrules its Port.

    Reads the token where it is ``env:`` or ``file:``, so it may block on a file.

    :raises SecretUnreadable: if the token cannot be read, or cannot be sent in a header.
    """
    token = values.get("Token")
    text = None if token is None else token.resolve().reveal()
    if text is not None and not (text.isascii() and text.isprintable() and " " not in text):
        raise SecretUnreadable(
            "[server] Token: holds a blank or a character beyond ASCII. "
            "Take letters and digits, as from: openssl rand -hex 32"
        )
    certificate, private_key = values.get("Certificate"), values.get("PrivateKey")
    return Listener(
        interface=values.get("Interface", "127.0.0.1"),
        port=values.get("Port", 8080) if port is None else port,
        token=None if text is None else text.encode("ascii"),
        certificate=None if certificate is None else str(certificate),
        private_key=None if private_key is None else str(private_key),
        max_connections=values.get("MaxConnections", MAX_CONNECTIONS),
    )


TABLES: Final = (
    OptionTable(
        "server",
        (
            Option("Port", port, 8080, "TCP port of the HTTP server; 0 takes a free one"),
            Option(
                "Interface",
                interface,
                "127.0.0.1",
                "address to listen on; any but loopback needs Token, Certificate and PrivateKey",
            ),
            Option("Token", secret, None, "what writers must present as Authorization: Bearer"),
            Option("Certificate", path, None, "PEM file with the certificate and its chain"),
            Option("PrivateKey", path, None, "PEM file with the certificate's key"),
            Option("Insecure", boolean, False, "not allowed in this version"),
            Option(
                "MaxConnections",
                integer,
                MAX_CONNECTIONS,
                "open connections; further ones are answered 503",
                at_least=1,
                at_most=100_000,
            ),
        ),
        ignore_case=True,
        check=check_listener,
    ),
)


def _and(names: list[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
