"""/data: what is answered for each path, method and version."""

from __future__ import annotations

import gzip
import json
from typing import Any
from uuid import UUID, uuid5

import pytest

from smapd.core import SmapInstance
from smapd.values import bad, uncertain

ROOT = UUID("75503ac2-abf0-11e0-b7d6-0026bb56ec92")
T_UUID = str(uuid5(ROOT, "t"))
COLLECTION_A = {
    "Contents": ["b", "n"],
    "Metadata": {"Extra": {"Level": "a", "List": ["one", "two"]}},
}
SERIES_T = {
    "uuid": T_UUID,
    "Properties": {"ReadingType": "double", "Timezone": "UTC", "UnitofMeasure": "V"},
    "Readings": [],
}


@pytest.mark.parametrize("target", ["/data", "/data/", "/data//", "//data", "///data//"])
def test_the_root_under_each_of_its_names(served: Any, target: str) -> None:
    """SM-20: doubled and trailing slashes are ignored."""
    answer = served.get(target)

    assert (answer.status, answer.json) == (200, {"Contents": ["a", "s"]})
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize("target", ["/data/a", "/data/a/", "/data//a", "/data/%61", "/d%61ta/a"])
def test_a_collection_with_its_own_metadata(served: Any, target: str) -> None:
    """SM-20, SM-22: Contents in order of creation, Metadata of this collection alone."""
    assert served.get(target).json == COLLECTION_A


def test_a_series_in_the_shape_that_the_tutorial_prints(served: Any) -> None:
    """SM-21: uuid, Properties, Readings as [ms, value]."""
    served.tree.add("/a/b/t", 1_300_000_000, 12)
    served.tree.drain()

    answer = served.get("/data/a/b/t")

    assert answer.json == SERIES_T | {"Readings": [[1_300_000_000_000, 12.0]]}


def test_the_drivers_own_number_stands_third(served: Any) -> None:
    """SM-21: a reading with a sequence number is [ms, value, number]."""
    served.tree.add("/a/b/t", 1, 2.5, 7)
    served.tree.drain()

    assert served.get("/data/a/b/t").json["Readings"] == [[1000, 2.5, 7]]


def test_all_below_with_paths_from_the_place_asked(served: Any) -> None:
    """SM-20: collections included; the place itself is "/"."""
    found = served.get("/data/a/+").json

    assert found["/"] == COLLECTION_A
    assert list(found) == ["/", "/b", "/b/t", "/n"]
    assert found["/b/t"] == SERIES_T


@pytest.mark.parametrize(
    ("target", "paths"),
    [
        ("/data/+", ["/", "/a", "/a/b", "/a/b/t", "/a/n", "/s"]),
        ("/data/%2B", ["/", "/a", "/a/b", "/a/b/t", "/a/n", "/s"]),
        ("/data/a/+Timeseries", ["/", "/b", "/b/t", "/n"]),
        ("/data/a//+/", ["/", "/b", "/b/t", "/n"]),
        ("/data/a/%2b", ["/", "/b", "/b/t", "/n"]),
        ("/data/a/b/t/+", ["/"]),
    ],
)
def test_a_last_name_that_begins_with_plus_means_all_below(
    served: Any, target: str, paths: list[str]
) -> None:
    """SM-20: as recorded, also percent-encoded, with letters after it, and below a series."""
    assert list(served.get(target).json) == paths


def test_a_collections_metadata_is_in_plus_once_where_it_was_set(served: Any) -> None:
    """SM-22: it applies to what stands below, and is not repeated there; the reader merges."""
    found = served.get("/data/+").json

    assert found["/a"]["Metadata"] == COLLECTION_A["Metadata"]
    assert "Metadata" not in found["/a/b/t"]


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("/data/nope", "/nope"),
        ("/data/a/b/t/nope", "/a/b/t/nope"),
        ("/data/A", "/A"),
        ("/data/a;/data/z", "/a;/data/z"),
        ("/data/a+b", "/a+b"),
        ("/data/+/a", "/+/a"),
        ("/data/nope/+", "/nope"),
        ("/data/nope//x/", "/nope/x"),
        ("/data/%C3%BC", "/ü"),
        ("/data/..", "/.."),
        ("/data/a%00b", "/a\0b"),
    ],
)
def test_what_is_not_there_is_404_with_the_original_sentence(
    served: Any, target: str, path: str | None
) -> None:
    """SM-20: unknown path, 404; the message begins with the original's text."""
    answer = served.get(target)

    if path is None:
        assert answer.status == 200
        return
    assert answer.status == 404
    assert answer.json["message"] == f"No such timeseries or collection: {path}"
    assert answer.json["error"] == "no_such_path"
    assert answer.headers["content-type"] == "application/json"


def test_an_address_that_is_not_utf8_is_400(served: Any) -> None:
    """SEC-06: bytes that are no text are told so."""
    answer = served.get("/data/%ff")

    assert (answer.status, answer.json["message"]) == (400, "The address is not UTF-8.")


@pytest.mark.parametrize("target", ["/data", "/data/a", "/data/a/b/t", "/"])
def test_head_has_the_heads_of_get(served: Any, target: str) -> None:
    """SM-20: HEAD, of a series too, answers what GET does without the body."""
    get, head = served.get(target), served.ask("HEAD", target)

    for answer in (get, head):
        answer.headers.pop("date")
    assert (head.status, head.body, head.headers) == (get.status, b"", get.headers)


def test_head_of_all_below_does_not_walk(served: Any) -> None:
    """SM-20: HEAD of /+ costs nothing and has the ETag."""
    get, head = served.get("/data/+"), served.ask("HEAD", "/data/+")

    assert (head.status, head.body) == (200, b"")
    assert head.headers["etag"] == get.headers["etag"]
    assert served.ask("HEAD", "/data/nope").status == 404


@pytest.mark.parametrize(
    ("method", "target", "status", "allow"),
    [
        ("POST", "/data", 405, "GET, HEAD, OPTIONS, PUT"),
        ("POST", "/data/a/b/t", 405, "GET, HEAD, OPTIONS, PUT"),
        ("PUT", "/data", 405, "GET, HEAD, OPTIONS"),
        ("PUT", "/data/a/b/t?state=1", 405, "GET, HEAD, OPTIONS"),
        ("PUT", "/data/nope?state=1", 404, None),
        ("DELETE", "/data/a", 501, "GET, HEAD, OPTIONS, PUT"),
        ("BREW", "/data", 501, "GET, HEAD, OPTIONS, PUT"),
        ("OPTIONS", "/data", 204, "GET, HEAD, OPTIONS, PUT"),
        ("OPTIONS", "/data/nope", 204, "GET, HEAD, OPTIONS, PUT"),
    ],
)
def test_other_methods(
    served: Any, method: str, target: str, status: int, allow: str | None
) -> None:
    """SM-20: recorded statuses, mended where the table says so, with Allow."""
    answer = served.ask(method, target)

    assert answer.status == status
    assert answer.headers.get("allow") == allow


def test_quality_is_there_when_asked_for(serve: Any) -> None:
    """SM-21: ?quality=1 adds it; without, the JSON is sMAP's and bad readings are left out."""
    tree = SmapInstance(str(ROOT))
    tree.add_timeseries("/x", "x", "V", data_type="double", buffersz=4)
    tree.add("/x", 1, 1.0)
    tree.add("/x", 2, 2.0, quality=uncertain("calibration is old"))
    tree.add("/x", 3, None, quality=bad("sensor broken"))
    tree.drain()
    served = serve(tree)

    plain, full = served.get("/data/x").json, served.get("/data/x?quality=1").json

    assert plain["Readings"] == [[1000, 1.0], [2000, 2.0]]
    assert "Quality" not in plain
    assert full["Readings"] == [[1000, 1.0], [2000, 2.0], [3000, None]]
    assert [row[:2] for row in full["Quality"]] == [
        ["good", ""],
        ["uncertain", "calibration is old"],
        ["bad", "sensor broken"],
    ]
    assert "Quality" in served.get("/data/+?quality=1").json["/x"]
    assert "Quality" not in served.get("/data/x?quality=0").json


def test_what_is_not_finite_is_null_and_named(serve: Any) -> None:
    """SM-21: NaN and infinity reach JSON as null plus NonFinite."""
    tree = SmapInstance(str(ROOT))
    tree.add_timeseries("/x", "x", "V", data_type="double", buffersz=3)
    tree.add_many("/x", [1, 2, 3], [float("nan"), 5.0, float("-inf")])
    tree.drain()

    found = serve(tree).get("/data/x").json

    assert found["Readings"] == [[1000, None], [2000, 5.0], [3000, None]]
    assert found["NonFinite"] == [[0, "NaN"], [2, "-Infinity"]]


def test_metadata_that_json_has_no_word_for_is_still_answered(serve: Any) -> None:
    """SEC-06: what a driver put there cannot make GET fail."""
    tree = SmapInstance(str(ROOT))
    tree.add_timeseries("/x", "x", "V")
    tree.get("/x").metadata = {"Extra": {"Big": 2**70, "Half": "\ud800", "Odd": {1, 2}}}
    served = serve(tree)

    found = served.get("/data/x")

    assert found.status == 200
    assert found.json["Metadata"]["Extra"]["Big"] == 2**70
    assert served.get("/data/+").json["/x"]["Metadata"]["Extra"]["Half"] == "\ud800"


# --- versions


def test_a_series_that_has_not_changed_is_304(served: Any) -> None:
    """SM-20: If-None-Match saves what is known."""
    etag = served.get("/data/a/b/t").headers["etag"]

    again = served.get("/data/a/b/t", If_None_Match=etag)

    assert (again.status, again.body, again.headers["etag"]) == (304, b"", etag)
    assert "content-length" not in again.headers
    assert served.ask("HEAD", "/data/a/b/t", {"If-None-Match": etag}).status == 304


@pytest.mark.parametrize("header", ['W/"x", {}', "{}", "*", '"y",{} , "z"'])
def test_the_known_version_may_stand_in_a_list(served: Any, header: str) -> None:
    """SM-20: any of the versions named, weak or not, or a star."""
    etag = served.get("/data/a").headers["etag"].removeprefix("W/")

    assert served.get("/data/a", If_None_Match=header.format(etag)).status == 304
    assert served.get("/data/a", If_None_Match='"other"').status == 200


def test_a_reading_changes_the_version_of_its_series_alone(served: Any) -> None:
    """SM-20: a reading makes a series new, and all below it; not its neighbour or collection."""
    targets = ["/data/a/b/t", "/data/a/n", "/data/a", "/data/a/+"]
    before = [served.get(target).headers["etag"] for target in targets]

    served.tree.add("/a/b/t", 1, 1.0)
    served.tree.drain()

    after = [served.get(target).headers["etag"] for target in targets]
    assert [a == b for a, b in zip(after, before, strict=True)] == [False, True, True, False]


def test_metadata_and_nodes_change_versions(served: Any) -> None:
    """SM-20: what GET would show differently has another version."""
    for target, change in [
        ("/data/a/b/t", lambda: served.tree.set_metadata("/a/b/t", {"Extra/X": "1"})),
        ("/data/a", lambda: served.tree.set_metadata("/a", {"Extra/X": "1"})),
        ("/data/a", lambda: served.tree.add_timeseries("/a/new", "new", "V")),
        ("/data/a/+", lambda: served.tree.remove("/a/new")),
        ("/data/a/n", lambda: served.tree.set_description("/a/n", "wind")),
        ("/data/a/n", lambda: served.tree.set_error("/a/n", "no answer")),
    ]:
        etag = served.get(target).headers["etag"]

        change()

        assert served.get(target, If_None_Match=etag).status == 200, target


def test_two_starts_never_share_a_version(serve: Any) -> None:
    """SM-20: the same tree after a restart is another version."""
    first, second = serve(), serve()

    assert first.get("/data").headers["etag"] != second.get("/data").headers["etag"]


# --- packed


def test_gzip_is_sent_when_asked_for_and_worth_it(serve: Any) -> None:
    """SM-20: gzip from 1 KiB on; Vary tells caches."""
    tree = SmapInstance(str(ROOT))
    for i in range(300):
        tree.add_timeseries(f"/c/s{i}", f"s{i}", "V")
    served = serve(tree)

    plain, packed = served.get("/data/c"), served.get("/data/c", Accept_Encoding="br, gzip;q=0.8")

    assert packed.headers["content-encoding"] == "gzip"
    assert "Accept-Encoding" in packed.headers["vary"]
    assert gzip.decompress(packed.body) == plain.body
    assert len(packed.body) < len(plain.body) / 2
    assert json.loads(gzip.decompress(served.get("/data/c/+", Accept_Encoding="gzip").body))


@pytest.mark.parametrize("header", ["identity", "gzip;q=0", "gzip; q=0.0", "br", ""])
def test_gzip_is_not_sent_when_not_asked_for(serve: Any, header: str) -> None:
    """SM-20: a weight of 0 means no."""
    tree = SmapInstance(str(ROOT))
    for i in range(300):
        tree.add_timeseries(f"/c/s{i}", f"s{i}", "V")

    answer = serve(tree).get("/data/c", Accept_Encoding=header)

    assert "content-encoding" not in answer.headers


def test_a_short_answer_is_not_packed(served: Any) -> None:
    """SM-20: below 1 KiB it would only grow."""
    assert "content-encoding" not in served.get("/data/a", Accept_Encoding="gzip").headers
