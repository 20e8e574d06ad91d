"""``connectKWArgs``: what a JSON object may hand to the WebSocket library."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from smapd.options import nearest

DISABLE = "disableSslVerification"


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _flag(value: Any) -> bool:
    return isinstance(value, bool)


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(map(_text, value))


def _headers(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_text, value.values()))


def _address(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and _text(value[0]) and _whole(value[1])


def _or_null(check: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or check(value)


_SECONDS = "a number of seconds"
KNOWN: dict[str, tuple[Callable[[Any], bool], str]] = {
    DISABLE: (_flag, "true or false"),
    "additional_headers": (_headers, "an object of texts"),
    "close_timeout": (_or_null(_number), _SECONDS),
    "compression": (_or_null(lambda v: v == "deflate"), '"deflate" or null'),
    "extra_headers": (_headers, "an object of texts"),
    "family": (_whole, "a whole number"),
    "flags": (_whole, "a whole number"),
    "happy_eyeballs_delay": (_or_null(_number), _SECONDS),
    "host": (_text, "a text"),
    "interleave": (_whole, "a whole number"),
    "local_addr": (_address, "a list of an address and a port"),
    "max_queue": (_or_null(_whole), "a whole number"),
    "max_size": (_or_null(_whole), "a number of bytes, or null for no limit"),
    "open_timeout": (_or_null(_number), _SECONDS),
    "origin": (_or_null(_text), "a text"),
    "ping_interval": (_or_null(_number), _SECONDS),
    "ping_timeout": (_or_null(_number), _SECONDS),
    "port": (_whole, "a whole number"),
    "proto": (_whole, "a whole number"),
    "proxy": (_or_null(lambda v: _text(v) or v is True), "a URL, true, or null for none"),
    "server_hostname": (_text, "a text"),
    "ssl_handshake_timeout": (_or_null(_number), _SECONDS),
    "ssl_shutdown_timeout": (_or_null(_number), _SECONDS),
    "subprotocols": (_or_null(_texts), "a list of texts"),
    "user_agent_header": (_or_null(_text), "a text"),
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
