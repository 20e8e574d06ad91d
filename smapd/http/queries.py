"""What a request asks for in its query and its Accept, checked."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from smapd.errors import BadRequest

if TYPE_CHECKING:
    from .request import Request

T = TypeVar("T", int, None)


def first(request: Request, key: bytes) -> str:
    """The first value of a key of the query, "" without one."""
    found = request.args.get(key)
    return found[0].decode("utf-8", "replace") if found else ""


def number(request: Request, key: bytes, usual: T, most: int) -> int | T:
    """A whole number from 0 to ``most`` of the query, ``usual`` without one.

    :raises BadRequest: naming the key.
    """
    text = first(request, key)
    if not text:
        return usual
    if not (text.isascii() and text.isdigit()) or len(text) > 19 or int(text) > most:
        raise BadRequest(f"{key.decode()} = {text[:40]}: write a number up to {most}.")
    return int(text)


def wants(request: Request, kind: bytes) -> bool:
    """Whether the client takes answers of this kind, and says so by its name."""
    values = request.requestHeaders.getRawHeaders(b"accept") or ()
    return any(kind in value.lower() for value in values)
