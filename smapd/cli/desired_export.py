"""``smapd desired export MODEL.py``: from entities to a numbered version.

The model is a Python file. It is run, with its folder first on the way of imports; then its
function ``model()``, or else its variable ``entities``, gives the entities. What it imports
registers the resources and handlers.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import runpy
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from smapd.errors import BadModel, SmapError

from . import peer
from .bar import counted
from .exits import OK
from .output import say
from .peer import Answered, Peer


def arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``desired export``."""
    parser.add_argument("model", metavar="MODEL.py", help="Python file that gives the entities")
    parser.add_argument("--note", default="", help="why, for the history")
    parser.add_argument(
        "--print", action="store_true", help="print the version, and send it nowhere"
    )
    parser.add_argument(
        "--code",
        action="append",
        default=[],
        metavar="WHEEL",
        help="a wheel with handlers, for agents that accept code; needs the token",
    )
    parser.add_argument(
        "--module",
        action="append",
        default=[],
        metavar="NAME",
        help="a module in the wheel before that brings the handlers",
    )


def run(args: argparse.Namespace) -> int:
    """Make the version.

    :raises BadModel: with a sentence for each thing that is wrong in the model.
    :raises SmapError: if the file cannot be run, or with the daemon's sentence.
    """
    export = export_of(Path(args.model))
    body = {**export.as_json(), "note": args.note}
    wheels = {name: _read(Path(name)) for name in args.code}
    if wheels and not args.module:
        raise SmapError("--code: name the modules that bring handlers, with --module.")
    if args.module and not wheels:
        raise SmapError("--module: name the wheel that it is in, with --code.")
    if wheels:
        body["code"] = [
            {"wheel": hashlib.sha256(data).hexdigest(), "modules": args.module}
            for data in wheels.values()
        ]
    for text in (*export.warnings, *export.ignored):
        say(text)
    if args.print:
        print(json.dumps(body, indent=2, sort_keys=True))
        return OK
    daemon = peer.find(args)
    blobs = {**export.blobs, **{hashlib.sha256(data).hexdigest(): data for data in wheels.values()}}
    called = {sha256: f"the file {name}" for name, sha256 in export.files.items()}
    called |= {hashlib.sha256(data).hexdigest(): name for name, data in wheels.items()}
    n = send(daemon, body, blobs, called)
    if args.json:
        print(json.dumps({"version": n, "resources": len(body["resources"])}))
    else:
        resources = counted(len(body["resources"]), "resource")
        print(f"version {n}: {resources}, {counted(len(blobs), 'file')}")
    return OK


def send(
    daemon: Peer, body: Any, blobs: dict[str, bytes], called: Mapping[str, str] | None = None
) -> int:
    """Bring the files there, then the version; its number. ``called``: what each file is."""
    for sha256, data in blobs.items():
        try:
            daemon.send("PUT", f"/desired/blobs/{sha256}", data)
        except Answered as error:
            name = (called or {}).get(sha256, sha256)
            raise SmapError(f"{name} is not taken: {error.message}", hint=error.hint) from error
    return int(daemon.post("/desired/versions", body)["version"])


def export_of(model: Path) -> Any:
    """What comes of the model.

    :raises BadModel: if it, or the file, is wrong.
    :raises SmapError: if the file cannot be read.
    """
    from smapd.desired import Exporter

    if not model.is_file():
        raise SmapError(f"{model}: there is no such file.")
    sys.path.insert(0, str(model.parent.absolute()))
    try:
        entities = _entities(model)
    except (SmapError, KeyboardInterrupt):
        raise
    except BaseException as error:  # SystemExit too: the model is not to end the program
        raise _blamed(model, error) from error
    if entities is None:
        raise BadModel(
            f"{model} gives no entities.",
            hint="Write a function model() that returns them, or a variable entities.",
        )
    return Exporter().run(entities)


def _entities(model: Path) -> list[object] | None:
    """What the model gives, None if that is nothing to go through."""
    found = runpy.run_path(str(model), run_name="smapd_model")
    make = found.get("model")
    entities = make() if callable(make) else found.get("entities")
    if entities is None or isinstance(entities, str | bytes) or not hasattr(entities, "__iter__"):
        return None
    return list(entities)


def _blamed(model: Path, error: BaseException) -> BadModel:
    """What to raise for what the model raised; its own lines of the traceback are told."""
    if isinstance(error, SystemExit):
        return BadModel(f"{model} ended the program, with {error.code!r}; it is to give entities.")
    if isinstance(error, SyntaxError):
        return BadModel(f"{error.filename}, line {error.lineno}: {error.msg}.")
    frames = list(traceback.extract_tb(error.__traceback__))
    first = next((i for i, one in enumerate(frames) if one.filename == str(model)), None)
    if first is None:
        return BadModel(f"{model}: {type(error).__name__}: {error}.")
    for text in traceback.format_list(frames[first:]):
        say(text.rstrip("\n"))
    line = [one.lineno for one in frames if one.filename == str(model)][-1]
    return BadModel(f"{model}, line {line}: {type(error).__name__}: {error}.")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as e:
        raise SmapError(f"{path}: {e.strerror or e}.") from e
