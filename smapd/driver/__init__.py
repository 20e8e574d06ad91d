"""All that a driver author imports, beside ``smapd.util``."""

from smapd.errors import BadReading, DeviceUnavailable, DriverFailed, MissingExtra
from smapd.options import (
    REQUIRED,
    ListOf,
    Option,
    Secret,
    boolean,
    duration,
    integer,
    number,
    path,
    port,
    secret,
    secret_url,
    size,
    url,
    uuid,
    words,
)
from smapd.values import bad, uncertain

from .asynchronous import AsyncDriver
from .base import SmapDriver
from .counter import BaseDriver
from .fetch import FetchDriver, fetch_options, header, uri
from .host import DriverHost
from .turns import Turns

__all__ = [
    "REQUIRED",
    "AsyncDriver",
    "BadReading",
    "BaseDriver",
    "DeviceUnavailable",
    "DriverFailed",
    "DriverHost",
    "FetchDriver",
    "ListOf",
    "MissingExtra",
    "Option",
    "Secret",
    "SmapDriver",
    "Turns",
    "bad",
    "boolean",
    "duration",
    "fetch_options",
    "header",
    "integer",
    "number",
    "path",
    "port",
    "secret",
    "secret_url",
    "size",
    "uncertain",
    "uri",
    "url",
    "uuid",
    "words",
]
