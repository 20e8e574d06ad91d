"""What went wrong on the way to a sink, as one sentence without secrets."""

from __future__ import annotations

import os
from typing import Final

from OpenSSL import SSL
from twisted.internet import error
from twisted.python.failure import Failure
from twisted.web.client import (
    RequestGenerationFailed,
    RequestTransmissionFailed,
    ResponseFailed,
    ResponseNeverReceived,
)

from .tls import TlsFilesUnusable

_WRAPPERS: Final = (
    RequestGenerationFailed,
    RequestTransmissionFailed,
    ResponseFailed,
    ResponseNeverReceived,
)


def reason(failure: Failure, *, refused: str = "", verdict: str = "") -> str:
    """Why no answer came.

    ``refused``: of the resolver, why no address was used. ``verdict``: of TLS, what is wrong with
    the certificate.
    """
    cause = _innermost(failure)
    if isinstance(cause, error.DNSLookupError):
        return refused or "the host's name is not known to the name service"
    if isinstance(cause, TlsFilesUnusable):
        return str(cause)
    if isinstance(cause, SSL.Error):
        if verdict:
            return f"its TLS certificate was not accepted: {verdict}"
        return f"TLS failed: {_ssl_text(cause)}"
    if isinstance(cause, error.ConnectionRefusedError):
        return "the connection was refused: nothing listens there"
    if isinstance(cause, error.TimeoutError | error.TCPTimedOutError):
        return "no connection could be made in time"
    if isinstance(cause, error.ConnectError):
        return f"no connection: {_os_text(cause)}"
    if isinstance(cause, error.ConnectionDone):
        return "it closed the connection before its answer was complete"
    if isinstance(cause, error.ConnectionLost | error.ConnectionAborted):
        return "the connection broke before its answer was complete"
    if isinstance(failure.value, ResponseFailed | ResponseNeverReceived):
        return "its answer is not HTTP"
    return f"the request failed: {type(cause).__name__}"


def _innermost(failure: Failure) -> BaseException | None:
    """What lies below Twisted's wrappers; the most telling one where there are several."""
    value = failure.value
    while isinstance(value, _WRAPPERS):
        reasons = [one.value for one in value.reasons if one.value is not None]
        if not reasons:
            return value
        value = min(reasons, key=_dullness)
    return value


def _dullness(value: BaseException) -> int:
    return 1 if isinstance(value, error.ConnectionClosed) else 0


def _ssl_text(cause: SSL.Error) -> str:
    parts = cause.args[0] if cause.args else ()
    if isinstance(parts, list | tuple):
        texts = [str(part[-1]) for part in parts if isinstance(part, list | tuple) and part]
        return ", ".join(texts)[:200] or "the other side does not speak it"
    return str(parts)[:200]


def _os_text(cause: error.ConnectError) -> str:
    if isinstance(cause.osError, int):
        return os.strerror(cause.osError).lower()
    return str(cause.osError or cause)[:200]
