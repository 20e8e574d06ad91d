"""The words for what became of a resource; each is its own text in JSON."""

from __future__ import annotations

import enum
from typing import NamedTuple


class ResourceState(enum.StrEnum):
    """How one run of a resource ended."""

    DEPLOYED = "deployed"
    DRY = "dry"
    SKIPPED = "skipped"
    FAILED = "failed"
    UNAVAILABLE = "unavailable"


class Change(enum.StrEnum):
    """What a handler says it did; it says so itself, by one of the context's ``set_…``."""

    NOCHANGE = "nochange"
    CREATED = "created"
    UPDATED = "updated"
    PURGED = "purged"


class Place(enum.StrEnum):
    """Where in a deployment a resource stands that has no state yet."""

    WAITING = "waiting"
    READY = "ready"
    RUNNING = "running"
    CANCELLED = "cancelled"


class Action(enum.StrEnum):
    """What an agent is asked to do with a resource."""

    DEPLOY = "deploy"
    DRY_RUN = "dry_run"
    FACTS = "facts"


class Settled(NamedTuple):
    """One resource of a deployment has its state.

    ``id``: without version. ``reason``: a sentence where it did not run for a requirement's sake,
    and then ``skipped_for`` is that requirement; both "" for what came from a handler. ``change``:
    what the handler did.
    """

    id: str
    state: ResourceState
    reason: str = ""
    skipped_for: str = ""
    change: Change = Change.NOCHANGE
