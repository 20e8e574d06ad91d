"""One ReportDeliveryLocation, taken apart: where to connect, what to ask for, what to hide."""

from __future__ import annotations

import base64
import ipaddress
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, unquote, urlsplit

_SAFE: Final = "!#$%&'()*+,/:;=?@[]~-._"  # quote() keeps what is quoted already
_LEAST_SECRET: Final = 5  # letters; what is shorter is part of too many words to be taken out


@dataclass(frozen=True, slots=True)
class Location:
    """Where to post.

    ``host``: ASCII, without brackets. ``target``: what the request line names.
    ``authorization``: the value of that header, from ``user:password@`` in the URL; "" without.
    ``secrets``: parts of the URL that no message may repeat.
    """

    secure: bool
    host: str
    port: int
    target: str
    authorization: str
    secrets: tuple[str, ...]

    @property
    def url(self) -> bytes:
        """The URL without its user part, as bytes."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        scheme = "https" if self.secure else "http"
        return f"{scheme}://{host}:{self.port}{self.target}".encode("ascii")

    @property
    def shown(self) -> str:
        """What a log may say of it: ``host:port``."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def redact(self, text: str) -> str:
        """``text`` with everything that might be a key of this URL taken out."""
        for secret in self.secrets:
            text = text.replace(secret, "***")
        return text


def parse_location(url: str) -> Location:
    """Take a URL apart.

    :raises ValueError: with a sentence that does not repeat the URL, if it is none of http or https
        or names no host.
    """
    try:
        parts = urlsplit(url.strip())
        port = parts.port
        host = _ascii_host(parts.hostname or "")
    except ValueError:
        raise ValueError("not a URL. Write http://host/path or https://host/path.") from None
    if parts.scheme not in ("http", "https") or not host:
        raise ValueError("not a URL. Write http://host/path or https://host/path.")
    secure = parts.scheme == "https"
    target = quote(parts.path or "/", safe=_SAFE)
    if not target.startswith("/"):
        target = "/" + target
    if parts.query:
        target += "?" + quote(parts.query, safe=_SAFE)
    login, authorization = "", ""
    if parts.username is not None:
        login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        authorization = "Basic " + base64.b64encode(login.encode()).decode("ascii")
    return Location(
        secure,
        host,
        port if port is not None else (443 if secure else 80),
        target,
        authorization,
        _secrets(url.strip(), target, login, authorization),
    )


def _ascii_host(host: str) -> str:
    if ":" in host:
        return str(ipaddress.IPv6Address(host.partition("%")[0]))
    if host.isascii():
        if not host or not all(c.isalnum() or c in "-._" for c in host):
            raise ValueError(host)
        return host
    return host.encode("idna").decode("ascii")


def _secrets(url: str, target: str, login: str, authorization: str) -> tuple[str, ...]:
    path, _, query = target.partition("?")
    parts = [url, target, login, authorization.removeprefix("Basic ")]
    parts += [query, *path.split("/"), *login.split(":", 1)]
    for pair in query.split("&"):
        parts += [pair, pair.partition("=")[2]]
    parts += [unquote(part) for part in parts]
    long_enough = {part for part in parts if len(part) >= _LEAST_SECRET}
    return tuple(sorted(long_enough, key=lambda part: (-len(part), part)))
