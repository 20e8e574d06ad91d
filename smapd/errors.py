"""Every public exception. The class docstring is the sentence for the operator.

``code`` names the kind for programs, ``hint`` says what to do next. Which HTTP status goes with a
class is not known here: ``http/errors.py`` has the one table.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import ClassVar

from smapd.values import Problem, Severity, T2ReqFailureReason

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


class NoSuchVersion(SmapError, LookupError):
    """There is no version of that number."""

    code = "no_such_version"
    hint = "GET /desired/versions lists them."


class NoSuchDeploy(SmapError, LookupError):
    """There is no deploy of that number."""

    code = "no_such_deploy"
    hint = "GET /desired/deploys lists them."


class NoSuchResource(SmapError, LookupError):
    """No version has a resource of that id."""

    code = "no_such_resource"
    hint = "GET /desired/resources lists those that are deployed."


class NoSuchBlob(SmapError, LookupError):
    """There is no blob of that sha256."""

    code = "no_such_blob"
    hint = "Send it with PUT /desired/blobs/SHA256."


class VersionConflict(SmapError, ValueError):
    """That does not fit with what the version has, or with the versions there are."""

    code = "version_conflict"


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


# --- assets, events and streamed requests


class AssetUnknown(SmapError, LookupError):
    """There is no asset of that id.

    It may have been deleted a moment ago: leave it, or wait for ``on_asset_created``.
    """

    code = "asset_unknown"
    hint = "GET /assets lists them."

    __str__ = Exception.__str__


class AssetExists(PathExists):
    """There is an asset of that id already."""

    code = "asset_exists"
    hint = "GET /assets lists them; an id names one asset, wherever it stands in the tree."


class AssetHeld(SmapError):
    """That asset was not made over HTTP, and cannot be deleted over it.

    It comes from the config file or from a driver: take it out there.
    """

    code = "asset_held"


class NameTaken(SmapError):
    """Another integrator or follower of that name is connected.

    Two that bear one name would share their place in the events. Give this one a name of its own.
    """

    code = "name_taken"
    hint = "Give each integrator and follower a name of its own."


class MissingCallback(SmapError, TypeError):
    """A callback that has to be there is not implemented."""

    code = "missing_callback"
    hint = "Implement it in the class, even if it does nothing."


class WouldDeadlock(SmapError, RuntimeError):
    """That call would wait for itself.

    A request made on a thing's call thread cannot be answered: make it on another thread.
    """

    code = "would_deadlock"
    hint = "Call it in main(), or hand it to a pool."


class EventInvalid(BadRequest):
    """The event's data do not fit the schema of its type.

    Raised by ``publish_event``; the sentence names the field. Nothing was published.
    """

    code = "event_invalid"


class EventPublishFailure(SmapError):
    """The event cannot be published now.

    Try again later, or publish with ``retry=True``, which never publishes one twice.
    """

    code = "event_publish_failure"
    hint = "Publish it again later, or with retry=True."


class NotConnected(SmapError):
    """There is no connection to the daemon.

    The client connects again by itself; try again in a few seconds.
    """

    code = "not_connected"
    hint = "Check the url and the token, and that the daemon runs: smapd status"


class T2Unavailable(SmapError):
    """Type 2 requests are not enabled here.

    Set ``t2`` in the config of the integrator or follower, in an INI file ``T2 = yes``.
    """

    code = "t2_unavailable"
    hint = "Write T2 = yes into its section."


class T2Timeout(SmapError):
    """The request was not answered in time."""

    code = "t2_timeout"


class T2ResponseException(SmapError):
    """The request failed at the side that should answer it; ``reason`` says why.

    REQ_UNHANDLED: nobody serves requests of that type for that asset. RESOURCE_UNKNOWN: what was
    asked for is not there. Ask again later for SHUTDOWN and BUSY.
    """

    code = "t2_failed"

    def __init__(
        self,
        message: str = "",
        *,
        reason: T2ReqFailureReason = T2ReqFailureReason.PROVIDER_FAILED,
        hint: str = "",
    ) -> None:
        super().__init__(message or f"The request failed: {reason.value}.", hint=hint)
        self.reason = reason


class T2ResponseFailure(SmapError):
    """The answer cannot be sent: the request is over.

    It was answered before, failed, timed out, or the requester is gone. Leave it.
    """

    code = "t2_response_failure"


# --- desired state


class BadModel(BadRequest):
    """The model, or the set of resources, cannot be used as it is.

    ``problems`` says of each thing what is wrong, one sentence each; nothing was exported or run.
    ``rest``: of an export, what is sound beside it; else None.
    """

    code = "bad_model"
    hint = "Mend what each sentence names, and export the model again."

    def __init__(self, problems: Sequence[str] | str, *, hint: str = "") -> None:
        self.problems = (problems,) if isinstance(problems, str) else tuple(problems)
        self.rest: object = None
        super().__init__("\n".join(self.problems), hint=hint)
