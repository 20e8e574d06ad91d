"""drivers/caiso: a folder of testcases/ is a config, what OASIS answers, and what comes of it."""

from __future__ import annotations

import io
import pathlib
import re
import tempfile
import zipfile
from typing import Any
from urllib.parse import parse_qs, urlsplit

from twisted.logger import formatEvent, globalLogPublisher

from smapd.config import find_driver
from smapd.driver import DeviceUnavailable
from smapd.driver.transfer import Body
from smapd.drivers.caiso import CaIsoDriver
from smapd.drivers.caiso.reports import REPORTS
from smapd.testing import START_MS, DriverCase
from tests.drivers.cases import FolderCases, cases

HERE = pathlib.Path(__file__).parent
_HEAD = re.compile(r"^=== (zip|text|unreachable) ?(.*)\n", re.MULTILINE)


class Oasis:
    """Answers what a device.txt holds, one part a request.

    ``=== zip NAME`` stands before the text of the one file in a zip, ``=== text`` before a body as
    it is, ``=== unreachable WHY`` for no answer.
    """

    def __init__(self, text: str) -> None:
        heads = list(_HEAD.finditer(text))
        ends = [head.start() for head in heads[1:]] + [len(text)]
        self.answers = [
            (head[1], head[2], text[head.end() : end])
            for head, end in zip(heads, ends, strict=True)
        ]
        self.asked: list[str] = []

    @property
    def left(self) -> int:
        return len(self.answers) - len(self.asked)

    def get(self, address: str, known: Any) -> Body:
        kind, word, text = self.answers[min(len(self.asked), len(self.answers) - 1)]
        self.asked.append(address)
        if kind == "unreachable":
            raise DeviceUnavailable(word)
        return Body(zipped({word: text}) if kind == "zip" else text.encode())


def zipped(files: dict[str, str]) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return data.getvalue()


def against(oasis: Oasis) -> type[CaIsoDriver]:
    class Recorded(CaIsoDriver):
        def open(self, opts: Any) -> Any:
            return oasis

        def now(self) -> int:
            return START_MS // 1000

    return Recorded


@cases(HERE / "testcases")
class Answers(FolderCases):
    """SM-19: CaIsoDriver on recorded answers."""

    def connect(self, cls: type[Any], device: str) -> tuple[type[Any], Oasis]:
        assert cls is CaIsoDriver
        oasis = Oasis(device)
        return against(oasis), oasis


LOAD = (
    "INTERVALSTARTTIME_GMT,INTERVALENDTIME_GMT,TAC_AREA_NAME,XML_DATA_ITEM,MW\n"
    "2023-11-14T20:00:00-00:00,2023-11-14T21:00:00-00:00,CA ISO-TAC,SYS_FCST_ACT_MW,24001\n"
)


class Driver(DriverCase):
    """What no single answer shows."""

    def setUp(self) -> None:
        super().setUp()
        self.lines: list[str] = []
        observer = lambda event: self.lines.append(formatEvent(event))  # noqa: E731
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)

    def test_it_is_found_by_its_old_name(self) -> None:
        """SM-19: smap.drivers.caiso.CaIsoDriver, as the tutorial has it."""
        self.assertIs(find_driver("smap.drivers.caiso.CaIsoDriver"), CaIsoDriver)

    def test_each_report_is_asked_for_in_its_turn_and_no_two_within_five_seconds(self) -> None:
        oasis = Oasis(f"=== zip load.csv\n{LOAD}")
        times: list[float] = []
        ask = oasis.get

        def get(address: str, known: Any) -> Body:
            times.append(self.runtime.clock.seconds())
            return ask(address, known)

        oasis.get = get  # type: ignore[method-assign]
        names = [report.name for report in REPORTS]

        self.load(against(oasis), Reports=names, Rate="1m")
        self.advance(120)

        asked = [parse_qs(urlsplit(a).query)["queryname"][0] for a in oasis.asked]
        self.assertEqual(
            asked[:6],
            ["SLD_FCST", "SLD_FCST", "ENE_SLRS", "SLD_REN_FCST", "PRC_INTVL_LMP", asked[0]],
        )
        pauses = [b - a for a, b in zip(times, times[1:], strict=False)]
        self.assertEqual(pauses[:4], [6.0] * 4)
        self.assertEqual(pauses[4:], [12.0] * len(pauses[4:]))

    def test_the_question_is_a_window_up_to_now_in_gmt(self) -> None:
        oasis = Oasis(f"=== zip load.csv\n{LOAD}")

        self.load(against(oasis), Reports="load")

        self.assertEqual(
            oasis.asked[0],
            "https://oasis.caiso.com/oasisapi/SingleZip?queryname=SLD_FCST&version=1"
            "&market_run_id=ACTUAL&resultformat=6&startdatetime=20231114T16%3A13-0000"
            "&enddatetime=20231114T22%3A13-0000",
        )

    def test_a_folder_of_recorded_answers_serves(self) -> None:
        """SM-19: what run-driver is given without a network, Uri=file:///folder."""
        home = tempfile.TemporaryDirectory()
        self.addCleanup(home.cleanup)
        folder = pathlib.Path(home.name) / "it"
        folder.mkdir(parents=True)
        (folder / "load.zip").write_bytes(zipped({"x.csv": LOAD}))

        self.load(CaIsoDriver, Uri=folder.as_uri(), Reports="load")

        self.assertEqual(self.readings("/Load/Total Area/Actual"), [(1_699_992_000_000, 24001.0)])

    def test_without_a_network_there_is_one_line_and_it_is_tried_again(self) -> None:
        """SM-19: one on loss, one on return."""
        oasis = Oasis(
            "=== unreachable oasis.caiso.com: no such host\n" * 3 + f"=== zip load.csv\n{LOAD}"
        )

        self.load(against(oasis), Reports="load")
        for _ in range(600):
            self.advance(1)

        self.assertEqual(
            [line for line in self.lines if "device" in line],
            [
                "/driver Recorded.update: the device does not answer: oasis.caiso.com: no such "
                "host. Trying again, at pauses of up to 60 s.".replace("Recorded", "CaIsoDriver"),
                "/driver CaIsoDriver.update: the device answers again, after 3 failed polls in "
                "18.0 s",
            ],
        )
        self.assertEqual(len(self.readings("/Load/Total Area/Actual")), 1)

    def test_a_bad_report_is_one_line_while_the_others_go_on(self) -> None:
        oasis = Oasis(
            f"=== zip load.csv\n{LOAD}"
            + "=== text\n<html>moved</html>\n"
            + f"=== zip load.csv\n{LOAD.replace('T20', 'T21').replace('24001', '24002')}"
            + "=== text\n<html>moved</html>\n"
            + f"=== zip load.csv\n{LOAD.replace('T20', 'T22').replace('24001', '24003')}"
        )

        self.load(against(oasis))
        for _ in range(600):
            self.advance(1)

        self.assertEqual(
            [v for _, v in self.readings("/Load/Total Area/Actual")], [24001.0, 24002.0, 24003.0]
        )
        self.assertEqual(len([line for line in self.lines if "no reading" in line]), 1)

    def test_every_stream_has_unit_and_stable_key(self) -> None:
        self.load(
            against(Oasis(f"=== zip l.csv\n{LOAD}")), Reports=[report.name for report in REPORTS]
        )

        streams = self.scope.streams

        self.assertEqual(len(streams), 14)
        self.assertTrue(all(s.unit for s in streams))
        self.assertEqual({s.uuid for s in streams}, {self.scope.uuid(str(s.key)) for s in streams})
        self.assertIn("CAISOLoadTotal AreaActual", [s.key for s in streams])
