"""A driver to copy: the tutorial's counter, with two options."""

from .driver import Driver

__all__ = ["Driver"]
