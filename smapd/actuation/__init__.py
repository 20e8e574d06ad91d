"""Actuation: the state models, guarded calls of actuators, and jobs."""

from .actuators import Actuators
from .calls import MOST_HUNG, POOL
from .jobs import Jobs
from .models import (
    BinaryModel,
    ContinuousIntegerModel,
    ContinuousModel,
    IntegerModel,
    NStateModel,
    StateModel,
)

__all__ = [
    "MOST_HUNG",
    "POOL",
    "Actuators",
    "BinaryModel",
    "ContinuousIntegerModel",
    "ContinuousModel",
    "IntegerModel",
    "Jobs",
    "NStateModel",
    "StateModel",
]
