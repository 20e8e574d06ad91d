"""Drivers that the broken configs name."""

from smapd.options import REQUIRED, Option, duration, integer, port, secret


class Meter:
    OPTIONS = (
        Option("Address", str, REQUIRED, "host name or address of the gateway"),
        Option("Host", str, None, "old name of Address", deprecated="use Address"),
        Option("Port", port, 502, "TCP port"),
        Option("Rate", duration, "30s", "time between two polls", at_least="100ms"),
        Option("Scale", float, 1.0, "multiplies every value"),
        Option("Parity", str, "none", "of the serial line", choices=("none", "even", "odd")),
        Option("Retries", integer, 3, "of one request", at_most=10),
        Option("Register*", integer, None, "numbers of the registers"),
        Option("Password", secret, None, "sent in the clear by this protocol"),
    )

    def setup(self, inst, opts):
        """Nothing is made."""

    def start(self):
        """Nothing is read."""


class Twice(Meter):
    OPTIONS = (Option("Rate", duration, "30s", "one"), Option("Rate", duration, "1s", "two"))


class Open(Meter):
    OPTIONS = None
