"""The integrator. One class, which runs inside the daemon or as a process of its own."""

import logging
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock

from acmecorp.dt.events import BomBuiltSet, NewDocumentSet
from smapd.twin import (
    AssetUnknown,
    Integrator,
    IntegratorCallbacks,
    ShutdownRequested,
    T2ProviderFailureReason,
    T2ResponseFailure,
    ThingRunner,
    log_exceptions,
)

log = logging.getLogger(__name__)

CHUNK = 1024 * 1024


class IntegratorExample(IntegratorCallbacks, ThingRunner):
    """Publishes each asset's bill of materials, and tells of the documents in a folder."""

    def __init__(self, config=None, **more):
        super().__init__(config=config, **more)
        own = config["integrator"]
        self.__loop_time = float(own.get("loop_time", 60))
        self.__documents = Path(own.get("documents", "documents"))
        self.__lock = Lock()
        self.__assets = set()
        self.__told = set()
        self.__integrator = Integrator(own, self.client, self)
        # Pool of workers for type 2 requests: they must not hold up the callbacks
        self.__req_pool = ThreadPoolExecutor(max_workers=int(own.get("max_workers", 1)))

    # --- the life of a ThingRunner

    def on_startup(self):
        self.__integrator.start()

    def main(self):
        while True:
            self.__process()
            if self.wait_for_shutdown(self.__loop_time):
                break

    def on_shutdown(self, exc_info):
        log.debug("Shutdown")
        self.__integrator.stop()
        self.__req_pool.shutdown()

    # --- IntegratorCallbacks

    def on_asset_created(self, asset_id):
        with self.__lock:
            self.__assets.add(asset_id)
        self.__integrator.publish_event(
            BomBuiltSet(asset_id, time=datetime.now(UTC), data=_bom_as_built_for(asset_id))
        )

    def on_asset_deleted(self, asset_id):
        with self.__lock:
            self.__assets.discard(asset_id)

    def on_t2_request(self, request):
        self.__req_pool.submit(self.__process_t2, request)

    # --- inside

    def __process(self):
        """Tell of each document once, for each asset."""
        with self.__lock:
            assets = sorted(self.__assets)
        for file in sorted(self.__documents.glob("*.pdf")):
            for asset in assets:
                if (asset, file.name) in self.__told:
                    continue
                size = file.stat().st_size
                event = NewDocumentSet(asset, data={"name": file.name, "size": size})
                try:
                    self.__integrator.publish_event(event, retry=True)
                except AssetUnknown:
                    continue  # deleted a moment ago
                except ShutdownRequested:
                    return
                self.__told.add((asset, file.name))

    # what a pool's thread raises would be lost without this
    @log_exceptions(log)
    def __process_t2(self, request):
        log.info("New T2 req for %s - %s(%r)", request.asset_id, request.type_, request.data)
        if request.type_ != "AcmecorpExampleReq":
            self.__integrator.t2_respond_error(request, T2ProviderFailureReason.REQ_UNHANDLED)
            return
        self.__t2_do_example_req(request)

    def __t2_do_example_req(self, request):
        # the name alone: nobody asks for a file outside of the folder
        file = self.__documents / Path(request.data.decode("utf8", "replace")).name
        try:
            with (
                file.open("rb") as infile,
                self.__integrator.t2_respond_streamed(request, "application/pdf") as write,
            ):
                # write is False once it is given zero bytes: here that is the end of the file
                while write(infile.read(CHUNK)):
                    pass
        except OSError:
            log.warning("No document %s", file)
            self.__integrator.t2_respond_error(request, T2ProviderFailureReason.RESOURCE_UNKNOWN)
        except T2ResponseFailure as error:
            log.warning("The requester of %s is gone: %s", file, error)


def _bom_as_built_for(asset_id):
    """As a system of the factory would know it."""
    return [
        {"number": f"{asset_id}-frame", "quantity": 1, "batch": "A7"},
        {"number": f"{asset_id}-bolt", "quantity": 24, "batch": None},
    ]
