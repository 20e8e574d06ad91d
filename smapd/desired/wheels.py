"""Code that a version brings along: pure Python wheels, imported from where they lie.

A newer wheel's modules take the place of those of the same package that were imported before;
handlers that run go on with the code they began with. Only the agent's ``AcceptCode`` lets any of
this happen.
"""

from __future__ import annotations

import importlib
import io
import sys
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from smapd.errors import BadRequest
from smapd.values import Json

from . import registry as classes
from .registry import FrozenRegistry

_FOLDER: Final = "smapd-wheels-"
_COMPILED: Final = (".so", ".pyd", ".dll", ".dylib")


def load_wheels(
    code: Sequence[Mapping[str, Json]],
    read_blob: Callable[[str], bytes],
    folder: Callable[[], Path] | None = None,
) -> FrozenRegistry:
    """Import the modules of these wheels; what is registered then. Blocks; on an agent's thread.

    ``code``: ``[{"wheel": sha256, "modules": [name, …]}]``. ``folder``: where the wheels are put;
    a temporary directory that lives as long as the process if None.

    :raises BadRequest: if a wheel is none, holds compiled code, or the name of a standard module.
    :raises ImportError: and whatever else the modules raise.
    """
    place = folder() if folder is not None else _temporary()
    for one in code:
        _take_in(place, str(one["wheel"]), read_blob(str(one["wheel"])))
        importlib.invalidate_caches()
        for name in one["modules"]:
            importlib.import_module(name)
    return classes.frozen()


def _take_in(place: Path, sha256: str, data: bytes) -> None:
    """The wheel stands first on the way of imports, and nothing of its packages is imported."""
    tops = _packages(sha256, data)
    path = place / f"{sha256}.whl"
    path.write_bytes(data)
    for other in [p for p in sys.path if Path(p).parent == place and p != str(path)]:
        if set(_packages(other, Path(other).read_bytes())) & set(tops):
            sys.path.remove(other)
    for name in [n for n in sys.modules if n.partition(".")[0] in tops]:
        del sys.modules[name]
    if str(path) not in sys.path:
        sys.path.insert(0, str(path))


def _packages(name: str, data: bytes) -> list[str]:
    """The top-level names of a wheel.

    :raises BadRequest: if it cannot be used.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as wheel:
            files = wheel.namelist()
    except zipfile.BadZipFile:
        raise BadRequest(f"The wheel {name} is not one: it is no zip file.") from None
    compiled = [file for file in files if file.endswith(_COMPILED)]
    if compiled:
        raise BadRequest(f"The wheel {name} holds compiled code: {compiled[0]}.")
    tops = {
        file.partition("/")[0].removesuffix(".py")
        for file in files
        if file.endswith(".py") and ".dist-info/" not in file
    }
    barred = sorted(top for top in tops if top == "smapd" or top in sys.stdlib_module_names)
    if barred:
        raise BadRequest(f"The wheel {name} holds the package {barred[0]}, which is not its own.")
    return sorted(tops)


def _temporary() -> Path:
    import atexit
    import shutil
    import tempfile

    for known in sys.path:
        if Path(known).parent.name.startswith(_FOLDER):
            return Path(known).parent
    place = Path(tempfile.mkdtemp(prefix=_FOLDER))
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    return place
