"""Assets, their events and streamed requests: all that an integrator or follower imports."""

from smapd.errors import (
    AssetUnknown,
    EventInvalid,
    EventPublishFailure,
    MissingCallback,
    NotConnected,
    ShutdownRequested,
    T2ResponseException,
    T2ResponseFailure,
    T2Timeout,
    T2Unavailable,
    WouldDeadlock,
)
from smapd.values import T2ProviderFailureReason, T2ReqFailureReason

from .callbacks import FollowerCallbacks, IntegratorCallbacks, NamedEventMixin, log_exceptions
from .client import Client
from .embedded import EmbeddedThings, ThingSection
from .event import AssetEvent, Event, EventTypes, UnknownEvent, field
from .follower import Follower
from .integrator import Integrator
from .nested import NestedConfig
from .requesting import T2Answer
from .responding import T2Request
from .runner import RetryingThingRunner, RunContext, ThingRunner
from .sections import TABLES
from .twin import Twin

__all__ = [
    "AssetEvent",
    "AssetUnknown",
    "Client",
    "EmbeddedThings",
    "Event",
    "EventInvalid",
    "EventPublishFailure",
    "EventTypes",
    "Follower",
    "FollowerCallbacks",
    "Integrator",
    "IntegratorCallbacks",
    "MissingCallback",
    "NamedEventMixin",
    "NestedConfig",
    "NotConnected",
    "RetryingThingRunner",
    "RunContext",
    "ShutdownRequested",
    "TABLES",
    "T2Answer",
    "T2ProviderFailureReason",
    "T2ReqFailureReason",
    "T2Request",
    "T2ResponseException",
    "T2ResponseFailure",
    "T2Timeout",
    "T2Unavailable",
    "ThingRunner",
    "ThingSection",
    "Twin",
    "UnknownEvent",
    "WouldDeadlock",
    "field",
    "log_exceptions",
]
