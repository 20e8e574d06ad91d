"""The desired state: resources, the handlers that bring them about, and the order they go in."""

from . import registry
from .cache import AgentCache, cache
from .context import HandlerContext, InvalidOperation, LogRecord
from .deploy import Deployment
from .exporter import Export, Exporter
from .handler import CRUDHandler, ResourcePurged, SkipResource, provider
from .ids import Id
from .local import deploy
from .options import TABLES
from .perform import AgentSide, ResourceResult, ResourceRun, Task
from .registry import FrozenRegistry
from .resources import (
    IgnoreResourceException,
    ManagedResource,
    PurgeableResource,
    Resource,
    resource,
)
from .states import Action, Change, Place, ResourceState, Settled

__all__ = [
    "TABLES",
    "Action",
    "AgentCache",
    "AgentSide",
    "CRUDHandler",
    "Change",
    "Deployment",
    "Export",
    "Exporter",
    "FrozenRegistry",
    "HandlerContext",
    "Id",
    "IgnoreResourceException",
    "InvalidOperation",
    "LogRecord",
    "ManagedResource",
    "Place",
    "PurgeableResource",
    "Resource",
    "ResourcePurged",
    "ResourceResult",
    "ResourceRun",
    "ResourceState",
    "Settled",
    "SkipResource",
    "Task",
    "cache",
    "deploy",
    "provider",
    "registry",
    "resource",
]
