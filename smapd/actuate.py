"""What a driver author makes actuators from; the names, and the calls, are sMAP's.

.. code-block:: python

    class Lamp(BinaryActuator):
        def get_state(self, request):
            return self.device.read_coil(7)

        def set_state(self, request, state):
            self.device.write_coil(7, state)


    self.add_actuator("/lamp", "on/off", Lamp())

``get_state`` and ``set_state`` run on a thread and may block, up to the actuator's ``timeout_s``;
of one actuator one call is under way at a time. In a driver with ``ON_REACTOR = True`` they run on
the reactor, and may give a Deferred; ``async def`` runs on the users' asyncio loop. What they raise
is told to whoever asked, with its text. They may be written without ``request``, which is an
``ActuationRequest``, or None for a job. A ``release_state``, if there is one, lets go of a state.
"""

from __future__ import annotations

from typing import Any

from smapd.actuation import (
    BinaryModel,
    ContinuousIntegerModel,
    ContinuousModel,
    IntegerModel,
    NStateModel,
    StateModel,
)
from smapd.errors import BadState, DeviceUnavailable
from smapd.values import ActuationRequest

__all__ = [
    "ActuationRequest",
    "BadState",
    "BinaryActuator",
    "ContinuousActuator",
    "ContinuousIntegerActuator",
    "DeviceUnavailable",
    "IntegerActuator",
    "NStateActuator",
    "SmapActuator",
]


class SmapActuator(StateModel):
    """An actuator of any kind. A subclass has ``parse_state`` and ``valid_state`` of its own.

    Nothing of this needs ``__init__`` to be called.
    """

    def get_state(self, *args: Any, **kwargs: Any) -> Any:
        """The state that the device is in. Written ``get_state(self, request)``, or without."""
        raise NotImplementedError(f"{type(self).__name__} has no get_state")

    def set_state(self, *args: Any, **kwargs: Any) -> Any:
        """Set the device to a valid state; what this gives is not looked at.

        Written ``set_state(self, request, state)``, or without the request.
        """
        raise NotImplementedError(f"{type(self).__name__} has no set_state")


class BinaryActuator(BinaryModel, SmapActuator):
    """Off or on: 0 or 1."""


class NStateActuator(NStateModel, SmapActuator):
    """One of ``states``: a list of whole numbers, or of texts.

    :raises ValueError: for a list that is empty, or holds anything else.
    """


class ContinuousActuator(ContinuousModel, SmapActuator):
    """A number within ``range``, which is (lowest, highest); both are states.

    :raises ValueError: for what is no range.
    """


class ContinuousIntegerActuator(ContinuousIntegerModel, SmapActuator):
    """A whole number within ``control_range``, which is (lowest, highest); both are states.

    :raises ValueError: for what is no range.
    """


class IntegerActuator(IntegerModel, SmapActuator):
    """Any whole number of 64 bits."""
