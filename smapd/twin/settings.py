"""What the config of a thing says, read from the dict that a program or an INI section gives.

``{"name", "url", "token", "ca_file", "integrator": {…}, "follower": {…}}``. The older nesting
``{"t2": {"enabled": true}, "asset": {"event": {"modules": […]}}}`` within a role is read as well.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlsplit

from smapd.errors import BadRequest, ConfigError, EventInvalid
from smapd.options import Secret, boolean, duration
from smapd.values import Json, Problem

from .event.base import event_ms
from .patterns import Patterns

LINK: Final = "_link"
"""Where the daemon puts the link of a thing that it runs itself."""

URL: Final = "http://127.0.0.1:8080"
MAX_UNACKED: Final = 256
MOST_UNACKED: Final = 10_000


@dataclass(frozen=True)
class ThingSettings:
    """Where a thing finds the daemon, and who it is. ``token`` is never shown."""

    name: str
    url: str = URL
    token: Secret | None = None
    ca_file: str | None = None


@dataclass(frozen=True)
class IntegratorSettings:
    """What an integrator's section says."""

    source: str
    t2: bool = False
    assets: tuple[str, ...] = ("*",)
    event_modules: tuple[str, ...] = ()


@dataclass(frozen=True)
class FollowerSettings:
    """What a follower's section says. ``replay``: as the wire has it."""

    t2: bool = False
    assets: tuple[str, ...] = ("*",)
    event_modules: tuple[str, ...] = ()
    max_unacked: int = MAX_UNACKED
    replay: Json = None


def thing_settings(config: Mapping[str, Any] | None, default_name: str) -> ThingSettings:
    """The top of a thing's config; what it leaves out comes from SMAPD_URL and SMAPD_TOKEN.

    :raises ConfigError: naming the key.
    """
    read = _Reader("thing", config or {})
    url = read.text("url", os.environ.get("SMAPD_URL") or URL)
    try:
        parts = urlsplit(url)
        fine = parts.scheme in ("http", "https", "ws", "wss") and bool(parts.hostname)
        parts.port  # noqa: B018 - raises for a bad one
    except ValueError:
        fine = False
    if not fine:
        read.wrong("url", "not a URL. Write one like http://host:8080.", url)
    found = read.get("token", os.environ.get("SMAPD_TOKEN") or None)
    token = found if isinstance(found, Secret) or found is None else Secret(str(found))
    name = read.text("name", default_name)
    if not 0 < len(name) <= 128 or not name.isprintable():
        read.wrong("name", "a name has 1 to 128 printable letters.", name)
    ca_file = read.get("ca_file", None)
    read.done()
    return ThingSettings(name, url, token, None if ca_file is None else str(ca_file))


def integrator_settings(config: Any, name: str) -> IntegratorSettings:
    """An integrator's part of the config; ``name``: of the thing, its source by default.

    :raises ConfigError: naming each key that is wrong.
    """
    read = _Reader("integrator", config)
    made = IntegratorSettings(
        source=read.text("source", name) or name,
        t2=read.flag("t2"),
        assets=read.patterns(),
        event_modules=read.modules(),
    )
    read.done()
    return made


def follower_settings(config: Any) -> FollowerSettings:
    """A follower's part of the config.

    :raises ConfigError: naming each key that is wrong.
    """
    read = _Reader("follower", config)
    made = FollowerSettings(
        t2=read.flag("t2"),
        assets=read.patterns(),
        event_modules=read.modules(),
        max_unacked=read.whole("max_unacked", MAX_UNACKED, 1, MOST_UNACKED),
        replay=read.replay(),
    )
    read.done()
    return made


def replay_from(found: Any) -> Json:
    """Where a follower begins, as the wire has it, from what a config says.

    ``oldest``, ``newest``, an offset, a time (datetime, ISO text, ``{"time_ms": …}``), or a
    duration like ``2d``: so long ago. None: where it was.

    :raises ValueError: if it is none of these.
    """
    if found is None or found == "":
        return None
    if isinstance(found, Mapping) and isinstance(found.get("time_ms"), int):
        return {"time_ms": found["time_ms"]}
    if isinstance(found, datetime):
        return {"time_ms": event_ms(found)}
    if isinstance(found, int) and not isinstance(found, bool) and found >= 0:
        return found
    if isinstance(found, str):
        text = found.strip()
        if text in ("oldest", "newest"):
            return text
        if text.isascii() and text.isdigit():
            return int(text)
        try:
            return {"time_ms": event_ms(None) - round(duration(text) * 1000)}
        except ValueError:
            pass
        try:
            return {"time_ms": event_ms(text)}
        except EventInvalid:
            pass
    raise ValueError("write oldest, newest, an offset, a time like 2026-11-20T09:00Z, or 2d.")


class _Reader:
    """Reads the keys of one mapping, and collects what is wrong."""

    def __init__(self, section: str, config: Any) -> None:
        self._section = section
        self._problems: list[Problem] = []
        if not isinstance(config, Mapping):
            self.wrong("", f"the config of the {section} is a dict.", type(config).__name__)
            config = {}
        self._config: Mapping[str, Any] = config

    def get(self, key: str, default: Any) -> Any:
        found = self._config.get(key)
        return default if found is None else found

    def text(self, key: str, default: str) -> str:
        found = self.get(key, default)
        if not isinstance(found, str):
            self.wrong(key, "not a text.", found)
            return default
        return found

    def flag(self, key: str) -> bool:
        found = self.get(key, False)
        if isinstance(found, Mapping):
            found = found.get("enabled", False)
        if isinstance(found, bool):
            return found
        try:
            return boolean(str(found))
        except ValueError as error:
            self.wrong(key, str(error), found)
            return False

    def words(self, key: str, default: tuple[str, ...]) -> tuple[str, ...]:
        found = self.get(key, default)
        if isinstance(found, str):
            found = [word.strip() for word in found.split(",")]
        if not isinstance(found, Sequence) or not all(isinstance(one, str) for one in found):
            self.wrong(key, "not a list of words.", found)
            return default
        return tuple(word for word in found if word)

    def patterns(self) -> tuple[str, ...]:
        found = self.words("assets", ("*",))
        try:
            Patterns(found)
        except BadRequest as error:
            self.wrong("assets", error.message, ", ".join(found))
        return found

    def modules(self) -> tuple[str, ...]:
        if self._config.get("event_modules") is not None:
            return self.words("event_modules", ())
        found: Any = self._config
        for key in ("asset", "event", "modules"):
            found = found.get(key) if isinstance(found, Mapping) else None
        if found is None:
            return ()
        if isinstance(found, str):
            return (found,)
        return tuple(str(one) for one in found)

    def whole(self, key: str, default: int, least: int, most: int) -> int:
        found = self.get(key, default)
        try:
            value = int(found) if not isinstance(found, bool | float) else None
        except (TypeError, ValueError):
            value = None
        if value is None or not least <= value <= most:
            self.wrong(key, f"not a whole number from {least} to {most}.", found)
            return default
        return value

    def replay(self) -> Json:
        found = self._config.get("replay")
        try:
            return replay_from(found)
        except ValueError as error:
            self.wrong("replay", str(error), found)
            return None

    def wrong(self, key: str, text: str, found: Any = "") -> None:
        self._problems.append(Problem(text, section=self._section, key=key, value=str(found)[:60]))

    def done(self) -> None:
        """:raises ConfigError: if anything was wrong."""
        if self._problems:
            raise ConfigError(self._problems)
