"""What the original daemon answered, asked of ours: one real daemon for each recorded config."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from smapd.testing import DaemonProcess

GOLDEN = Path(__file__).parent / "golden"
RECORDED = json.loads((GOLDEN / "http.json").read_text())

MENDED = {
    "GET /data/nope/+": 404,
    "PUT /data": 405,
    "PUT /data/a/b/c/t0?state=1": 405,
    "OPTIONS /data": 204,
    "PUT /data/act/binary": 400,
    "GET /data/act/broken": 502,
    "PUT /data/act/broken?state=1": 502,
}
"""Requests whose status the Mend table changes, and the status it asks for."""

CONFIGS = ["tutorial_dump.ini", "tutorial_nested.ini", "tutorial_nokey.ini", "tree.ini"]
DRIVERS = "drivers.ini"
ACTUATORS = "actuators.ini"
REPORTS = "reports.ini"


def cases(config: str) -> list[dict[str, Any]]:
    return [case for case in RECORDED["cases"] if case["config"] == config]


def load_of(name: str) -> dict[str, Any]:
    return next(load for load in RECORDED["loads"] if load["name"] == name)


@pytest.fixture(scope="module", params=[*CONFIGS, DRIVERS, ACTUATORS, REPORTS])
def served(request: pytest.FixtureRequest) -> Iterator[tuple[str, DaemonProcess]]:
    with DaemonProcess(GOLDEN / "configs" / request.param, path=[GOLDEN / "configs"]) as daemon:
        yield request.param, daemon


def same(found: Any, wanted: Any, where: str = "") -> None:
    """Equal, where the record's <TIME_MS> stands for any time in ms."""
    if wanted == "<TIME_MS>":
        assert isinstance(found, int), where
        assert found > 1_000_000_000_000, where
    elif isinstance(wanted, dict):
        assert isinstance(found, dict), (where, found)
        assert set(found) == set(wanted), (where, found)
        for key in wanted:
            same(found[key], wanted[key], f"{where}/{key}")
    elif isinstance(wanted, list):
        assert isinstance(found, list), (where, found)
        assert len(found) == len(wanted), (where, found)
        for i, (f, w) in enumerate(zip(found, wanted, strict=True)):
            same(f, w, f"{where}/{i}")
    else:
        assert type(found) is type(wanted), (where, found, wanted)
        assert found == wanted, (where, found, wanted)


def mended(wanted: Any) -> Any:
    """The answer of a discrete actuator: its state, and the index, which was recorded, beside."""
    if isinstance(wanted, dict) and wanted.get("Actuator", {}).get("Model") == "discrete":
        told = wanted["Actuator"]
        [[ms, index]] = wanted["Readings"]
        readings = [[ms, told["Values"][index]]]
        return wanted | {"Readings": readings, "Actuator": told | {"Index": index}}
    return wanted


@pytest.mark.real
def test_every_recorded_request_is_answered_as_the_original_did(
    served: tuple[str, DaemonProcess],
) -> None:
    """SM-20, SM-21, SM-22, SM-03, SM-15, SM-33: the requests of one config, in order."""
    config, daemon = served
    for case in cases(config):
        request, recorded = case["request"], case["response"]
        what = f"{request['method']} {request['path']}"
        answer = daemon.request(
            request["method"],
            request["path"],
            None if request["body"] is None else str(request["body"]).encode(),
            request["headers"],
        )

        assert answer.status == MENDED.get(what, recorded["status"]), (what, answer.body)
        if not case["body_checked"] or what in MENDED:
            continue
        if "json" in recorded:
            assert answer.headers["content-type"] == recorded["content_type"], what
            same(answer.json(), mended(recorded["json"]), what)
        elif recorded["status"] >= 400 and request["method"] != "HEAD":
            assert answer.json()["message"].startswith(recorded["text"].strip()), what


@pytest.mark.real
def test_an_error_is_json_with_a_code_a_message_and_a_hint(
    served: tuple[str, DaemonProcess],
) -> None:
    """SM-20: bodies of 400 and above are ours, whatever the original sent."""
    _config, daemon = served
    for path in ("/data/nope", "/data/nope/+", "/nope"):
        answer = daemon.get(path)

        assert answer.status == 404
        assert set(answer.json()) == {"error", "message", "hint"}


TREES = [load["name"] for load in RECORDED["loads"] if load.get("tree")]
REFUSED_NOW = {"same uuid twice", "report with an unknown scheme"}
STARTS_NOW = {"parent collection not declared", "Description on a collection"}


@pytest.mark.real
@pytest.mark.parametrize("name", sorted(set(TREES) - REFUSED_NOW))
def test_a_config_that_started_gives_the_recorded_tree(name: str) -> None:
    """SM-03, SM-11: uuids, types and zones of small configs, read back from a real daemon."""
    load = load_of(name)

    with DaemonProcess(load["config_text"]) as daemon:
        tree = daemon.get("/data/+").json()

    same(tree, load["tree"])


@pytest.mark.real
def test_a_config_that_must_not_start_ends_with_78_and_opens_nothing() -> None:
    """SM-13: nothing starts, the exit status says that the config is at fault."""
    with_errors = load_of("nested Extra on a series")["config_text"]
    daemon = DaemonProcess(with_errors)
    try:
        daemon.spawn()

        assert daemon.wait() == 78
        assert re.search(r"test\.ini:\d+: \[/s\] Metadata/Extra/A/B", daemon.text())
        assert not daemon.data_dir.exists()
    finally:
        daemon.close()
