"""The class that a section's ``Handler`` names: found, made, and its coroutines looked up.

::

    class PumpHandler:
        def __init__(self, connection, config): ...  # the source's connection; its own keys
        async def connect(self, context, configuration): ...
        async def publish(self, context, message): ...
        async def query(self, context, message): ...  # may return NotImplemented
        async def close(self, context): ...

Each may be left out, and may be called ``handle_…`` instead. One object is made for each source,
and all of it runs on the users' asyncio loop.
"""

from __future__ import annotations

import importlib
import inspect
import os
import re
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from smapd.errors import ConfigError, MissingExtra, SecretUnreadable
from smapd.options import nearest
from smapd.runtime import attempt
from smapd.values import Problem

_CAMEL: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
NAMES: Final = ("close", "connect", "publish", "query")

Coro = Callable[..., Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class UserHandlers:
    """What somebody's class has; None for what it has not."""

    close: Coro | None = None
    connect: Coro | None = None
    publish: Coro | None = None
    query: Coro | None = None


def find_handler(name: str, section: str) -> Callable[..., Any]:
    """The class ``package.module.Class``; also from a module in the working directory.

    Runs the module's code, so not on the reactor.

    :raises ConfigError: if there is none.
    :raises MissingExtra: if the module needs a package that is not installed.
    """
    module_name, _, class_name = name.rpartition(".")
    here = os.getcwd()
    if "" not in sys.path and here not in sys.path:
        sys.path.append(here)  # at the end: it stands in for no installed package
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and (module_name + ".").startswith(error.name + "."):
            raise _wrong(section, name, f"there is no module {error.name}.") from None
        raise MissingExtra(
            f"[{section}] Handler = {name} needs the package {error.name}, which is not installed."
        ) from error
    found = getattr(module, class_name, None)
    if found is None:
        near = nearest(class_name, [one for one in vars(module) if not one.startswith("_")])
        meant = f" Did you mean {near}?" if near else ""
        raise _wrong(section, name, f"there is no {class_name} in {module_name}.{meant}")
    if not callable(found):
        raise _wrong(section, name, f"it is a {type(found).__name__}, and no class.")
    if inspect.isclass(found) and not any(_method(found, one) for one in NAMES):
        raise _wrong(section, name, f"it has none of {', '.join(NAMES)}.")
    maker: Callable[..., Any] = found
    return maker


def handlers_of(made: object, section: str, name: str) -> UserHandlers:
    """The coroutines of an object.

    :raises ConfigError: if one of them is none.
    """
    found = {one: _method(made, one) for one in NAMES}
    for one, method in found.items():
        if method is not None and not callable(method):
            raise _wrong(section, name, f"its {one} is a {type(method).__name__}.")
    return UserHandlers(**found)


def own_config(options: Mapping[str, Any], known: frozenset[str]) -> dict[str, Any]:
    """The keys of a section that no table knows, in snake_case; ``env:NAME`` is that variable.

    :raises SecretUnreadable: naming the variable that is not set.
    """
    return {
        _CAMEL.sub("_", key).lower(): _fetched(key, value)
        for key, value in options.items()
        if key not in known
    }


def import_handler(name: str, section: str) -> Callable[..., Any]:
    """As ``find_handler``; what the module raises becomes a sentence.

    :raises ConfigError: also if the module raises while it is imported.
    """
    found = attempt(find_handler, name, section)
    error: Any = getattr(found, "value", None)
    if not isinstance(error, BaseException):
        return found  # type: ignore[return-value]
    if isinstance(error, ConfigError | MissingExtra):
        raise error
    text = " ".join(str(error).split())[:300]
    raise _wrong(section, name, f"its module raised {type(error).__name__}: {text}") from error


def _method(owner: object, name: str) -> Any:
    return getattr(owner, name, None) or getattr(owner, f"handle_{name}", None)


def _wrong(section: str, name: str, text: str) -> ConfigError:
    return ConfigError([Problem(text, section=section, key="Handler", value=name)])


def _fetched(key: str, value: Any) -> Any:
    if isinstance(value, str) and value.startswith("env:"):
        name = value[4:].strip()
        text = os.environ.get(name)
        if text is None:
            raise SecretUnreadable(f"{key}: environment variable {name} is not set.")
        return text
    if isinstance(value, Mapping):
        return {_CAMEL.sub("_", k).lower(): _fetched(k, one) for k, one in value.items()}
    if isinstance(value, list):
        return [_fetched(key, one) for one in value]
    return value
