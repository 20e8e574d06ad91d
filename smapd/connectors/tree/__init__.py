"""Connectors as sections of a config file: readings and events out, queries and publishes in."""

from .connector import ConnectorSection
from .connectors import Connectors
from .options import tables
from .source import Neighbours

__all__ = ["ConnectorSection", "Connectors", "Neighbours", "tables"]
