"""The California ISO's public market data: demand, generation, imports, renewables, prices."""

from .driver import CaIsoDriver

__all__ = ["CaIsoDriver"]
