"""The follower. One class, which runs inside the daemon or as a process of its own."""

import logging
from pprint import pformat
from threading import Lock

from smapd.twin import (
    AssetUnknown,
    Follower,
    FollowerCallbacks,
    NamedEventMixin,
    NotConnected,
    ShutdownRequested,
    T2ReqFailureReason,
    T2ResponseException,
    T2Timeout,
    T2Unavailable,
    ThingRunner,
)

log = logging.getLogger(__name__)


class FollowerExample(NamedEventMixin, FollowerCallbacks, ThingRunner):
    """Logs what was built, and fetches one document of each asset again and again."""

    def __init__(self, config=None, **more):
        super().__init__(config=config, **more)
        own = config["follower"]
        self.__loop_time = float(own.get("loop_time", 60))
        self.__document = str(own.get("document", "small.pdf"))
        self.__lock = Lock()
        self.__assets = set()
        self.__follower = Follower(own, self.client, self)

    # --- the life of a ThingRunner

    def on_startup(self):
        self.__follower.start()

    def main(self):
        while not self.wait_for_shutdown(self.__loop_time):
            with self.__lock:
                assets = sorted(self.__assets)
            for asset in assets:
                self.__fetch(asset)

    def on_shutdown(self, exc_info):
        log.debug("Shutdown")
        self.__follower.stop()

    # --- FollowerCallbacks

    def on_asset_created(self, asset_id):
        with self.__lock:
            self.__assets.add(asset_id)

    def on_asset_deleted(self, asset_id):
        with self.__lock:
            self.__assets.discard(asset_id)

    def on_event_internal(self, event):
        log.debug("%r", event)

    # --- NamedEventMixin

    def do_bombuiltset(self, event):
        log.info("%s is built of %d parts (#%d)", event.asset, len(event.data), event.offset)
        self.__follower.ack_event(event)

    def on_event_unmatched(self, event):
        log.info(
            "[%s] #%d %s (from %s) @ %s (sys: %s)\n%s",
            event.asset,
            event.offset,
            event.name(),
            event.source,
            event.time,
            event.systime,
            pformat(event.data),
        )
        # It is dealt with. If the asset was deleted in the meantime, this does nothing.
        self.__follower.ack_event(event)

    # --- inside

    def __fetch(self, asset):
        size = 0
        try:
            for _mime, chunk in self.__follower.t2_request(
                asset, "AcmecorpExampleReq", data=self.__document.encode("utf8"), timeout=10
            ):
                size += len(chunk)
        except AssetUnknown:
            log.warning("T2 - Asset %s no longer known, ignoring", asset)
        except T2ResponseException as ex:
            if ex.reason == T2ReqFailureReason.REQ_UNHANDLED:
                log.error("T2 request not handled by provider")
            elif ex.reason == T2ReqFailureReason.RESOURCE_UNKNOWN:
                log.error("Data not available for given request and asset")
            else:
                log.error("T2 failed - reason: %s", ex.reason)
        except T2Unavailable:
            log.critical("T2 functionality not enabled in follower")
        except T2Timeout:
            log.error("T2 request timed out")
        except (NotConnected, ShutdownRequested) as ex:
            log.warning("T2 - %s", ex)
        else:
            log.info("%s of %s has %d bytes", self.__document, asset, size)
