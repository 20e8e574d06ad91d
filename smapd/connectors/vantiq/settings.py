"""What a connector has to know: of ``server.config``, of the environment, or given outright."""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit, urlunsplit

from smapd.options import boolean, port, read_regular

from .errors import VantiqConnectorConfigException
from .kwargs import DISABLE, check_kwargs, parse_kwargs
from .names import VantiqConnector as names
from .properties import parse_properties

T = TypeVar("T")

PLACES = ("serverConfig/server.config", "server.config")
"""Where the file is looked for, in this order, below the working directory."""

MIB = 2**20
_FILE_BYTES = MIB
_PATH = re.compile(r".*/api/v[0-9]+/wsock/websocket")
_V1_PATH = "/api/v1/wsock/websocket"
_SCHEMES = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}


@dataclass(frozen=True, slots=True)
class Limits:
    """Times and bounds of one source; each has its reason beside it."""

    connect_s: float = 10.0
    """Until TCP, TLS and the WebSocket's opening are through."""
    answer_s: float = 30.0
    """For each answer of the login; the second one is the configuration."""
    close_s: float = 2.0
    """For the closing handshake, and for handlers that are still running then."""
    close_handler_s: float = 10.0
    """For the close handler; it is cancelled then."""
    ping_every_s: float = 20.0
    ping_answer_s: float = 20.0
    stable_s: float = 30.0
    """A configured connection that lived this long was a success; one that did not, a failure."""
    first_retry_s: float = 1.0
    last_retry_s: float = 60.0
    """Pauses between tries grow from the first to the last, each 20 % more or less by chance."""
    message_bytes: int | None = 64 * MIB
    """The largest message the server may send; None for no limit."""
    running_queries: int = 1_000
    """Handlers of queries that run at one time; further queries wait."""
    open_queries: int = 10_000
    """Queries that run, wait, or are to be answered later; past that they are refused."""
    answer_query_s: float = 600.0
    """A query not answered for this long gets an error answer."""
    publishes: int = 10_000
    """Publishes that wait for the handler; past that nothing more is read from the server."""
    unsent: int = 100_000
    """Messages of ours that wait for a connection; past that the sender is refused."""
    waiting_bytes: int = 16 * MIB
    """Of each of the two above, and of the open queries."""


@dataclass(frozen=True, slots=True)
class VantiqSettings:
    """How to reach a server; the same for all sources of one set.

    Make it with :meth:`of`, which checks, or from a file with :func:`read_server_config`.
    """

    url: str
    """ws:// or wss://, with the path of the API."""
    token: str = field(repr=False)
    send_pings: bool = False
    fail_on_connection_error: bool = False
    reconnect_secret: str | None = field(default=None, repr=False)
    connect_kwargs: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """For the WebSocket library; without the names that became limits."""
    tls: ssl.SSLContext | None = field(default=None, repr=False)
    """For wss; made once, as it holds all the authorities that are trusted."""
    limits: Limits = Limits()
    shown_url: str = ""
    """Without user and password."""

    @classmethod
    def of(
        cls,
        target_server: str,
        token: str,
        *,
        send_pings: bool = True,
        fail_on_connection_error: bool = False,
        reconnect_secret: str | None = None,
        connect_kwargs: Mapping[str, Any] | None = None,
        limits: Limits = Limits(),
    ) -> VantiqSettings:
        """Settings given outright; no file and no environment but ``SSL_CERT_FILE`` is read.

        :raises VantiqConnectorConfigException: with a sentence that names what is wrong.
        """
        where = _Where("the connector's settings")
        url = where.read("targetServer", target_server, websocket_url)
        if not token.strip():
            raise where.wrong("the token is empty: nobody may log in without one")
        kwargs = where.read("connectKWArgs", dict(connect_kwargs or {}), check_kwargs)
        limits, kwargs = _limits(limits, kwargs)
        verify = not kwargs.pop(DISABLE, False)
        return cls(
            url,
            token.strip(),
            send_pings,
            fail_on_connection_error,
            reconnect_secret,
            kwargs,
            _tls(url, verify, where),
            limits,
            _shown(url),
        )


class ServerConfig(dict[str, str]):
    """The properties of ``server.config``; shown, it hides the token and what may hold another."""

    _HIDDEN = (names.AUTH_TOKEN, names.FIXED_RECONNECT_SECRET, names.CONNECT_KW_ARGS)

    def __repr__(self) -> str:
        return repr({key: "***" if key in self._HIDDEN else self[key] for key in self})

    __str__ = __repr__


@dataclass(frozen=True, slots=True)
class Checked:
    """What a properties file said, each value checked."""

    properties: ServerConfig
    settings: VantiqSettings
    sources: Sequence[str]
    probe_port: int


def read_server_config(
    folder: Path | None = None, environ: Mapping[str, str] = os.environ
) -> Checked:
    """Read ``serverConfig/server.config`` or ``server.config`` below the folder (the working one).

    Blocks on the disk. The file that is found first counts, even if it is not sound.

    :raises VantiqConnectorConfigException: with one sentence that names file and key, and how to
        set it.
    """
    folder = Path.cwd() if folder is None else folder
    for place in PLACES:
        file = folder / place
        try:
            data = read_regular(file, _FILE_BYTES)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise VantiqConnectorConfigException(
                f"{file}: cannot be read ({error.strerror or error}). Let this user read it."
            ) from error
        return check_properties(_properties(data, str(file)), str(file), environ)
    looked = " nor ".join(str(folder / place) for place in PLACES)
    raise VantiqConnectorConfigException(
        f"there is neither {looked}. Write one with the lines targetServer=https://…, sources=NAME "
        f"and authToken=…; the token may be in the environment as {names.CONNECTOR_AUTH_TOKEN}."
    )


def check_properties(
    properties: Mapping[str, str], file: str, environ: Mapping[str, str] = os.environ
) -> Checked:
    """Check all properties; ``file`` is named in what is wrong.

    :raises VantiqConnectorConfigException: with one sentence that names file and key, and how to
        set it.
    """
    where = _Where(file)
    given = {key: value.strip() for key, value in properties.items()}
    sources = split_sources(given.get(names.SOURCES, ""))
    if not sources:
        raise where.wrong(f"{names.SOURCES} is not set. Write {names.SOURCES}=NAME or NAME1,NAME2.")
    settings = connection_settings(given, file, environ)
    probe_port = where.read(
        names.PORT_PROPERTY_NAME,
        given.get(names.PORT_PROPERTY_NAME) or str(names.TCP_PROBE_PORT_DEFAULT),
        port,
    )
    shown = ServerConfig(given)
    shown |= {names.TARGET_SERVER: settings.url, names.AUTH_TOKEN: settings.token}
    return Checked(ServerConfig(shown), settings, sources, probe_port)


def connection_settings(
    properties: Mapping[str, str], file: str, environ: Mapping[str, str] = os.environ
) -> VantiqSettings:
    """What one connection needs of these properties; ``sources`` and the probe are not looked at.

    :raises VantiqConnectorConfigException: as :func:`check_properties`.
    """
    where = _Where(file)

    def flag(name: str) -> bool:
        return where.read(name, properties.get(name) or "false", boolean)

    target = properties.get(names.TARGET_SERVER, "")
    if not target:
        raise where.wrong(
            f"{names.TARGET_SERVER} is not set. Write {names.TARGET_SERVER}=https://HOST/."
        )
    url = where.read(names.TARGET_SERVER, target, websocket_url)
    token = properties.get(names.AUTH_TOKEN) or environ.get(names.CONNECTOR_AUTH_TOKEN, "").strip()
    if not token:
        raise where.wrong(
            f"{names.AUTH_TOKEN} is not set. Write {names.AUTH_TOKEN}=… there, or set "
            f"{names.CONNECTOR_AUTH_TOKEN} in the environment."
        )
    kwargs = where.read(
        names.CONNECT_KW_ARGS, properties.get(names.CONNECT_KW_ARGS) or "{}", parse_kwargs
    )
    limits, kwargs = _limits(Limits(), kwargs)
    verify = not kwargs.pop(DISABLE, False)
    return VantiqSettings(
        url=url,
        token=token,
        send_pings=flag(names.SEND_PINGS),
        fail_on_connection_error=flag(names.FAIL_ON_CONNECTION_ERROR),
        reconnect_secret=properties.get(names.FIXED_RECONNECT_SECRET) or None,
        connect_kwargs=kwargs,
        tls=_tls(url, verify, where, environ),
        limits=limits,
        shown_url=_shown(url),
    )


def websocket_url(text: str) -> str:
    """The WebSocket's URL of a server: http becomes ws, and the path that of the API.

    :raises ValueError: if it is no URL of a server.
    """
    example = "Write one like https://dev.vantiq.com/."
    try:
        parts = urlsplit(text)
        if parts.port == 0:
            raise ValueError
    except ValueError:
        raise ValueError(f"not a URL. {example}") from None
    scheme = _SCHEMES.get(parts.scheme.lower())
    if scheme is None or not parts.hostname or re.search(r"[\s\x00-\x1f\x7f]", text):
        raise ValueError(f"not a URL of http, https, ws or wss with a host. {example}")
    path = parts.path if _PATH.fullmatch(parts.path) else _V1_PATH
    return urlunsplit((scheme, parts.netloc, path, parts.query, ""))


def split_sources(text: str) -> list[str]:
    """The names between the commas, each once; blanks are dropped, within a name too."""
    found = ["".join(name.split()) for name in text.split(",")]
    return list(dict.fromkeys(name for name in found if name))


# --- private


@dataclass(frozen=True, slots=True)
class _Where:
    file: str

    def wrong(self, sentence: str) -> VantiqConnectorConfigException:
        return VantiqConnectorConfigException(f"{self.file}: {sentence}")

    def read(self, key: str, value: Any, kind: Callable[[Any], T]) -> T:
        """A value by its type, whose sentence becomes the error; no value is repeated."""
        try:
            return kind(value)
        except ValueError as error:
            raise self.wrong(f"{key}: {error}") from None


def _properties(data: bytes, file: str) -> dict[str, str]:
    if len(data) > _FILE_BYTES:
        raise VantiqConnectorConfigException(f"{file}: larger than 1 MiB; that is no properties.")
    try:
        return parse_properties(data.decode())
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise VantiqConnectorConfigException(
            f"{file}: line {line}: not UTF-8. Save the file in UTF-8, or write \\uXXXX."
        ) from None
    except ValueError as error:
        raise VantiqConnectorConfigException(f"{file}: {error}") from None


def _limits(limits: Limits, kwargs: Mapping[str, Any]) -> tuple[Limits, dict[str, Any]]:
    """The library's names for what we bound ourselves, moved to where they count."""
    rest = dict(kwargs)
    if "max_size" in rest:
        limits = replace(limits, message_bytes=rest.pop("max_size"))
    for name, ours in (
        ("open_timeout", "connect_s"),
        ("close_timeout", "close_s"),
        ("ping_interval", "ping_every_s"),
        ("ping_timeout", "ping_answer_s"),
    ):
        seconds = rest.pop(name, None)
        if seconds:  # null and 0 would be without a bound
            limits = replace(limits, **cast("dict[str, Any]", {ours: float(seconds)}))
    return limits, rest


def _tls(
    url: str, verify: bool, where: _Where, environ: Mapping[str, str] = os.environ
) -> ssl.SSLContext | None:
    if not url.startswith("wss:"):
        return None
    authorities = environ.get("SSL_CERT_FILE")
    if verify and authorities and not os.access(authorities, os.R_OK):
        # OpenSSL says nothing of it, and then trusts nobody
        raise where.wrong(
            f"SSL_CERT_FILE in the environment names {authorities}, which cannot be read. Name the "
            "file of your authority's certificate there."
        )
    context = ssl.create_default_context()
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _shown(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
