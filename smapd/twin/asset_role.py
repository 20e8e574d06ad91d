"""What integrator and follower have in common: they start, are told of assets, and stop."""

from __future__ import annotations

from smapd.errors import SmapError
from smapd.values import Json

from .callbacks import FollowerCallbacks, IntegratorCallbacks, call
from .client import CLOSE_S, Client, Role
from .told import CREATED, Told


class AssetRole(Role):
    """One role of a thing; started once, or again after a stop."""

    def __init__(self, client: Client, callbacks: IntegratorCallbacks | FollowerCallbacks) -> None:
        self._client = client
        self._asset_callbacks = callbacks
        self._told = Told()
        self._state = "new"

    def _begin(self) -> None:
        """Start it; raises as ``Client.start_role`` does, and then it is not started."""
        self._told = Told()
        self._state = "started"
        try:
            self._client.start_role(self)
        except (SmapError, ValueError):
            self._state = "new"
            raise

    def stop(self, timeout: float | None = None) -> bool:
        """End: no callback comes any more.

        What a follower acknowledged stays so; requests that an integrator answers fail. Waits for
        a callback that is under way, at most ``timeout`` (1 s); whether it ended. Nothing happens
        if it is not started.
        """
        if self._state != "started":
            return True
        self._state = "stopped"
        self._let_go()
        return self._client.stop_role(self, CLOSE_S if timeout is None else timeout)

    def _let_go(self) -> None:
        """It is stopped: end what it has open."""

    def _asset(self, head: dict[str, Json]) -> None:
        """An asset came or went; on the call thread."""
        asset, seq, callbacks = head["asset"], head["seq"], self._asset_callbacks
        try:
            for kind in self._told.record(head["kind"], asset, seq):
                if kind == CREATED:
                    call("on_asset_created", callbacks.on_asset_created, asset)
                else:
                    self._forget(asset)
                    call("on_asset_deleted", callbacks.on_asset_deleted, asset)
        finally:
            self._client.tell({"op": "asset_done", "role": self.kind, "seq": seq})

    def _forget(self, asset: str) -> None:
        """The asset is gone, and the program is told next."""
