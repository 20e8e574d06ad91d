"""What an exception says, fit for one line of a log, for ``/status`` and for the tree.

The texts of drivers' exceptions are anybody's: a whole answer of a device, lines, a terminal's
control characters, and a ``__str__`` that itself raises. (None is what the type of
``Failure.value`` allows; it does not come.)
"""

from __future__ import annotations

from twisted.python.failure import Failure

from smapd.errors import SmapError

from .guard import attempt

MOST_CHARACTERS = 1_000
"""Of one error, with its class."""

_MOST_HINT = 300


def one_line(text: str, most: int = MOST_CHARACTERS) -> str:
    """At most so many characters of it, on one line, and harmless to a terminal; any thread."""
    plain = " ".join(text[: 8 * most].split())
    is_whole = len(text) <= 8 * most and len(plain) <= most
    plain = plain[:most]
    if not plain.isprintable():
        plain = "".join(
            c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in plain
        )
    return plain if is_whole and len(plain) <= most else plain[: most - 1] + "…"


def text_of(problem: BaseException | None, most: int = MOST_CHARACTERS) -> str:
    """What it says, without its class; "" if it says nothing. Never raises; any thread."""
    text = attempt(str, problem)
    if isinstance(text, Failure):
        return f"(its text cannot be made: its __str__ raised {type(text.value).__name__})"
    return one_line(text, most)


def named(problem: BaseException | None, most: int = MOST_CHARACTERS) -> str:
    """Class and text, like ``ValueError: not a number``. Never raises; any thread."""
    name = type(problem).__name__
    text = text_of(problem, most)
    return one_line(f"{name}: {text}" if text else name, most)


def sentence_of(problem: BaseException | None, most: int = MOST_CHARACTERS) -> tuple[str, str]:
    """What to tell of it, and what to do, "" if that is not known. Never raises; any thread.

    Ours say both by themselves; of any other the class is told.
    """
    if not isinstance(problem, SmapError):
        return named(problem, most), ""
    hint = attempt(str, problem.hint)
    text = text_of(problem, most)
    return text or type(problem).__name__, "" if isinstance(hint, Failure) else one_line(
        hint, _MOST_HINT
    )
