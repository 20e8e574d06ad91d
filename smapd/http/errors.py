"""The one table from an error to its HTTP status, the body that tells of it, and the last net.

A body is ``{"error": code, "message": sentence, "hint": what to do next}``. What is not one of
``smapd.errors`` is a bug: it is answered 500 with an incident id, under which the log has the
traceback, and with nothing of what went wrong inside.
"""

# Twisted's own methods have no types.
# mypy: disable-error-code="no-untyped-call"
from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

import orjson
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.http import RESPONSES

from smapd import errors
from smapd.values import T2ReqFailureReason

from .encoding import encode

if TYPE_CHECKING:
    from .request import Request

_log = Logger()

STATUS: Final[Mapping[type[errors.SmapError], int]] = {
    errors.BadModel: 400,
    errors.BadPath: 400,
    errors.BadRequest: 400,
    errors.BadState: 400,
    errors.EventInvalid: 400,
    errors.ReportExists: 400,
    errors.Unauthorized: 401,
    errors.Forbidden: 403,
    errors.T2Unavailable: 403,
    errors.AssetUnknown: 404,
    errors.NoSuchPath: 404,
    errors.NoSuchReport: 404,
    errors.NoSuchVersion: 404,
    errors.NoSuchDeploy: 404,
    errors.NoSuchResource: 404,
    errors.NoSuchBlob: 404,
    errors.NotFound: 404,
    errors.MethodNotAllowed: 405,
    errors.NotAnActuator: 405,
    errors.TooSlow: 408,
    errors.AssetExists: 409,
    errors.AssetHeld: 409,
    errors.NameTaken: 409,
    errors.PathExists: 409,
    errors.VersionConflict: 409,
    errors.TooLarge: 413,
    errors.UriTooLong: 414,
    errors.HeadersTooLong: 431,
    errors.UnknownMethod: 501,
    errors.DeviceUnavailable: 502,
    errors.BadReading: 502,
    errors.DeviceFailed: 502,
    errors.T2ResponseException: 502,
    errors.T2ResponseFailure: 502,
    errors.Busy: 503,
    errors.RateLimited: 503,
    errors.EventPublishFailure: 503,
    errors.NotConnected: 503,
    errors.NotReady: 503,
    errors.Unhealthy: 503,
    errors.ShutdownRequested: 503,
    errors.ActuationTimeout: 504,
    errors.T2Timeout: 504,
    errors.StorageFull: 507,
}
"""Each class that a route may raise."""

REASON_STATUS: Final[Mapping[T2ReqFailureReason, int]] = {
    T2ReqFailureReason.RESOURCE_UNKNOWN: 404,
    T2ReqFailureReason.REQ_UNHANDLED: 501,
    T2ReqFailureReason.PROVIDER_FAILED: 502,
    T2ReqFailureReason.BUSY: 503,
    T2ReqFailureReason.SHUTDOWN: 503,
}
"""Each reason for which a streamed request fails before its answer has begun."""

BUGS: Final[frozenset[type[errors.SmapError]]] = frozenset(
    {
        errors.SmapError,
        errors.ConfigError,
        errors.MissingCallback,
        errors.WouldDeadlock,
        errors.NoSuchDriver,
        errors.DriverFailed,
        errors.MissingExtra,
        errors.SecretUnreadable,
        errors.DataDirInUse,
        errors.DataDirUnusable,
        errors.ListenError,
        errors.NotRunning,
    }
)
"""Classes of starting up and of the command line: in a request they are a bug, 500."""

REASONS: Final[Mapping[int, bytes]] = RESPONSES | {431: b"Request Header Fields Too Large"}
"""The words after each status; Twisted's table lacks one that we send."""

RETRY_AFTER_S: Final = 1
_MAX_MESSAGE = 1000


def status_of(error: BaseException) -> int:
    """The HTTP status of an error; that of its nearest base in the table, 500 if there is none."""
    if isinstance(error, errors.T2ResponseException):
        return REASON_STATUS.get(error.reason, 502)
    for kind in type(error).__mro__:
        status = STATUS.get(kind)
        if status is not None:
            return status
        if kind in BUGS:
            return 500
    return 500


def body_of(error: errors.SmapError) -> bytes:
    """The JSON that tells of an error."""
    message = error.message
    if len(message) > _MAX_MESSAGE:
        message = message[:_MAX_MESSAGE] + "…"
    told = {"error": error.code, "message": message, "hint": error.hint}
    if isinstance(error, errors.T2ResponseException):
        told["reason"] = error.reason.value
    return encode(told)  # a program's message may hold half a surrogate pair


def headers_of(error: errors.SmapError, status: int) -> bytes:
    """Header lines that belong to this status, each with its line end."""
    if status == 503:
        return b"Retry-After: %d\r\n" % getattr(error, "retry_after_s", RETRY_AFTER_S)
    if status == 401:
        return b'WWW-Authenticate: Bearer realm="smapd"\r\n'
    return b""


def answer(request: Request, error: errors.SmapError) -> None:
    """Answer ``request`` with this error, unless its answer has begun already."""
    status = status_of(error)
    if status == 500:
        answer_bug(request, Failure(error))
    elif request.startedWriting:
        request.cut()
    else:
        request.respond(status, body_of(error), headers_of(error, status) + request.allow)


def answer_bug(request: Request, failure: Failure) -> None:
    """Log ``failure`` under an incident id, and answer 500 with that id alone.

    An answer that has begun cannot be taken back: the connection is cut, so that the client does
    not take the piece for the whole.
    """
    incident = secrets.token_hex(6)
    _log.failure(
        "incident {incident}: {method} {path}",
        failure=failure,
        incident=incident,
        method=request.method.decode("ascii", "replace"),
        path=ascii(request.where[:_MAX_MESSAGE]),
    )
    request.site.counts.incidents += 1
    if request.startedWriting:
        request.cut()
        return
    told = {
        "error": "bug",
        "message": f"Something went wrong inside smapd (incident {incident}).",
        "hint": "The log has the details under that id.",
    }
    request.respond(500, orjson.dumps(told))


def shield(request: Request, f: Callable[[Request], object]) -> None:
    """Call ``f(request)``; whatever it raises becomes an answer."""
    try:
        f(request)
    except errors.SmapError as error:
        answer(request, error)
    except Exception:  # noqa: BLE001 - the net below every route
        answer_bug(request, Failure())
