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

from .base import SmapDriver
from .counter import BaseDriver
from .host import DriverHost

__all__ = [
    "REQUIRED",
    "BadReading",
    "BaseDriver",
    "DeviceUnavailable",
    "DriverFailed",
    "DriverHost",
    "ListOf",
    "MissingExtra",
    "Option",
    "Secret",
    "SmapDriver",
    "bad",
    "boolean",
    "duration",
    "integer",
    "number",
    "path",
    "port",
    "secret",
    "secret_url",
    "size",
    "uncertain",
    "url",
    "uuid",
    "words",
]
