"""Resources that come with smapd: files, states of actuators, and reports.

Nothing of it is registered until it is imported: ``Handlers = smapd.desired.builtin`` for an agent,
or the one module that is wanted, like ``smapd.desired.builtin.actuator``.
"""

from .actuator import ActuatorHandler, ActuatorResource
from .entities import Actuator, File, Host, Report
from .file import FileHandler, FileResource
from .report import ReportHandler, ReportResource
from ..services import ActuatorService, ReportService, services

__all__ = [
    "Actuator",
    "ActuatorHandler",
    "ActuatorResource",
    "ActuatorService",
    "File",
    "FileHandler",
    "FileResource",
    "Host",
    "Report",
    "ReportHandler",
    "ReportResource",
    "ReportService",
    "services",
]
