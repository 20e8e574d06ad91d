"""The HTTP server: ``make_site`` builds it, ``listen`` opens its port."""

from .listener import TABLES, Listener, check_listener, listener_from
from .parts import HttpParts
from .ports import listen
from .site import Site, make_site
from .timers import Timers

__all__ = [
    "TABLES",
    "HttpParts",
    "Listener",
    "Site",
    "Timers",
    "check_listener",
    "listen",
    "listener_from",
    "make_site",
]
