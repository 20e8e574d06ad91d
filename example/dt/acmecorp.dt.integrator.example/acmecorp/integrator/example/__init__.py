"""An integrator: publishes what was built, and serves documents."""

from .impl import IntegratorExample

__all__ = ["IntegratorExample"]
