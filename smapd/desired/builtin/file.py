"""``std::File``: a file on the agent's machine, with its content, owner, group and permissions.

Its fields, any of which may be None for "as it is":

- ``path``: absolute. Its directory must be there.
- ``hash``: the name under which the content was uploaded: any text, a sha256 or md5 of the bytes
  for choice. What counts are the bytes behind the name.
- ``owner``, ``group``: names, or numbers as text.
- ``permissions``: a number whose decimal digits are the octal ones: 644 is rw-r--r--.
- ``purged``: it is to be away. ``reload``: told to whoever looks; this handler does nothing by it.

Symbolic links, directories and devices are never touched: the resource fails. Changes of content
are atomic.
"""

from __future__ import annotations

import hashlib
import os.path
import re
from collections.abc import Mapping
from typing import Any, Final

from smapd.values import Json

from ..context import HandlerContext
from ..handler import CRUDHandler, ResourcePurged, provider
from . import disk
from .kinds import is_mode
from .notdone import NotDone

_ALGORITHMS: Final = {32: "md5", 40: "sha1", 64: "sha256"}
_DIGEST: Final = re.compile(r"[0-9a-f]+")
_MODE_OF_NEW: Final = 0o644


@provider("std::File", name="posix_file")
class FileHandler(CRUDHandler):
    """Files of the machine that the agent runs on, with the rights of its process."""

    def pre(self, ctx: HandlerContext, resource: Any) -> None:
        """:raises NotDone: if a field cannot be."""
        path = resource.path
        if not isinstance(path, str) or not path.startswith("/") or "\0" in path:
            raise NotDone(f"path = {path!r} is not absolute: write one that begins with /.")
        if os.path.normpath(path) != path or path == "/":
            raise NotDone(
                f"path = {path} is no plain path of a file: write it without //, . and .."
            )
        _mode_of(resource.permissions)

    def read_resource(self, ctx: HandlerContext, resource: Any) -> None:
        """What is there. A field that is as desired keeps the words in which it is desired."""
        found = disk.look(resource.path)
        if found is None:
            raise ResourcePurged
        if resource.owner is not None and str(resource.owner) != str(found.uid):
            resource.owner = disk.user_name(found.uid)
        if resource.group is not None and str(resource.group) != str(found.gid):
            resource.group = disk.group_name(found.gid)
        if resource.permissions is not None and _mode_of(resource.permissions) != found.mode:
            resource.permissions = int(f"{found.mode:o}")
        if resource.hash is not None:
            resource.hash = self._hash_of(ctx, resource.path, str(resource.hash))

    def create_resource(self, ctx: HandlerContext, resource: Any) -> None:
        """:raises NotDone: if it has no content, or cannot be made."""
        if resource.hash is None:
            raise NotDone(f"{resource.path} is not there, and the model gives it no content.")
        content = self._content(ctx, str(resource.hash))
        mode = _mode_of(resource.permissions)
        uid, gid = _owners(resource)
        disk.write(resource.path, content, _MODE_OF_NEW if mode is None else mode, uid, gid)
        ctx.info("%(path)s is made, of %(size)d bytes", path=resource.path, size=len(content))
        ctx.set_created()

    def update_resource(
        self, ctx: HandlerContext, changes: dict[str, dict[str, Any]], resource: Any
    ) -> None:
        """:raises NotDone: if it cannot be changed."""
        mode = _mode_of(resource.permissions)
        uid, gid = _owners(resource)
        if "hash" in changes:
            content = self._content(ctx, str(resource.hash))
            found = disk.look(resource.path)
            if found is not None:
                mode = found.mode if mode is None else mode
                uid = found.uid if uid == -1 else uid
                gid = found.gid if gid == -1 else gid
            disk.write(resource.path, content, _MODE_OF_NEW if mode is None else mode, uid, gid)
            size = len(content)
            ctx.info("%(path)s is written anew, %(size)d bytes", path=resource.path, size=size)
        else:
            disk.mend(resource.path, mode, uid, gid)
            named = ", ".join(sorted(changes))
            ctx.info("%(fields)s of %(path)s set", fields=named, path=resource.path)
        ctx.set_updated()

    def delete_resource(self, ctx: HandlerContext, resource: Any) -> None:
        """:raises NotDone: if it cannot be removed."""
        disk.remove(resource.path)
        ctx.info("%(path)s is removed", path=resource.path)
        ctx.set_purged()

    def facts(self, ctx: HandlerContext, resource: Any) -> Mapping[str, Json]:
        """Its size and when it was written; nothing while it is not there."""
        found = disk.look(resource.path)
        return {} if found is None else {"size": found.size, "modified_ms": found.modified_ms}

    # --- inside

    def _hash_of(self, ctx: HandlerContext, path: str, wanted: str) -> str:
        """What stands for the bytes that are there: ``wanted`` itself if they are those."""
        digits = _DIGEST.fullmatch(wanted) is not None
        own = _ALGORITHMS.get(len(wanted), "sha256") if digits else "sha256"
        sha256, shown = disk.digests(path, "sha256", own)
        content = self.get_file(wanted)
        if content is None:  # only its name can say
            return shown
        ctx.set("content", content)
        if hashlib.sha256(content).hexdigest() == sha256:
            return wanted
        return shown if shown != wanted else f"sha256 {sha256}"

    def _content(self, ctx: HandlerContext, name: str) -> bytes:
        content: bytes | None = ctx.get("content") if ctx.contains("content") else None
        if content is None:
            content = self.get_file(name)
        if content is None:
            raise NotDone(f"The content {name} was not uploaded with this version.")
        return content


def _owners(resource: Any) -> tuple[int, int]:
    """Numbers of owner and group, -1 for as it is."""
    owner, group = resource.owner, resource.group
    return (
        -1 if owner is None else disk.user_id(str(owner)),
        -1 if group is None else disk.group_id(str(group)),
    )


def _mode_of(permissions: Any) -> int | None:
    """The bits.

    :raises NotDone: if it is no number made of octal digits.
    """
    if permissions is None:
        return None
    digits = str(permissions)
    if isinstance(permissions, bool) or not is_mode(digits):
        raise NotDone(f"permissions = {permissions!r} is none: write the octal digits, like 644.")
    return int(digits, 8)
