"""Reads one value out of a nested config, by its dotted path."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any


class NestedConfig:
    """``NestedConfig.get(config, "config.loop_time", required=False, default=5)``."""

    @staticmethod
    def get(
        config: Mapping[str, Any],
        path: str,
        required: bool = True,
        default: Any = None,
        check: Callable[[Any], Any] | None = None,
    ) -> Any:
        """The value at ``path``, names joined by dots.

        ``check``: called with the value. A type gives the value that is returned; of any other
        callable the answer is returned, unless it is a bare true or false: false refuses.

        :raises ValueError: if it is required and missing, or ``check`` refuses it.
        """
        found: Any = config
        for name in path.split("."):
            if not isinstance(found, Mapping) or name not in found:
                if required:
                    raise ValueError(f"the config lacks {path}.")
                return default
            found = found[name]
        if check is None:
            return found
        try:
            answer = check(found)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{path} = {found!r} in the config is no good: {error}") from error
        if isinstance(check, type):
            return answer
        if answer is False:
            raise ValueError(f"{path} = {found!r} in the config is no good.")
        return found if answer is True or answer is None else answer
