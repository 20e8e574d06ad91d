"""Which reports of OASIS are read, and which of their rows become which stream.

The names are those of CAISO's "Interface Specification for OASIS". Every report is asked for with
``resultformat=6``, which is CSV, and with a window of time in GMT.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

HOUR_S = 3600
HUBS = ("NP15", "SP15", "ZP26")


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """One stream, and what the columns of its rows hold."""

    path: str
    key: str
    unit: str
    description: str
    where: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Report:
    """One report. The window that is asked for is now - ``back_s`` to now + ``ahead_s``."""

    name: str
    query: Mapping[str, str]
    back_s: int
    ahead_s: int
    series: tuple[Series, ...]


def _series(group: str, what: str, unit: str, description: str, **where: str) -> Series:
    """A stream of the area or hub in ``what``, its key built as sMAP's driver did."""
    place = what.replace("/", "")
    return Series(
        f"/{group}/{what}", f"CAISO{group}{place}", unit, description, MappingProxyType(where)
    )


def _query(name: str, market: str, **more: str) -> Mapping[str, str]:
    fixed = {"queryname": name, "version": "1", "market_run_id": market}
    return MappingProxyType(fixed | more)


REPORTS = (
    Report(
        "load",
        _query("SLD_FCST", "ACTUAL"),
        6 * HOUR_S,
        0,
        (
            _series(
                "Load",
                "Total Area/Actual",
                "MW",
                "demand, the mean of an hour",
                TAC_AREA_NAME="CA ISO-TAC",
                XML_DATA_ITEM="SYS_FCST_ACT_MW",
            ),
        ),
    ),
    Report(
        "forecast",
        _query("SLD_FCST", "DAM"),
        0,
        48 * HOUR_S,
        (
            _series(
                "Load",
                "Total Area/Forecast",
                "MW",
                "demand of an hour to come, as forecast the day before",
                TAC_AREA_NAME="CA ISO-TAC",
                XML_DATA_ITEM="SYS_FCST_DA_MW",
            ),
        ),
    ),
    Report(
        "generation",
        _query("ENE_SLRS", "RTM", tac_zone_name="ALL", schedule="ALL"),
        2 * HOUR_S,
        0,
        tuple(
            _series(
                group,
                "Total Area/Scheduled",
                "MW",
                f"{word} as scheduled in the real-time market, 5 minutes each",
                TAC_ZONE_NAME="Caiso_Totals",
                XML_DATA_ITEM=item,
            )
            for group, word, item in (
                ("Generation", "generation", "ISO_TOT_GEN_MW"),
                ("Import", "imports", "ISO_TOT_IMP_MW"),
                ("Export", "exports", "ISO_TOT_EXP_MW"),
            )
        ),
    ),
    Report(
        "renewables",
        _query("SLD_REN_FCST", "ACTUAL"),
        6 * HOUR_S,
        0,
        tuple(
            _series(
                "Renewables",
                f"{hub}/{kind}",
                "MW",
                f"{kind.lower()} power in {hub}, the mean of an hour",
                TRADING_HUB=hub,
                RENEWABLE_TYPE=kind,
                XML_DATA_ITEM="RENEW_FCST_ACT_MW",
            )
            for hub in HUBS
            for kind in ("Solar", "Wind")
        ),
    ),
    Report(
        "price",
        _query("PRC_INTVL_LMP", "RTM", node=",".join(f"TH_{hub}_GEN-APND" for hub in HUBS)),
        HOUR_S,
        0,
        tuple(
            _series(
                "Price",
                f"{hub}/RealTime",
                "$/MWh",
                f"price at the trading hub {hub}, 5 minutes each",
                NODE=f"TH_{hub}_GEN-APND",
                LMP_TYPE="LMP",
            )
            for hub in HUBS
        ),
    ),
)
