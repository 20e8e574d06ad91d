"""Bodies of requests: how much memory they may take together, and how JSON is read from one."""

from __future__ import annotations

import io
import zlib
from typing import TYPE_CHECKING, Any, Final

import orjson

from smapd.errors import BadRequest, TooLarge

from .doubled import check_keys
from .whole import check_whole_numbers

if TYPE_CHECKING:
    from twisted.web.http_headers import Headers

    from .request import Request

_GZIP: Final = frozenset({"gzip", "x-gzip", "deflate"})


class Budget:
    """How many bytes of bodies may be in memory at once; on the reactor's thread."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.used = 0

    def take(self, count: int) -> bool:
        """Take ``count`` bytes of it; False if there are not so many left."""
        if self.used + count > self._most:
            return False
        self.used += count
        return True

    def give_back(self, count: int) -> None:
        """Give back what was taken."""
        self.used -= count


class Body(io.BytesIO):
    """A request's body; gives its bytes back to the budget when it is closed."""

    def __init__(self, budget: Budget) -> None:
        super().__init__()
        self._budget = budget
        self._taken = 0

    def reserve(self, count: int) -> bool:
        """Make room for ``count`` more bytes; False if the budget has none."""
        if self.closed or not self._budget.take(count):
            return False
        self._taken += count
        return True

    def close(self) -> None:
        """Forget the body. May be called again."""
        self._budget.give_back(self._taken)
        self._taken = 0
        super().close()


def read_json(request: Request, most: int, *, any_label: bool = False) -> Any:
    """The JSON in a request's body, unpacked if it is packed.

    ``most``: bytes that it may have, unpacked. ``any_label``: whatever its Content-Type says.

    :raises BadRequest: if it is no JSON, has a key twice or a whole number beyond 64 bits, or is
        labelled as something else.
    :raises TooLarge: if it has more.
    """
    headers = request.requestHeaders
    kind = _one(headers, "Content-Type").partition(";")[0].strip().lower()
    if kind and not any_label and kind != "application/json" and not kind.endswith("+json"):
        raise BadRequest(f"The body is labelled {kind[:100]}. Send JSON as application/json.")
    body: bytes = request.content.getvalue()
    encoding = _one(headers, "Content-Encoding").strip().lower()
    if encoding in _GZIP:
        body = unpack(body, most)
    elif encoding not in ("", "identity"):
        raise BadRequest(f"The body is packed as {encoding[:100]}. Send it plain, or as gzip.")
    if not body:
        raise BadRequest("The body is empty. Send JSON.")
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as e:
        raise BadRequest(f"The body is not JSON: {e}.") from None
    check_keys(body, value)
    check_whole_numbers(body)
    return value


def unpack(body: bytes, most: int) -> bytes:
    """What a gzip or zlib body holds (the original labels zlib as gzip; both are told apart).

    :raises BadRequest: if it is damaged or cut short.
    :raises TooLarge: if more than ``most`` bytes come out; no more than that are ever unpacked.
    """
    unpacker = zlib.decompressobj(47)
    try:
        plain = unpacker.decompress(body, most + 1)
    except zlib.error:
        raise BadRequest("The body is not gzip, as its Content-Encoding says.") from None
    if len(plain) > most:
        raise TooLarge(f"The body has more than {most} bytes when unpacked.")
    if not unpacker.eof or unpacker.unused_data:
        raise BadRequest("The packed body is cut short, or has something behind its end.")
    return plain


def _one(headers: Headers, name: str) -> str:
    values = headers.getRawHeaders(name)
    return values[0] if values else ""
