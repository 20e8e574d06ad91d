"""The machine that smapd runs on: processors, memory, disks, network, temperatures."""

from .driver import SystemDriver

__all__ = ["SystemDriver"]
