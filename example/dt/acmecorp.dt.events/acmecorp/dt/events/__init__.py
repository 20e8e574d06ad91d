"""The events of Acme Corp: one class a type, with its schemas."""

from .bom import BomBuiltSet
from .document import NewDocumentSet

__all__ = ["BomBuiltSet", "NewDocumentSet"]
