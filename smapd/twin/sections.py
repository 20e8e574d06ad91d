"""The sections of integrators and followers in an INI file, and what becomes of their keys.

``[integrator NAME]``, ``[follower NAME]``, and ``[thing NAME]`` for one that is both. The keys
reach the program's config as snake_case, those too that no table knows: they are the class's own.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from configobj import ConfigObj, ConfigObjError

from smapd.errors import BadRequest, ConfigError, SecretUnreadable
from smapd.options import (
    REQUIRED,
    Option,
    OptionTable,
    Secret,
    Where,
    integer,
    path,
    read_regular,
    secret,
    url,
    words,
)
from smapd.values import Json, Problem, Severity

from .options import TABLES as SERVER_TABLES
from .patterns import Patterns
from .settings import MAX_UNACKED, MOST_UNACKED, URL, replay_from

KINDS: Final = ("integrator", "follower", "thing")
MOST_BYTES: Final = 2**20
_CAMEL: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_TOP: Final[tuple[str, ...]] = ("name", "url", "token", "ca_file", "type")


def replay(text: str) -> Json:
    """Where a follower begins: see ``settings.replay_from``.

    :raises ValueError: if it is none.
    """
    return replay_from(text)


_BOTH: Final = (
    Option("Assets", words, ("*",), "which assets: ids, or patterns with * and ?"),
    Option("T2", bool, False, "whether it serves, or makes, type 2 requests"),
    Option("EventModules", words, (), "modules with event types, beside installed smapd.events"),
)
_INTEGRATOR: Final = (
    Option("Source", str, None, "says in each event who published it; the section's name"),
    Option(
        "MaxWorkers",
        integer,
        None,
        "for the program: how many workers its pool has",
        at_least=1,
    ),
)
_FOLLOWER: Final = (
    Option(
        "MaxUnacked",
        integer,
        MAX_UNACKED,
        "events of an asset that may be out and not acknowledged",
        at_least=1,
        at_most=MOST_UNACKED,
    ),
    Option(
        "Replay",
        replay,
        None,
        "where to begin at each start, in place of where it was: oldest, newest, an offset, a "
        "time, or a duration like 2d",
    ),
)
_TYPE: Final = (Option("type", str, REQUIRED, "its class, as package.module.Class"),)
_PROGRAM: Final = (
    Option("type", str, None, "its class; of no use here"),
    Option("Name", str, None, "under which its places are kept; the section's name"),
    Option("Url", url("http", "https", "ws", "wss"), URL, "where the daemon is"),
    Option("Token", secret, None, "the token of the daemon's [server]"),
    Option("CaFile", path, None, "PEM file of the authority that signed its certificate"),
)
_BY_KIND: Final = {
    "integrator": (*_BOTH, *_INTEGRATOR),
    "follower": (*_BOTH, *_FOLLOWER),
    "thing": (*_BOTH, *_INTEGRATOR, *_FOLLOWER),
}


def check_thing(values: Mapping[str, Any], where: Where) -> Iterator[Problem]:
    """What the daemon would refuse at each try: a name that is none, patterns that are none."""
    name = name_of(where.section)
    if len(name) > 128 or not name.isprintable():
        yield where.problem("its name has 1 to 128 printable letters.")
    try:
        Patterns(values.get("Assets") or ())
    except BadRequest as error:
        yield where.problem(error.message, "Assets")
    module, _, attribute = str(values.get("type") or "").replace(":", ".").rpartition(".")
    if (
        "type" in values
        and values["type"] is not None
        and not (module and attribute.isidentifier())
    ):
        yield where.problem("not a class. Write package.module.Class.", "type", values["type"])


THING_TABLES: Final = tuple(
    OptionTable(kind, (*_TYPE, *options), check=check_thing, is_open=True)
    for kind, options in _BY_KIND.items()
)
"""Of things that run in the daemon."""

TABLES: Final = (*SERVER_TABLES, *THING_TABLES)
"""All that the twin reads of a config file."""

_PROGRAM_TABLES: Final = {
    kind: OptionTable(kind, (*_PROGRAM, *options), is_open=True)
    for kind, options in _BY_KIND.items()
}


def snake_case(key: str) -> str:
    """``MaxUnacked`` → ``max_unacked``; ``T2`` → ``t2``."""
    return _CAMEL.sub("_", key).lower()


class _NoPart(ConfigError, KeyError):
    """A KeyError too, for a class that asks whether it is there."""

    __str__ = ConfigError.__str__


class ThingConfig(dict[str, Any]):
    """The config of one section. Who asks it for the other kind's part has the wrong section."""

    def __init__(self, values: Mapping[str, Any], header: str) -> None:
        super().__init__(values)
        self._header = header

    def __missing__(self, key: str) -> Any:
        if key not in ("integrator", "follower"):
            raise KeyError(key)
        name = name_of(self._header)
        text = f"its class wants the keys of {'an' if key == 'integrator' else 'a'} {key}. "
        text += f"Write [{key} {name}], or [thing {name}] for one that is both."
        raise _NoPart([Problem(text, section=self._header)])


def config_of(kind: str, name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """The config that a thing's class gets, from the values of its section.

    ``{"name", "url", …}`` at the top, all other keys under ``integrator`` and ``follower`` (of a
    thing, both); the class's own keys also at the top and, as one dict, under ``config``. There
    ``env:NAME`` stands for that variable.

    :raises SecretUnreadable: naming the variable that is not set.
    """
    known = {option.name for option in (*_PROGRAM, *_BY_KIND[kind])}
    own = {snake_case(key): _fetched(value) for key, value in options.items() if key not in known}
    given = {
        snake_case(key): value
        for key, value in options.items()
        if key in known and value is not None
    }
    top: dict[str, Any] = {key: given.pop(key) for key in _TOP if key in given}
    config: dict[str, Any] = {**own, **top}
    config["name"] = str(top.get("name") or name)
    if "ca_file" in config:
        config["ca_file"] = str(config["ca_file"])
    config["config"] = own
    role = {key: list(value) if isinstance(value, tuple) else value for key, value in given.items()}
    for one in ("integrator", "follower") if kind == "thing" else (kind,):
        config[one] = {**own, **role}
    return ThingConfig(config, f"{kind} {name}")


def name_of(section: str) -> str:
    """The NAME in ``integrator NAME``; the kind, where there is none."""
    return section.partition(" ")[2].strip() or section


def config_from_ini(file: str | Path, section: str | None = None) -> dict[str, Any]:
    """The config of a thing in a process of its own, from the one section of its kind in a file.

    ``section``: its header or its NAME, where the file has several.

    :raises ConfigError: naming line and key of all that is wrong.
    :raises SecretUnreadable: naming variable or file.
    """
    doc = _parsed(file)
    found = {
        header: body
        for header, body in doc.items()
        if isinstance(body, Mapping) and header.partition(" ")[0] in KINDS
    }
    if section is not None:
        found = {k: v for k, v in found.items() if section in (k, name_of(k))}
    if len(found) != 1:
        wanted = f"section {section}" if section else "section of an integrator, follower or thing"
        text = f"there is no {wanted}." if not found else f"which one: {', '.join(found)}?"
        raise ConfigError([Problem(text, str(file))])
    ((header, body),) = found.items()
    kind = header.partition(" ")[0]
    values, problems = _PROGRAM_TABLES[kind].parse(body, Where(str(file), section=header))
    if any(problem.severity is Severity.ERROR for problem in problems):
        raise ConfigError(problems)
    resolved = {
        key: value.resolve() if isinstance(value, Secret) else value
        for key, value in values.items()
    }
    return config_of(kind, name_of(header), resolved)


def _parsed(file: str | Path) -> ConfigObj:
    try:
        data = read_regular(file, MOST_BYTES)
        if len(data) > MOST_BYTES:
            raise ConfigError([Problem("larger than 1 MiB.", str(file))])
        lines = data.decode("utf-8-sig").splitlines()
        return ConfigObj(lines, interpolation=False, list_values=True, raise_errors=True)
    except OSError as error:
        raise ConfigError([Problem(f"{error.strerror or error}.", str(file))]) from error
    except UnicodeDecodeError as error:
        raise ConfigError([Problem("it is not UTF-8 text.", str(file))]) from error
    except ConfigObjError as error:
        text, line = str(error), getattr(error, "line_number", 0) or 0
        raise ConfigError([Problem(text, str(file), line)]) from error


def _fetched(value: Any) -> Any:
    if isinstance(value, str) and value.startswith("env:"):
        name = value[4:].strip()
        text = os.environ.get(name)
        if text is None:
            raise SecretUnreadable(f"environment variable {name} is not set.")
        return text
    if isinstance(value, Mapping):
        return {snake_case(key): _fetched(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_fetched(one) for one in value]
    return value
