"""Makes ``twist smapd`` known; imports nothing of smapd, as every ``twist`` reads this file."""

from twisted.application.service import ServiceMaker

smapd = ServiceMaker("smapd", "smapd.tap", "Instruments as a named tree of timeseries.", "smapd")
