"""What is past its bounds goes: actions, deploys, versions, and the files of none of them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from .blobs import Blobs
from .options import Limits
from .store import Store

MOST_DEPLOYS: Final = 1_000
BLOB_GRACE_MS: Final = 86_400_000
"""A file that no version names may be of one that is about to come."""


def tidied(
    store: Store, blobs: Blobs, limits: Limits, now_ms: int, kept: Collection[int], deploy: int
) -> set[int]:
    """Keep within the limits; on the disk's thread. The deploys that are left.

    ``kept``: versions, and ``deploy`` a deploy, that stay whatever the limits say.
    """
    store.drop_actions(now_ms - round(limits.retention_s * 1000), limits.action_bytes)
    store.drop_deploys(MOST_DEPLOYS, deploy)
    headers = {header["version"]: header for header in store.versions()}
    for n in sorted(headers)[: -limits.versions]:
        if n not in kept:
            store.drop_version(n)
            del headers[n]
    named = {
        name
        for header in headers.values()
        for name in [*header["files"].values(), *(one["wheel"] for one in header["code"])]
    }
    blobs.sweep(named, (now_ms - BLOB_GRACE_MS) / 1000)
    return set(store.deploys())
