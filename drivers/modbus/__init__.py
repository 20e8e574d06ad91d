"""Modbus/TCP devices read by a register map, and a simulated meter to try it on."""

from .driver import ModbusDriver
from .simulated import SimulatedMeter

__all__ = ["ModbusDriver", "SimulatedMeter"]
