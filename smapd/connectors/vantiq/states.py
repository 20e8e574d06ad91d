"""What a source is doing, for ``/status``: frozen values, none of which holds a secret."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TypeAlias

from smapd.values import Json


@dataclass(frozen=True, slots=True)
class Idle:
    """Not run yet."""


@dataclass(frozen=True, slots=True)
class Connecting:
    """On its way: connecting, logging in, or waiting for the configuration."""

    failures: int
    """How often it failed in a row before."""


@dataclass(frozen=True, slots=True)
class Connected:
    """Configured, and in use."""

    since_ms: int


@dataclass(frozen=True, slots=True)
class Waiting:
    """It failed, and is tried again."""

    until_ms: int
    failures: int
    why: str


@dataclass(frozen=True, slots=True)
class Refused:
    """It ended, because trying again would not help."""

    why: str


@dataclass(frozen=True, slots=True)
class Closed:
    """``close()`` was called; it does not come back."""


SourceState: TypeAlias = Idle | Connecting | Connected | Waiting | Refused | Closed


@dataclass(slots=True)
class Counters:
    """What a source has done since it was made."""

    connected: int = 0
    """Times it was configured."""
    failures: int = 0
    """Tries that ended before a configuration, and sessions that did not live long enough."""
    lost: int = 0
    """Sessions that ended without our close()."""
    notifications: int = 0
    publishes: int = 0
    queries: int = 0
    answers: int = 0
    """Answers sent, partial ones and errors too."""
    errors_answered: int = 0
    """Error answers sent."""
    handler_failures: int = 0
    bad_frames: int = 0
    """Messages that were not understood, and ignored."""

    def as_json(self) -> dict[str, Json]:
        """The numbers by name."""
        return asdict(self)


def state_json(state: SourceState) -> dict[str, Json]:
    """``{"state": "waiting", …}``, the state's fields beside its name."""
    return {"state": type(state).__name__.lower(), **asdict(state)}
