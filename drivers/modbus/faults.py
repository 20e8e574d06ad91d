"""What can go wrong in one exchange with a device, and the words for it."""

from __future__ import annotations

_WHY = {
    1: "illegal function",
    2: "illegal data address",
    3: "illegal data value",
    4: "device failure",
    5: "acknowledged, not done yet",
    6: "device busy",
    7: "negative acknowledge",
    8: "memory parity error",
    10: "gateway path unavailable",
    11: "no answer behind the gateway",
}


class Lost(Exception):
    """The exchange came to no end, and the connection is closed; another one may fare better."""


class Garbled(Exception):
    """What came is no answer to what was asked."""


class Refused(Exception):
    """The device answered that it will not, with this exception code."""

    def __init__(self, code: int) -> None:
        self.code = code
        super().__init__(f"{_WHY.get(code, 'refused')} (exception {code})")

    @property
    def is_of_a_register(self) -> bool:
        """Whether one register of several may be the reason."""
        return self.code in (2, 3, 4)

    @property
    def is_of_the_gateway(self) -> bool:
        """Whether the device itself has not been reached."""
        return self.code in (10, 11)
