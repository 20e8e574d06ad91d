"""The plan of the house: makes every part once, and hands each its neighbours.

``build`` turns a checked plan into a ``Daemon``, which starts and stops in order. Sections are
attached and detached one at a time.
"""

from .daemon import Daemon, build, embed
from .settings import TABLES, LoadedPlan, Settings

__all__ = ["TABLES", "Daemon", "LoadedPlan", "Settings", "build", "embed"]
