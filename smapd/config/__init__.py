"""A config file to a checked plan, a plan into the tree and out of it, a tree to a config file."""

from .attach import attach_section, detach_section, finish_driver_section
from .driver_sections import with_driver
from .drivers import find_driver, list_drivers
from .dump import dump
from .load import load_plan, load_text
from .plan import NodeSection, OtherSection, Plan, namespace, resolve

__all__ = [
    "NodeSection",
    "OtherSection",
    "Plan",
    "attach_section",
    "detach_section",
    "dump",
    "find_driver",
    "finish_driver_section",
    "list_drivers",
    "load_plan",
    "load_text",
    "namespace",
    "resolve",
    "with_driver",
]
