"""``smapd receive`` as a process: what it answers 200 for is on its disk."""

import http.client
import json
import random
import socket
import subprocess
import sys
import zlib
from pathlib import Path
from uuid import UUID

import pytest

from smapd.cli import main
from smapd.sinks import FORMATS
from smapd.values import NodePart, ReportBody, Run
from tests.cli.receiver import ReceiverProcess

pytestmark = pytest.mark.real

STREAM = UUID("3b2b9b0e-0000-11e1-8000-000000000001")
UUID_TEXT = str(STREAM)


def report(*readings: list[object], **beside: object) -> bytes:
    return json.dumps(
        {"/hall/t": {"uuid": UUID_TEXT, "Readings": list(readings), **beside}}
    ).encode()


@pytest.mark.parametrize("name", list(FORMATS))
def test_each_format_of_ours_is_kept(name: str, tmp_path: Path) -> None:
    """SM-28"""
    properties = {"UnitofMeasure": "C", "ReadingType": "double", "Timezone": "UTC"}
    nodes = {
        "/hall": NodePart(None, {"Contents": ["t"]}),
        "/hall/t": NodePart(STREAM, {"Properties": properties}),
    }
    body = ReportBody({"/hall/t": [Run(STREAM, 1, 7, [1000, 2500], [21.5, -0.25])]}, nodes)
    payload = FORMATS[name].encode(body)

    with ReceiverProcess(tmp_path / "kept.db") as receiver:
        answer = receiver.post(payload.body, dict(payload.headers))
        kept = receiver.readings("/hall/t")

    assert answer == (200, {"Readings": 2, "New": 2})
    assert kept == [(1000, 21.5), (2500, -0.25)]


def test_what_comes_twice_is_kept_once(tmp_path: Path) -> None:
    body = report([1000, 1], [2000, 2])
    with ReceiverProcess(tmp_path / "kept.db") as receiver:
        first, again = receiver.post(body), receiver.post(body)
        more = receiver.post(report([2000, 2], [2000, 3]))

        assert receiver.readings("/hall/t") == [(1000, 1), (2000, 2), (2000, 3)]
        assert receiver.stop() == 0

    assert [answer[1]["New"] for answer in (first, again, more)] == [2, 0, 1]


def test_equal_readings_of_different_numbers_are_two(tmp_path: Path) -> None:
    """With Sequence = yes each reading has a number, and none is missing."""
    with ReceiverProcess(tmp_path / "kept.db") as receiver:
        receiver.post(report([1000, 1], [1000, 1], First=4))
        receiver.post(report([1000, 1], [1000, 1], First=4))

        assert receiver.readings("/hall/t") == [(1000, 1), (1000, 1)]


def test_zlib_that_is_called_gzip_is_taken(tmp_path: Path) -> None:
    body = zlib.compress(report([1000, 1]))
    with ReceiverProcess(tmp_path / "kept.db") as receiver:
        assert receiver.post(body, {"Content-Encoding": "gzip"})[0] == 200


def test_a_body_in_chunks_is_taken(tmp_path: Path) -> None:
    with ReceiverProcess(tmp_path / "kept.db") as receiver:
        connection = http.client.HTTPConnection("127.0.0.1", receiver.port, timeout=20)
        body = report([1000, 1])
        connection.request("POST", "/", iter([body[:10], body[10:]]), encode_chunked=True)
        assert connection.getresponse().status == 200
        connection.close()


def test_what_is_no_report_is_answered_400_and_nothing_of_it_is_kept(tmp_path: Path) -> None:
    with ReceiverProcess(tmp_path / "kept.db") as receiver:
        for body, kind in [
            (b"{", "application/json"),
            (b"[]", "application/json"),
            (b'{"/x": {"Readings": []}}', "application/json"),
            (report([1000]), "application/json"),
            (report([1000, [1]]), "application/json"),
            (b"a,b\n", "text/csv"),
            (b"\xff\xff", "avro/binary"),
            (b"hello", "text/html"),
        ]:
            status, answer = receiver.post(body, {"Content-Type": kind})
            assert status == 400, (body, answer)
            assert answer["message"].endswith(".")
        assert receiver.post(report([1, 1]))[0] == 200
        assert receiver.readings("/hall/t") == [(1, 1)]


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"nonsense\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nHost: x\r\n\r\n", b"411"),
        (b"POST / HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n", b"413"),
        (b"POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", b"400"),
        (b"DELETE / HTTP/1.1\r\n\r\n", b"405"),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 100_000 + b"\r\n\r\n", b"431"),
    ],
)
def test_what_is_no_http_is_refused(request_: bytes, status: bytes, tmp_path: Path) -> None:
    with ReceiverProcess(tmp_path / "kept.db") as receiver:
        with socket.create_connection(("127.0.0.1", receiver.port), timeout=20) as s:
            s.sendall(request_)
            assert s.recv(65536).split(b" ")[1] == status
        assert receiver.post(report([1, 1]))[0] == 200


def test_what_was_answered_200_outlives_kill_9(tmp_path: Path) -> None:
    """Twenty kills at random moments, fixed seed."""
    random_ = random.Random(4)
    acked: list[int] = []
    sent = 0
    receiver = ReceiverProcess(tmp_path / "kept.db")
    for _ in range(20):
        with receiver:
            for _ in range(random_.randint(1, 8)):
                sent += 1
                assert receiver.post(report([sent, sent]))[0] == 200
                acked.append(sent)
            with socket.create_connection(("127.0.0.1", receiver.port)) as s:
                body = report([sent + 1, sent + 1])
                head = b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body)
                s.sendall((head + body)[: random_.randint(1, len(head + body))])
                receiver.kill()

    kept = receiver.readings("/hall/t")
    assert set(acked) <= {ms for ms, _ in kept}
    assert all(ms == value for ms, value in kept)


def test_a_csv_file_grows_by_what_is_new_and_a_torn_line_is_cut_off(tmp_path: Path) -> None:
    file = tmp_path / "kept.csv"
    with ReceiverProcess(file) as receiver:
        receiver.post(report([1000, 1], [2500, 2.5]))
        receiver.post(report([2500, 2.5], [3000, 3]))
        receiver.kill()
    with file.open("ab") as f:
        f.write(b"3b2b9b0e-0000-11e1-8000-0000")
    with ReceiverProcess(file) as receiver:
        receiver.post(report([3000, 3], [4000, 4]))

    assert file.read_text().splitlines() == [
        f"{UUID_TEXT},/hall/t,1,1",
        f"{UUID_TEXT},/hall/t,2.500,2.5",
        f"{UUID_TEXT},/hall/t,3,3",
        f"{UUID_TEXT},/hall/t,4,4",
    ]


def test_with_a_token_only_who_has_it_is_heard(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("a-secret-of-ours\n")
    with ReceiverProcess(tmp_path / "kept.db", "--token-file", str(tmp_path / "token")) as receiver:
        assert receiver.post(report([1, 1]))[0] == 401
        assert receiver.post(report([1, 1]), {"Authorization": "Bearer wrong"})[0] == 401
        good = {"Authorization": "Bearer a-secret-of-ours"}
        assert receiver.post(report([1, 1]), good)[0] == 200


def test_other_machines_need_a_token_and_tls(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["receive", str(tmp_path / "kept.db"), "--interface", "0.0.0.0"]) == 1

    assert "other machines can reach 0.0.0.0" in capsys.readouterr().err
    assert not (tmp_path / "kept.db").exists()


def test_a_database_of_something_else_is_left_alone(tmp_path: Path) -> None:
    import sqlite3

    with sqlite3.connect(tmp_path / "other.db") as db:
        db.execute("CREATE TABLE x(y)")
    db.close()
    done = subprocess.run(
        [sys.executable, "-m", "smapd", "receive", "other.db", "--port", "0"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("smapd: other.db is a database of something else.")


def test_a_full_disk_is_answered_507_and_nothing_is_lost_later(tmp_path: Path) -> None:
    from smapd.cli.receive_bodies import decode
    from smapd.cli.receive_store import SqliteStore
    from smapd.errors import StorageFull

    store = SqliteStore(str(tmp_path / "kept.db"))
    store.put([decode(report([1, 1]), "", "")])
    (pages,) = store._db.execute("PRAGMA page_count").fetchone()
    store._db.execute(f"PRAGMA max_page_count = {pages}")
    large = [decode(report(*[[i, i] for i in range(5000)]), "", "")]
    with pytest.raises(StorageFull, match="does not take it"):
        store.put(large)
    store._db.execute("PRAGMA max_page_count = 100000")

    assert store.put(large) == 4999
    store.close()
