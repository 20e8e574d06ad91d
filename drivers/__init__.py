"""Drivers shipped with smapd, one folder a device family; imported as ``smapd.drivers.NAME``."""
