"""The integrator guide's program. See README.md for what was added and mended."""

import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from guide_events import BomBuiltSet

from smapd.twin import (
    Integrator,
    IntegratorCallbacks,
    T2ProviderFailureReason,
    ThingRunner,
    log_exceptions,
)

log = logging.getLogger(__name__)


def _get_bom_as_built_for(asset_id):  # added
    return {"Ts": 1_700_000_000, "Materials": [{"Matnr": "4711"}]}


class IntegratorExample(IntegratorCallbacks, ThingRunner):
    def __init__(self, config):
        super().__init__(config=config)  # added
        self.__integrator = Integrator(config["integrator"], self.client, self)
        # Pool of workers to execture type2 requests
        self.__req_pool = ThreadPoolExecutor(max_workers=1)
        self.loop_time = float(config["config"]["loop_time"])  # added
        self.files = Path(config["config"]["files"])  # added
        self.processed = []  # added
        self.ends = []  # added

    def on_startup(self):
        self.__integrator.start()

    def main(self):
        while True:
            self.__process()  # do whatever you need, then wait for your schedule interval
            if self.wait_for_shutdown(self.loop_time):
                break

    def __process(self):  # added
        self.processed.append(1)

    def on_shutdown(self, exc_info):
        log.debug("Shutdown")
        self.__integrator.stop()
        self.__req_pool.shutdown()  # added
        self.ends.append(exc_info)  # added

    def publish_bom(self, asset_id):
        data = _get_bom_as_built_for(asset_id)
        self.__integrator.publish_event(
            BomBuiltSet(asset_id, time=data["Ts"], data=data["Materials"])
        )

    def on_asset_created(self, asset_id):
        self.publish_bom(asset_id)

    def on_asset_deleted(self, asset_id):
        pass

    # callback itself
    def on_t2_request(self, request):
        self.__req_pool.submit(self.__process_t2, request)

    # Wrap since run via thread pool without handling return/exception
    @log_exceptions(log)
    def __process_t2(self, request):
        log.info("New T2 req for %s - %s(%r)", request.asset_id, request.type_, request.data)

        if request.type_ != "AcmecorpExampleReq":
            log.warning("Ignoring unknown request type %s", request.type_)
            return
        self.__t2_do_example_req(request)

    def __t2_do_example_req(self, request):
        filename = self.files / request.data.decode("utf8")  # added
        mime = "application/pdf"  # added
        try:
            with open(filename, "rb") as infile:
                with self.__integrator.t2_respond_streamed(request, mime) as write:
                    # write method will return False once zero bytes received. If this is
                    # not an indicator of EOF a different approach should be used.
                    while write(infile.read(1024 * 1024)):
                        pass
        except FileNotFoundError:  # added: the guide's text leaves it open
            self.__integrator.t2_respond_error(request, T2ProviderFailureReason.RESOURCE_UNKNOWN)
