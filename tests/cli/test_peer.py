import pathlib
import socket

import pytest

from smapd.cli import main
from smapd.storage import Daemon, DataDir
from tests.cli.daemon import FakeDaemon

pytestmark = pytest.mark.real

STATUS = {"/status": (200, {"daemon": {"version": "0.1.0"}})}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SMAPD_TOKEN", raising=False)


@pytest.fixture
def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def said(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """What a command that fails says."""
    assert main(arguments) == 1
    out, err = capsys.readouterr()
    assert out == ""
    return err


def test_a_daemon_is_found_by_its_data_directory(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """SM-40: each daemon on this host is reached by its own directory."""
    one, two = DataDir(tmp_path / "one"), DataDir(tmp_path / "two")
    one.open()
    two.open()
    with FakeDaemon(STATUS) as daemon:
        one.write_daemon(Daemon(1, "http://127.0.0.1:1", "0"))
        two.write_daemon(Daemon(2, daemon.url, "0"))

        assert main(["status", "--data-dir", str(tmp_path / "two")]) == 0

    assert capsys.readouterr().out.startswith(daemon.url)
    one.close()
    two.close()


def test_without_a_word_it_is_the_one_of_the_working_directory(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = DataDir(tmp_path / "smapd-data")
    directory.open()
    with FakeDaemon(STATUS) as daemon:
        directory.write_daemon(Daemon(1, daemon.url, "0"))

        assert main(["status"]) == 0

    assert capsys.readouterr().out.startswith(daemon.url)
    directory.close()


def test_without_a_daemon_here_port_8080_is_asked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], free_port: int
) -> None:
    monkeypatch.setattr("smapd.cli.peer.DEFAULT_URL", f"http://127.0.0.1:{free_port}")

    assert said(["status"], capsys) == (
        f"smapd: no daemon answers at http://127.0.0.1:{free_port}: connection refused.\n"
        "Start one with: smapd run CONFIG\n"
    )


def test_a_directory_that_runs_none_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert said(["status", "--data-dir", "/no/such"], capsys) == (
        "smapd: no daemon runs on the data directory /no/such.\nStart one with: smapd run CONFIG\n"
    )


def test_a_daemon_without_http_says_so(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = DataDir(tmp_path / "smapd-data")
    directory.open()
    directory.write_daemon(Daemon(4711, "", "0"))

    assert said(["status"], capsys).startswith(
        "smapd: the daemon with pid 4711 has no HTTP, or not yet.\n"
    )
    directory.close()


@pytest.mark.parametrize(
    "url", ["localhost:8080", "ftp://x", "http://", "http://[::1", "http://x:99999", "http://x?q"]
)
def test_a_url_of_no_daemon_is_refused(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert said(["status", "--url", url], capsys) == (
        f"smapd: {url!r} is not the URL of a daemon; write one like http://127.0.0.1:8080.\n"
    )


def test_the_daemons_own_sentence_and_hint_are_printed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    answer = {"error": "busy", "message": "Too much is under way.\x1b", "hint": "Try again."}
    with FakeDaemon({"/status": (503, answer)}) as daemon:
        assert said(["status", "--url", daemon.url], capsys) == (
            "smapd: Too much is under way.\\x1b\nTry again.\n"
        )


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        ((200, b"<html>"), "what answers at {} is no smapd: its answer is not JSON."),
        ((500, b"<html>"), "{} answers 500 Internal Server Error."),
        ((302, b""), "{} answers 302 Found."),
        ((500, [1]), "{} answers 500 Internal Server Error."),
    ],
)
def test_what_is_no_smapd_is_told_apart(
    answer: tuple[int, object], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with FakeDaemon({"/status": answer}) as daemon:
        assert said(["status", "--url", daemon.url], capsys) == (
            f"smapd: {sentence.format(daemon.url)}\n"
        )


def test_what_speaks_no_http_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    import threading

    def answer(listening: socket.socket) -> None:
        connection, _ = listening.accept()
        connection.recv(100)
        connection.sendall(b"SSH-2.0-OpenSSH\r\n")
        connection.close()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=answer, args=(listening,))
        thread.start()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"

        message = said(["status", "--url", url], capsys)

        thread.join()
    assert message.startswith(f"smapd: no daemon answers at {url}: ")


def test_the_token_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMAPD_TOKEN", "abc")
    with FakeDaemon(STATUS) as daemon:
        main(["status", "--url", daemon.url])

    assert daemon.asked[0][2]["Authorization"] == "Bearer abc"


def test_the_token_of_a_file_wins(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMAPD_TOKEN", "abc")
    (tmp_path / "token").write_text("def\n")
    with FakeDaemon(STATUS) as daemon:
        main(["status", "--url", daemon.url, "--token-file", str(tmp_path / "token")])

    assert daemon.asked[0][2]["Authorization"] == "Bearer def"


def test_without_a_token_no_header_is_sent() -> None:
    with FakeDaemon(STATUS) as daemon:
        main(["status", "--url", daemon.url])

    assert "Authorization" not in daemon.asked[0][2]


def test_a_refusal_for_want_of_a_token_says_where_to_put_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    answer = {"message": "This needs the token.", "hint": "Send the header."}
    with FakeDaemon({"/status": (401, answer)}) as daemon:
        assert said(["status", "--url", daemon.url], capsys) == (
            "smapd: This needs the token.\n"
            "Set SMAPD_TOKEN, or name a file that holds the token with --token-file.\n"
        )


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "token file t: No such file or directory."),
        (b"", "token file t is empty."),
        (b"\xff", "token file t is not text."),
        (b"a\nb", "token file t holds what no header can carry; is it the right one?"),
    ],
)
def test_a_token_file_that_cannot_serve_is_named(
    content: bytes | None,
    sentence: str,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if content is not None:
        (tmp_path / "t").write_bytes(content)

    assert said(["status", "--token-file", "t"], capsys) == f"smapd: {sentence}\n"


def test_no_proxy_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with FakeDaemon(STATUS) as daemon:
        assert main(["status", "--url", daemon.url]) == 0


def test_a_certificate_file_that_is_missing_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert said(["status", "--url", "https://127.0.0.1:1", "--ca", "/no/ca.pem"], capsys) == (
        "smapd: certificate /no/ca.pem: No such file or directory.\n"
    )
