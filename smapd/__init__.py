"""smapd: instruments as a named tree of timeseries, with every reading accounted for.

This package imports nothing of its own, so that ``import smapd`` stays cheap and no reactor is
installed by it. The tutorial's faces are the modules ``core``, ``server``, ``util``, ``loader``
and ``driver``.
"""

__version__ = "0.1.0"
