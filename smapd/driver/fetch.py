"""A driver that fetches one document again and again, and reads it.

The keys ``Uri``, ``Rate`` and ``Timeout`` and the method ``process(data)`` are sMAP's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar
from urllib.parse import urlsplit

from smapd.errors import BadReading, DeviceUnavailable, SmapError
from smapd.options import (
    REQUIRED,
    Option,
    OptionTable,
    Secret,
    duration,
    path,
    resolve,
    secret,
    size,
    url,
)
from smapd.runtime.periodic import periodic_call
from smapd.runtime.words import named

from .base import SmapDriver
from .transfer import Credentials, NotNow, Transfer, Validators, shown

_HEADER = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+)[ \t]*:[ \t]*([\x20-\x7e\x80-\xff]*)")
_web = url("http", "https")


def uri(text: str) -> str:
    """The type of an address to fetch: ``http://…``, ``https://…`` or ``file:///path``.

    :raises ValueError: if it is anything else.
    """
    parts = urlsplit(text)
    if parts.scheme != "file":
        if parts.scheme not in ("http", "https"):
            raise ValueError(
                "not an address to fetch. Write one like https://host/path or file:///path."
            )
        return _web(text)
    if parts.netloc not in ("", "localhost") or not parts.path.startswith("/") or "\0" in text:
        raise ValueError("not a file's address. Write its whole path, like file:///var/lib/x.csv.")
    if parts.query or parts.fragment:
        raise ValueError("a file's address with ? or # in it. Write them as %3F and %23.")
    return text


def header(text: str) -> Secret:
    """The type of one request header, ``Name: value``; it may hold a key, so it is a secret.

    :raises ValueError: if it is neither that nor ``env:NAME`` or ``file:PATH``.
    """
    found = secret(text)
    if not found.reference:
        _split(text)
    return found


# Options of types with this name are not shown.
header.__name__ = "secret"


def fetch_options(
    address: Any = REQUIRED, rate: str = "30s", timeout: str = "30s", *, at_least: str = "1s"
) -> tuple[Option, ...]:
    """The options of a ``FetchDriver``, with a driver's own defaults and least ``Rate``."""
    return (
        Option("Uri", uri, address, "what to fetch: http, https or file"),
        Option("Rate", duration, rate, "time between two looks", at_least=at_least),
        Option("Timeout", duration, timeout, "for one whole answer", at_least="100ms"),
        Option("MaxBytes", size, "16MiB", "larger bodies are refused", at_least=1),
        Option("Username", str, "", "for Basic authentication"),
        Option("Password", secret, None, "for Basic authentication"),
        Option("Header*", header, None, "a request header, like Header0 = X-Api-Key: abc"),
        Option(
            "CaFile",
            path,
            None,
            "PEM file of the authority to trust in place of the system's, for https",
        ),
    )


class FetchDriver(SmapDriver):
    """Fetches ``Uri`` each ``Rate`` and hands the bytes to ``process``; write a subclass.

    A subclass that has a ``setup`` calls ``FetchDriver.setup(self, opts)`` in it, and one with
    options of its own declares ``OPTIONS = (*FetchDriver.OPTIONS, …)``. A body that the server says
    has not changed is not processed again. A server or file that cannot be reached, or answers
    with an error, is ``DeviceUnavailable``: logged once, asked again at growing pauses.
    """

    OPTIONS: ClassVar[tuple[Option, ...] | None] = fetch_options()

    uri: str | None
    rate: float
    timeout: float

    def setup(self, *args: Any, **kwargs: Any) -> None:
        """Takes its options out of ``opts``, as ``setup(opts)`` or ``setup(inst, opts)``.

        :raises SmapError: for options that were not checked by a table, and are wrong.
        """
        opts = _read(args[-1] if args else kwargs.get("opts", {}))
        self.uri = opts["Uri"]
        self.rate, self.timeout = opts["Rate"], opts["Timeout"]
        if self.uri is None and type(self).address is FetchDriver.address:
            raise SmapError("Uri: missing. It is what to fetch: http, https or file.")
        self._transfer = self.open(opts)
        self._known: tuple[str, Validators] = ("", Validators())
        self._not_before_s = 0.0
        self._told = ""

    def open(self, opts: Mapping[str, Any]) -> Transfer:
        """What fetches; a test gives another one."""
        return Transfer(
            self.seconds,
            timeout_s=opts["Timeout"],
            max_bytes=opts["MaxBytes"],
            credentials=Credentials(opts["Username"], opts["Password"] or Secret("")),
            headers=dict(_split(one.reveal()) for one in opts["Header*"].values()),
            ca_file=opts["CaFile"],
        )

    def start(self) -> None:
        """Look now, and each ``Rate`` from then on."""
        self._check_set_up()

        def look() -> None:
            self.update()

        look.__qualname__ = f"{type(self).__qualname__}.update"  # by which log and /status call it
        periodic_call(look, ()).start(self.rate)

    def address(self) -> str:
        """What to fetch at this look; for a subclass whose address changes. In a poll thread."""
        return str(self.uri)

    def process(self, data: bytes) -> None:
        """Read one body and add what it says; in a poll thread, where it may take its time.

        What cannot be read is raised as ``BadReading``; a ``ValueError`` or ``LookupError`` is
        taken for that. The same body comes again at the next look then, changed or not.
        """
        raise NotImplementedError(f"{type(self).__name__} has no process(self, data)")

    def update(self) -> None:
        """One look: fetch, and process what is new; in a poll thread.

        :raises DeviceUnavailable: if it cannot be fetched.
        :raises BadReading: if it cannot be read.
        """
        self._check_set_up()
        if self.seconds() < self._not_before_s:
            raise DeviceUnavailable(self._told)
        address = self.address()
        before = self._known[1] if self._known[0] == address else Validators()
        try:
            body = self._transfer.get(address, before)
        except NotNow as error:
            self._not_before_s, self._told = self.seconds() + error.after_s, error.message
            raise
        if body is None:
            return
        try:
            self.process(body.data)
        except SmapError:
            raise
        except (ValueError, LookupError, EOFError) as error:
            raise BadReading(f"{shown(address)} cannot be read: {named(error, 500)}") from error
        # only now: what could not be read is to come again
        self._known = (address, body.validators)

    def _check_set_up(self) -> None:
        if not hasattr(self, "_transfer"):
            name = type(self).__name__
            raise SmapError(f"{name}.setup must call FetchDriver.setup(self, opts) first")


def _split(text: str) -> tuple[str, Secret]:
    """A header's name and value.

    :raises ValueError: if it is none, without quoting it.
    """
    match = _HEADER.fullmatch(text.strip())
    if match is None:
        raise ValueError("not a request header. Write one like X-Api-Key: abc.")
    return match[1], Secret(match[2])


def _read(given: Mapping[str, Any]) -> dict[str, Any]:
    """The options of ours among these: checked already, or as a config file's text."""
    table = OptionTable("fetch", fetch_options(None), title="FetchDriver")
    texts = {k: v for k, v in given.items() if isinstance(v, str | list) and table.find(k)}
    values, problems = table.parse(texts)
    if problems:
        raise SmapError(" ".join(map(str, problems)))
    checked = {k: given[k] for k in values if not isinstance(given.get(k, ""), str | list)}
    return resolve(values | checked)
