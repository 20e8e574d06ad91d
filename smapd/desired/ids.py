"""The name of a resource: ``ns::Type[agent,attribute=value]``, with its version ``…,v=N``.

The value may hold any of ``[ ] , =``: the agent ends at the first comma, the attribute at the first
equals sign, and a text that ends in ``]`` has no version.
"""

from __future__ import annotations

import re
from typing import Any, Final

_NAME: Final = r"[\w-]+"
_TYPE: Final = re.compile(rf"{_NAME}(?:::{_NAME})+")
_AGENT: Final = re.compile(r"[^,\x00-\x1f\x7f]+")
_ATTRIBUTE: Final = re.compile(r"[^=,\[\]\x00-\x1f\x7f]+")
_VALUE: Final = re.compile(r"[^\x00-\x1f\x7f]+")
_ID: Final = re.compile(
    rf"(?P<type>{_NAME}(?:::{_NAME})+)\[(?P<agent>[^,\x00-\x1f\x7f]+),"
    r"(?P<attribute>[^=,\[\]\x00-\x1f\x7f]+)=(?P<value>[^\x00-\x1f\x7f]+)\]"
    r"(?:,v=(?P<version>[0-9]{1,18}))?"
)

MOST_LETTERS: Final = 2000
"""Of one id; it is part of an address."""


class Id:
    """A resource's id; two are equal when all five parts are. Never changed once made.

    ``version`` 0: of no version yet, and not written.
    """

    __slots__ = ("agent_name", "attribute", "attribute_value", "entity_type", "version")

    entity_type: str
    agent_name: str
    attribute: str
    attribute_value: str
    version: int

    def __init__(
        self,
        entity_type: str,
        agent_name: str,
        attribute: str,
        attribute_value: str,
        version: int = 0,
    ) -> None:
        """:raises ValueError: if one of the parts would not be read back as it is."""
        _check("type", entity_type, _TYPE, "like std::File")
        _check("agent", agent_name, _AGENT, "text without a comma")
        _check("attribute", attribute, _ATTRIBUTE, "the name of a field")
        _check("value", attribute_value, _VALUE, "text on one line")
        if not isinstance(version, int) or isinstance(version, bool) or version < 0:
            raise ValueError(f"{version!r} is not the version of an id: 0, or a number from 1 on")
        setting = object.__setattr__
        setting(self, "entity_type", entity_type)
        setting(self, "agent_name", agent_name)
        setting(self, "attribute", attribute)
        setting(self, "attribute_value", attribute_value)
        setting(self, "version", version)
        if len(self.resource_str()) > MOST_LETTERS:
            raise ValueError(f"the id of a {entity_type} has more than {MOST_LETTERS} letters")

    @classmethod
    def parse_id(cls, text: str, version: int | None = None) -> Id:
        """The id that this text names; ``version``, if given, takes the place of the text's.

        :raises ValueError: if it is none.
        """
        found = _ID.fullmatch(text) if isinstance(text, str) else None
        if found is None or len(text) > MOST_LETTERS + 21:
            shown = repr(text)[:200]
            raise ValueError(
                f"{shown} is not the id of a resource; one looks like"
                " std::File[host1,path=/etc/motd] or std::File[host1,path=/etc/motd],v=3"
            )
        made = object.__new__(cls)  # the pattern has checked each part
        setting = object.__setattr__
        setting(made, "entity_type", found["type"])
        setting(made, "agent_name", found["agent"])
        setting(made, "attribute", found["attribute"])
        setting(made, "attribute_value", found["value"])
        setting(made, "version", int(found["version"] or 0) if version is None else version)
        return made

    @classmethod
    def is_resource_id(cls, text: str) -> bool:
        """Whether this is the text of an id, with or without version."""
        return isinstance(text, str) and _ID.fullmatch(text) is not None

    def resource_str(self) -> str:
        """The text without the version: the name of the resource through all versions."""
        return f"{self.entity_type}[{self.agent_name},{self.attribute}={self.attribute_value}]"

    def resource_version_str(self) -> str:
        """The text with the version."""
        return f"{self.resource_str()},v={self.version}"

    def copy(self, *, version: int) -> Id:
        """The same resource in another version."""
        return Id(self.entity_type, self.agent_name, self.attribute, self.attribute_value, version)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"an Id is not changed: use copy() to give {self} another version")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"an Id is not changed: {self} keeps its {name}")

    def __reduce__(self) -> tuple[Any, ...]:
        return Id, self._parts()

    def __str__(self) -> str:
        return self.resource_version_str() if self.version else self.resource_str()

    def __repr__(self) -> str:
        return f"<Id {self}>"

    def _parts(self) -> tuple[str, str, str, str, int]:
        return (
            self.entity_type,
            self.agent_name,
            self.attribute,
            self.attribute_value,
            self.version,
        )

    def __hash__(self) -> int:
        return hash(self._parts())

    def __eq__(self, other: object) -> bool:
        return self._parts() == other._parts() if isinstance(other, Id) else NotImplemented


def _check(part: str, text: object, pattern: re.Pattern[str], wanted: str) -> None:
    if not isinstance(text, str) or pattern.fullmatch(text) is None:
        raise ValueError(f"{str(text)[:200]!r} is not the {part} of an id: {wanted}")
