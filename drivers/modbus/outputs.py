"""What can be written, as actuators: a switch, a choice, or a number of a range."""

from __future__ import annotations

from typing import Protocol

from smapd.actuate import (
    BinaryActuator,
    ContinuousActuator,
    ContinuousIntegerActuator,
    NStateActuator,
    SmapActuator,
)

from .registers import BOOL, Number, Register


class Device(Protocol):
    """What an actuator needs of its driver; both block, and raise DeviceUnavailable."""

    def ask(self, register: Register) -> Number:
        """The value that it has now."""

    def write(self, register: Register, value: Number) -> None:
        """Write it."""


def output(device: Device, register: Register) -> SmapActuator:
    """The actuator of a register that can be written."""
    writable = register.writable
    assert writable is not None
    made: _Switch | _Choice | _Number | _Whole
    if register.kind is BOOL:
        made = _Switch()
    elif writable.values:
        made = _Choice(writable.values)
    elif register.data_type == "double":
        made = _Number((writable.low, writable.high))
    else:
        made = _Whole((int(writable.low), int(writable.high)))
    made.device, made.register = device, register
    return made


class _Output:
    """The half that is the same for all."""

    device: Device
    register: Register

    def get_state(self) -> Number:
        return self.device.ask(self.register)

    def set_state(self, state: Number) -> None:
        self.device.write(self.register, state)


class _Switch(_Output, BinaryActuator):
    pass


class _Choice(_Output, NStateActuator):
    pass


class _Number(_Output, ContinuousActuator):
    pass


class _Whole(_Output, ContinuousIntegerActuator):
    pass
