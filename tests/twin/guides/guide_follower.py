"""The follower guide's program. See README.md for what was added and mended."""

import logging
from pprint import pformat

from smapd.twin import (
    AssetUnknown,
    Follower,
    FollowerCallbacks,
    NamedEventMixin,
    T2ReqFailureReason,
    T2ResponseException,
    T2Timeout,
    T2Unavailable,
    ThingRunner,
)

log = logging.getLogger(__name__)


class FollowerExample(NamedEventMixin, FollowerCallbacks, ThingRunner):
    def __init__(self, config):
        super().__init__(config=config)  # added
        self.__follower = Follower(config["follower"], self.client, self)
        self.loop_time = 0.05  # added
        self.assets, self.seen, self.internal, self.chunks = [], [], [], []  # added
        self.was_ok = 0  # added

    def on_startup(self):
        self.__follower.start()

    def main(self):
        while not self.wait_for_shutdown(self.loop_time):
            pass

    def on_shutdown(self, exc_info):
        log.debug("Shutdown")
        self.__follower.stop()

    def on_asset_created(self, asset_id):
        self.assets.append(asset_id)

    def on_asset_deleted(self, asset_id):
        self.assets.remove(asset_id)

    def on_event_internal(self, event):
        self.internal.append(repr(event))

    def do_bombuiltset(self, event):
        self.seen.append((event.name(), event.asset, event.offset, event.data))
        self.__follower.ack_event(event)

    def do_newdocset(self, event):
        # handle the event
        self.__handle_newdocset(event)
        # acknowledge that you've handled it.
        self.__follower.ack_event(event)

    def __handle_newdocset(self, event):  # added
        self.seen.append((event.name(), event.asset, event.offset, event.data))

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
        self.seen.append((event.name(), event.asset, event.offset, event.data))  # added
        # Indicate that event has been processed. If asset has been deleted in the mean time,
        # this will be a no-op.
        self.__follower.ack_event(event)

    def ask(self, asset, what="AcmecorpExampleReq", name="small.pdf", timeout=10):
        try:
            for mime, chunk in self.__follower.t2_request(
                asset, what, data=name.encode("utf8"), timeout=timeout
            ):
                self.__handle_chunk(mime, chunk)
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
        except:  # noqa: E722 - as it is printed
            log.exception("Other T2 failure")
        else:
            # it was ok
            self.__whatever()

    def __handle_chunk(self, mime, chunk):  # added
        self.chunks.append((mime, chunk))

    def __whatever(self):  # added
        self.was_ok += 1
