"""Secrets among options: texts that nothing shows, and where they are fetched from."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from smapd.errors import SecretUnreadable
from smapd.option_types import checked_url
from smapd.texts import read_regular

_SECRET_BYTES = 64 * 1024

SECRETIVE = re.compile(
    r"passw|passphrase|pwd$|^pw$|token|secret|credential|api_?key|private_?key", re.IGNORECASE
)
"""Names of keys whose value may be a secret, where no option table says so."""


class Secret:
    """A text that is never shown: its str and repr are ``***``.

    Holds either the text itself, or a reference ``env:NAME`` or ``file:PATH`` to it.
    """

    __slots__ = ("_text", "reference")

    def __init__(self, text: str | None, reference: str = "") -> None:
        self._text = text
        self.reference = reference
        """``env:NAME`` or ``file:PATH`` as the config has it; "" for a text written there."""

    def resolve(self) -> Secret:
        """This secret with its text read from where the reference points; blocks on a file.

        :raises SecretUnreadable: naming the variable or file, never its content.
        """
        return self if self._text is not None else type(self)(_read(self.reference), self.reference)

    def reveal(self) -> str:
        """The text. Hand it to the peer at once, and keep it nowhere.

        :raises SecretUnreadable: if it was not resolved before and cannot be now.
        """
        return self._text if self._text is not None else _read(self.reference)

    def source(self) -> str:
        """What a config file has for it: the reference if there is one, else the text itself."""
        return self.reference or self.reveal()

    def __repr__(self) -> str:
        return "***"

    def __format__(self, spec: str) -> str:
        return format(str(self), spec)

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return (self._text, self.reference) == (other._text, other.reference)

    def __hash__(self) -> int:
        return hash((self._text, self.reference))

    def __reduce__(self) -> Any:
        raise TypeError("a secret cannot be pickled or copied to another process")

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: Any) -> Secret:
        return self


class SecretUrl(Secret):
    """A URL whose path, query or user part may hold a key; shown as ``scheme://host:port/***``."""

    __slots__ = ("schemes",)

    def __init__(
        self, text: str | None, reference: str = "", schemes: tuple[str, ...] = ("http", "https")
    ) -> None:
        super().__init__(text, reference)
        self.schemes = schemes

    def resolve(self) -> SecretUrl:
        """As ``Secret.resolve``; what was read must be a URL.

        :raises SecretUnreadable: if it cannot be read or is not a URL of an allowed scheme.
        """
        if self._text is not None:
            return self
        return SecretUrl(self.reveal(), self.reference, self.schemes)

    def reveal(self) -> str:
        """As ``Secret.reveal``."""
        if self._text is not None:
            return self._text
        try:
            return checked_url(_read(self.reference), self.schemes)
        except ValueError as e:
            raise SecretUnreadable(f"{self.reference} is {e}") from None

    def __repr__(self) -> str:
        if self._text is None:
            return "***"
        parts = urlsplit(self._text)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}/***"


def secret(text: str) -> Secret:
    """A secret: ``env:NAME``, ``file:PATH`` (read when the section starts), or the text itself.

    :raises ValueError: if it is empty.
    """
    reference = _reference(text)
    return Secret(None, reference) if reference else Secret(text)


def secret_url_of(*schemes: str) -> Callable[[str], SecretUrl]:
    """The type of a URL of these schemes that may hold a key; ``env:`` and ``file:`` as in secret.

    The type raises ValueError as that of ``url`` does, without quoting the text.
    """

    def parse(text: str) -> SecretUrl:
        reference = _reference(text)
        if reference:
            return SecretUrl(None, reference, schemes)
        return SecretUrl(checked_url(text, schemes), "", schemes)

    parse.__name__ = "secret_url"
    return parse


secret_url = secret_url_of("http", "https")


def resolve(values: Mapping[str, Any]) -> dict[str, Any]:
    """These parsed values with every secret in them resolved; blocks on files.

    :raises SecretUnreadable: for the first that cannot be read, naming its key.
    """

    def one(key: str, value: Any) -> Any:
        if isinstance(value, Secret):
            try:
                return value.resolve()
            except SecretUnreadable as e:
                raise SecretUnreadable(f"{key}: {e.message}", hint=e.hint) from None
        if isinstance(value, tuple):
            return tuple(one(key, v) for v in value)
        if isinstance(value, dict):
            return {k: one(f"{key.removesuffix('*')}{k}", v) for k, v in value.items()}
        return value

    return {key: one(key, value) for key, value in values.items()}


def _reference(text: str) -> str:
    """The text if it is env:NAME or file:PATH, "" if it is the secret itself."""
    scheme, colon, rest = text.partition(":")
    if colon and scheme in ("env", "file"):
        if not rest.strip() or "\0" in rest or (scheme == "env" and "=" in rest):
            raise ValueError("names nothing. Write env:NAME or file:PATH.")
        return f"{scheme}:{rest.strip()}"
    if not text:
        raise ValueError("empty. Write env:NAME or file:PATH.")
    return ""


def _read(reference: str) -> str:
    scheme, _, name = reference.partition(":")
    if scheme == "env":
        text = os.environ.get(name)
        if text is None:
            raise SecretUnreadable(f"environment variable {name} is not set.")
        where = f"environment variable {name}"
    else:
        where = f"file {name}"
        try:
            data = read_regular(Path(name).expanduser(), _SECRET_BYTES)
            text = data.decode("utf-8")
        except (OSError, RuntimeError) as e:
            why = e.strerror if isinstance(e, OSError) and e.strerror else str(e)
            raise SecretUnreadable(f"{where}: {why}.") from None
        except UnicodeDecodeError:
            raise SecretUnreadable(f"{where} is not UTF-8 text.") from None
        if len(data) > _SECRET_BYTES:
            raise SecretUnreadable(f"{where} is larger than 64 KiB.")
        text = text.removesuffix("\n").removesuffix("\r")
    if not text:
        raise SecretUnreadable(f"{where} is empty.")
    return text
