"""Every handler that comes with smapd: ``Handlers = smapd.desired.builtin.handlers``."""

from .actuator import ActuatorHandler
from .file import FileHandler
from .report import ReportHandler

__all__ = ["ActuatorHandler", "FileHandler", "ReportHandler"]
