"""Reports: who is sent which readings."""

from .options import FORMATS, TABLES

__all__ = ["FORMATS", "TABLES"]
