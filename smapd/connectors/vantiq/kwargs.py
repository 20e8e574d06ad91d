"""``connectKWArgs``: what a JSON object may hand to the WebSocket library."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import urlsplit

from smapd.options import nearest

DISABLE = "disableSslVerification"

_HEADER_NAME: Final = re.compile(r"[-!#$%&'*+.^_`|~0-9a-zA-Z]+")
_HEADER_VALUE: Final = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_PROXIES: Final = ("http", "https", "socks4", "socks4a", "socks5", "socks5h")


def _number(value: Any) -> bool:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    return math.isfinite(value) and value >= 0


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _flag(value: Any) -> bool:
    return isinstance(value, bool)


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(map(_text, value))


def _header(value: Any) -> bool:
    return _text(value) and _HEADER_VALUE.fullmatch(value) is not None


def _headers(value: Any) -> bool:
    if not isinstance(value, dict):
        return False
    return all(map(_HEADER_NAME.fullmatch, value)) and all(map(_header, value.values()))


def _port(value: Any) -> bool:
    return _whole(value) and 1 <= value <= 65535


def _address(value: Any) -> bool:
    if not isinstance(value, list) or len(value) != 2:
        return False
    return _text(value[0]) and (value[1] == 0 or _port(value[1]))


def _proxy(value: Any) -> bool:
    if not _text(value):
        return value is True
    try:
        parts = urlsplit(value)
        parts.port  # noqa: B018  raises for a bad one
    except ValueError:
        return False
    if parts.scheme not in _PROXIES or not parts.hostname or parts.path not in ("", "/"):
        return False
    half = parts.username is not None and parts.password is None
    return not (parts.query or parts.fragment or half)


def _or_null(check: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or check(value)


_SECONDS = "a number of seconds"
_HEADER = "a text that a header may hold"
_HEADERS = "an object of texts that a header may hold, by its name"
KNOWN: dict[str, tuple[Callable[[Any], bool], str]] = {
    DISABLE: (_flag, "true or false"),
    "additional_headers": (_headers, _HEADERS),
    "close_timeout": (_or_null(_number), _SECONDS),
    "compression": (_or_null(lambda v: v == "deflate"), '"deflate" or null'),
    "extra_headers": (_headers, _HEADERS),
    "family": (_whole, "a whole number"),
    "flags": (_whole, "a whole number"),
    "happy_eyeballs_delay": (_or_null(_number), _SECONDS),
    "host": (_text, "a text"),
    "interleave": (_whole, "a whole number"),
    "local_addr": (_address, "a list of an address and a port"),
    "max_queue": (_or_null(_whole), "a whole number"),
    "max_size": (_or_null(_whole), "a number of bytes, or null for no limit"),
    "open_timeout": (_or_null(_number), _SECONDS),
    "origin": (_or_null(_header), _HEADER),
    "ping_interval": (_or_null(_number), _SECONDS),
    "ping_timeout": (_or_null(_number), _SECONDS),
    "port": (_port, "a port, from 1 to 65535"),
    "proto": (_whole, "a whole number"),
    "proxy": (_or_null(_proxy), "a URL of http, https or socks5, true, or null for none"),
    "server_hostname": (_text, "a text"),
    "ssl_handshake_timeout": (_or_null(_number), _SECONDS),
    "ssl_shutdown_timeout": (_or_null(_number), _SECONDS),
    "subprotocols": (_or_null(_texts), "a list of texts"),
    "user_agent_header": (_or_null(_header), _HEADER),
    "write_limit": (_whole, "a number of bytes"),
}
"""Each name with its check and what is expected. What JSON cannot tell is not among them."""


def parse_kwargs(text: str) -> dict[str, Any]:
    """The object, checked name by name.

    No message repeats a value: a header may hold a password.

    :raises ValueError: with a sentence.
    """
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        at = f" at letter {error.pos + 1}" if isinstance(error, json.JSONDecodeError) else ""
        raise ValueError(
            f'not a JSON object{at}. Write one on one line, like {{"max_size": 1048576}}.'
        ) from None
    if not isinstance(found, dict):
        raise ValueError('not a JSON object. Write one, like {"max_size": 1048576}.')
    return check_kwargs(found)


def check_kwargs(found: dict[str, Any]) -> dict[str, Any]:
    """The same object, its names as the library has them today.

    :raises ValueError: with a sentence.
    """
    checked = {}
    for name, value in found.items():
        if name not in KNOWN:
            near = nearest(name, KNOWN)
            raise ValueError(
                f"it has {name}, which is no such setting."
                + (f" Did you mean {near}?" if near else f" There are {', '.join(KNOWN)}.")
            )
        check, expected = KNOWN[name]
        if not check(value):
            raise ValueError(f"its {name} is not {expected}.")
        if name == "local_addr":
            value = tuple(value)
        checked["additional_headers" if name == "extra_headers" else name] = value
    return checked
