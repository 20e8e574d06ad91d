"""Who may do what."""

from .rules import Access

__all__ = ["Access"]
