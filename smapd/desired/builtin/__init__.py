"""Resources that come with smapd: files, states of actuators, and reports.

This is what a model imports: entities, and the classes of resources that they become. Handlers are
brought by the modules ``file``, ``actuator`` and ``report`` here, and by ``handlers``, which is all
of them; nothing is registered by an import of another one.
"""

from .entities import Actuator, File, Host, Report
from .kinds import ActuatorResource, FileResource, ReportResource

__all__ = [
    "Actuator",
    "ActuatorResource",
    "File",
    "FileResource",
    "Host",
    "Report",
    "ReportResource",
]
