"""Something that can be set."""

from typing import Any


class Switch:
    """What can be set, as ``add_actuator`` takes it."""

    def get_state(self) -> int:
        return 0

    def set_state(self, state: int) -> int:
        return state

    def parse_state(self, text: str) -> int:
        return int(text)

    def valid_state(self, state: int) -> bool:
        return state in (0, 1)

    def get_description(self) -> dict[str, Any]:
        return {"Model": "binary"}
