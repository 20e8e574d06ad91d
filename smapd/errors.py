"""Every public exception. The class docstring is the sentence for the operator.

``code`` names the kind for programs, ``hint`` says what to do next. Which HTTP status goes with a
class is not known here: ``http/errors.py`` has the one table.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import ClassVar

from smapd.values import Problem, Severity

_LONGEST_CAUSE = 1000  # letters of a foreign exception's text; a driver's may hold a whole dump


class SmapError(Exception):
    """Something went wrong in smapd."""

    code: ClassVar[str] = "error"
    hint: str = ""

    def __init__(self, message: str = "", *, hint: str = "") -> None:
        super().__init__(message or self.sentence())
        if hint:
            self.hint = hint

    @classmethod
    def sentence(cls) -> str:
        """The first line of the class docstring."""
        return (inspect.getdoc(cls) or cls.__name__).splitlines()[0]

    @property
    def message(self) -> str:
        """What happened, in one sentence."""
        return str(self.args[0])


# --- the tree


class NoSuchPath(SmapError, LookupError):
    """There is no timeseries or collection of that path.

    Raised by ``add`` and by GET. List what there is with GET /data/+.
    """

    code = "no_such_path"
    hint = "GET /data/+ lists every path."

    __str__ = Exception.__str__  # LookupError's own would quote the sentence


class PathExists(SmapError, ValueError):
    """That path, or that uuid, is taken already."""

    code = "path_exists"
    hint = "Give each timeseries a path, and within one namespace a key, of its own."


class BadPath(SmapError, ValueError):
    """That is not a path in the tree.

    A path is /name/name, without empty, '.' or '..' names, and no name begins with '+'.
    """

    code = "bad_path"


# --- config and start


class ConfigError(SmapError):
    """The config has errors; nothing was started."""

    code = "config"
    hint = "Mend each line named, and try it with: smapd check FILE"

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        errors = [p for p in self.problems if p.severity is Severity.ERROR]
        n = len(errors)
        super().__init__(
            "\n".join(map(str, self.problems))
            + f"\n{n} problem{'s' * (n != 1)}; nothing was started."
        )


class NoSuchDriver(SmapError, LookupError):
    """There is no driver of that name.

    A driver's type is its dotted path, like smapd.drivers.system.SystemDriver.
    """

    code = "no_such_driver"
    hint = "A driver's type is its dotted path, like smapd.drivers.system.SystemDriver."


class MissingExtra(SmapError):
    """A package that this section needs is not installed."""

    code = "missing_extra"


class SecretUnreadable(SmapError):
    """A secret named by env: or file: cannot be read."""

    code = "secret_unreadable"


class DataDirInUse(SmapError):
    """Another smapd runs on this data directory."""

    code = "data_dir_in_use"
    hint = "Stop that process, or give this one a directory of its own with --data-dir."


class DataDirUnusable(SmapError):
    """The data directory cannot be used."""

    code = "data_dir_unusable"
    hint = "Name a directory that this user may write with --data-dir or [server] DataDir."


class ListenError(SmapError):
    """The HTTP port cannot be opened."""

    code = "listen"
    hint = "Choose another with --port or [server] Port; port 0 takes a free one."


# --- drivers


class DeviceUnavailable(SmapError):
    """The device does not answer.

    Raised by a driver's poll. Logged once, backed off, logged again when the device is back.
    """

    code = "device_unavailable"


class BadReading(SmapError):
    """The device answered with something that is no reading.

    Raised by a driver's poll. Counted; the polls go on.
    """

    code = "bad_reading"


class DriverFailed(SmapError):
    """A step of a driver failed.

    ``section`` and ``step`` (setup, start or stop) say where; the cause is chained. The section
    stands still with this sentence as its error, and the step is tried again with backoff.
    """

    code = "driver_failed"

    def __init__(self, section: str, step: str, cause: BaseException | str) -> None:
        self.section, self.step = section, step
        if isinstance(cause, str):
            why, hint = cause, ""
        elif isinstance(cause, SmapError):
            why, hint = cause.message, cause.hint
        else:
            text = " ".join(str(cause).split())[:_LONGEST_CAUSE]
            why, hint = f"{type(cause).__name__}{': ' * bool(text)}{text}", ""
        super().__init__(f"[{section}] {step} failed: {why}", hint=hint)


# --- actuation


class BadState(SmapError, ValueError):
    """That is no state of this actuator.

    A driver's ``set_state`` may raise it too, for what its device does not take now.
    """

    code = "bad_state"


class RateLimited(SmapError):
    """The actuator was set a moment ago, and may not be set so often.

    Try again after ``retry_after_s``; nothing was done.
    """

    code = "rate_limited"

    def __init__(self, message: str = "", *, retry_after_s: int = 1, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.retry_after_s = retry_after_s


class DeviceFailed(SmapError):
    """The device, or its driver, did not do what was asked.

    Whether it is set now is not known; ask for its state.
    """

    code = "device_failed"


class ActuationTimeout(SmapError):
    """The device did not answer in time.

    It may still do what was asked; ask for its state.
    """

    code = "actuation_timeout"


# --- HTTP and what stands behind it


class BadRequest(SmapError, ValueError):
    """The request cannot be understood."""

    code = "bad_request"


class ReportExists(BadRequest):
    """There is a report of that uuid already."""

    code = "report_exists"
    hint = "Change it with PUT /reports/UUID, or give the new one a uuid of its own."


class NoSuchReport(SmapError, LookupError):
    """There is no report of that uuid."""

    code = "no_such_report"
    hint = "GET /reports lists them."


class Unauthorized(SmapError):
    """This needs the token."""

    code = "unauthorized"
    hint = "Send the header Authorization: Bearer TOKEN."


class Forbidden(SmapError):
    """This is not allowed."""

    code = "forbidden"


class NotFound(SmapError):
    """There is nothing at that address."""

    code = "not_found"
    hint = "GET /docs names the routes."


class MethodNotAllowed(SmapError):
    """That address does not take this method."""

    code = "method_not_allowed"


class NotAnActuator(MethodNotAllowed):
    """That path cannot be set: it is not an actuator."""

    code = "not_an_actuator"


class UnknownMethod(MethodNotAllowed):
    """That method means nothing here."""

    code = "unknown_method"


class TooLarge(SmapError):
    """The body is larger than allowed."""

    code = "too_large"
    hint = "Send it in smaller parts; 16 MiB is the limit."


class UriTooLong(SmapError):
    """The address is longer than allowed."""

    code = "uri_too_long"
    hint = "Address and headers together may have 16 KiB."


class HeadersTooLong(SmapError):
    """The headers are longer, or more, than allowed."""

    code = "headers_too_long"
    hint = "Address and headers together may have 16 KiB and 500 lines."


class TooSlow(SmapError):
    """The request did not arrive in time."""

    code = "too_slow"
    hint = "Send the headers within 30 seconds, and the body without a pause."


class NotReady(SmapError):
    """smapd has started, but is not ready yet."""

    code = "not_ready"
    hint = "GET /status says what it waits for."


class Unhealthy(SmapError):
    """smapd runs, but something in it stands still."""

    code = "unhealthy"
    hint = "GET /status says what."


class Busy(SmapError):
    """Too much is under way already.

    Try again after a second; nothing was taken.
    """

    code = "busy"
    hint = "Try again in a second."
    retry_after_s: ClassVar[int] = 1


class StorageFull(SmapError):
    """The disk is full."""

    code = "storage_full"
    hint = "Free space in the data directory; it goes on by itself."


class NotRunning(SmapError):
    """No daemon answers there."""

    code = "not_running"
    hint = "Start one with: smapd run CONFIG"


class ShutdownRequested(SmapError):
    """smapd is stopping."""

    code = "shutdown"
