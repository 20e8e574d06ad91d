"""Paths in the tree: ``/name/name``, in one normal form.

Two strengths: `squash` serves look-ups and refuses nothing (what is no path is simply not found),
`normalise` serves whatever makes a node.
"""

from __future__ import annotations

import re
from typing import Any

from smapd.errors import BadPath

MAX_NAME_BYTES = 255
MAX_PATH_BYTES = 4096
ROOT = "/"

# C0, DEL and C1 controls would spoil logs and terminals; a lone surrogate has no UTF-8 form.
_UNFIT = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def squash(path: str) -> str:
    """The look-up form: one leading slash, none doubled, none at the end. Refuses nothing."""
    if path[:1] == "/" and "//" not in path and (path[-1] != "/" or path == "/"):
        return path
    return "/" + "/".join([name for name in path.split("/") if name])


def normalise(given: Any) -> str:
    """The normal form of a path for a node to be made.

    Doubled and trailing slashes go, a missing leading one comes.

    :raises BadPath: for a name that is ``.`` or ``..``, begins with ``+``, holds a control
        character, or is too long; and for a path that is too long.
    """
    if not isinstance(given, str):
        raise BadPath(f"A path is text like /hall/meter, not {type(given).__name__}.")
    path: str = squash(str(given))
    if found := _UNFIT.search(path):
        raise BadPath(
            f"{shown(path)}: a path has no control characters; "
            f"found U+{ord(found[0]):04X} at place {found.start()}."
        )
    # No name is longer than its path, so short ASCII paths need no look at each name's bytes.
    if len(path) > 60 and len(path.encode()) > MAX_PATH_BYTES:
        raise BadPath(f"{shown(path)}: a path has at most {MAX_PATH_BYTES} bytes.")
    for name in path[1:].split("/"):
        if name in (".", ".."):
            raise BadPath(f"{shown(path)}: {name} is no name of a node.")
        if name[:1] == "+":
            raise BadPath(f"{shown(path)}: no name begins with '+', which asks for all below.")
        if len(name) > 60 and len(name.encode()) > MAX_NAME_BYTES:
            raise BadPath(f"{shown(path)}: a name has at most {MAX_NAME_BYTES} bytes.")
    return path


def join(base: str, below: str) -> str:
    """The path ``below`` as seen from ``base``, both normal; ``/`` below is the base itself."""
    if base == ROOT:
        return below
    return base if below == ROOT else base + below


def parent_of(path: str) -> str:
    """The path of the parent; the root is its own."""
    return path[: path.rfind("/")] or ROOT


def name_of(path: str) -> str:
    """The last name; "" for the root."""
    return path[path.rfind("/") + 1 :]


def shown(path: str) -> str:
    """A path as a message may show it: printable, and at most 100 characters."""
    text = path if path.isprintable() else ascii(path)[1:-1]
    return text if len(text) <= 100 else text[:97] + "..."
