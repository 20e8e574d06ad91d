"""driver/transfer.py against servers that behave well, badly, and not at all; and against files."""

from __future__ import annotations

import gzip
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from smapd import __version__
from smapd.driver.transfer import Credentials, NotNow, Transfer, Validators, shown
from smapd.errors import DeviceUnavailable
from smapd.options import Secret

BODY = b'{"power": 1.5}'


def transfer(timeout_s: float = 5.0, max_bytes: int = 1000, **more: Any) -> Transfer:
    return Transfer(time.monotonic, timeout_s=timeout_s, max_bytes=max_bytes, **more)


def why(address: str, **more: Any) -> str:
    """The sentence with which it fails."""
    with pytest.raises(DeviceUnavailable) as caught:
        transfer(**more).get(address)
    return caught.value.message


Answer = Callable[[BaseHTTPRequestHandler], None]


@contextmanager
def http_server(answer: Answer, context: ssl.SSLContext | None = None) -> Iterator[tuple[str, int]]:
    """(host:port, port) of a server that answers so, in threads of its own."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            answer(self)

        def log_message(self, format: str, *args: Any) -> None: ...

    class Quiet(ThreadingHTTPServer):
        def handle_error(self, request: Any, client_address: Any) -> None: ...

    server = Quiet(("127.0.0.1", 0), Handler)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        port = server.server_address[1]
        yield f"127.0.0.1:{port}", port
    finally:
        server.shutdown()
        thread.join(5)
        server.server_close()


@contextmanager
def raw_server(talk: Callable[[socket.socket], None]) -> Iterator[str]:
    """host:port of a server that does this with each connection, after reading its request."""
    listener = socket.create_server(("127.0.0.1", 0))
    ended = threading.Event()

    def serve() -> None:
        while not ended.is_set():
            with suppress(OSError):
                sock, _ = listener.accept()
                with sock, suppress(OSError):
                    sock.recv(4096)
                    talk(sock)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"127.0.0.1:{listener.getsockname()[1]}"
    finally:
        ended.set()
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)


def says(status: int, body: bytes = b"", **headers: str) -> Answer:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name.replace("_", "-"), value)
        if "Transfer_Encoding" not in headers:
            request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    return answer


@pytest.mark.real
def test_a_body_comes_with_what_to_ask_the_next_time() -> None:
    """SM-16."""
    seen: list[Any] = []

    def answer(request: BaseHTTPRequestHandler) -> None:
        seen.append((request.path, request.headers))
        says(200, BODY, ETag='"7"', Last_Modified="Tue, 14 Nov 2023 22:00:00 GMT")(request)

    with http_server(answer) as (host, _):
        body = transfer().get(f"http://{host}/now?key=1&x=%20ü")

    assert body is not None
    assert body.data == BODY
    assert body.validators == Validators('"7"', "Tue, 14 Nov 2023 22:00:00 GMT")
    path, headers = seen[0]
    assert path == "/now?key=1&x=%20%C3%BC"
    assert headers["User-Agent"] == f"smapd/{__version__}"
    assert headers["Host"] == host
    assert "If-None-Match" not in headers


@pytest.mark.real
def test_an_unchanged_body_is_not_sent_again() -> None:
    """SM-16: 304 to If-None-Match and If-Modified-Since; 204 is nothing too."""
    seen: list[Any] = []

    def answer(request: BaseHTTPRequestHandler) -> None:
        seen.append(request.headers)
        says(304 if request.path == "/a" else 204)(request)

    known = Validators('"7"', "Tue, 14 Nov 2023 22:00:00 GMT")
    with http_server(answer) as (host, _):
        assert transfer().get(f"http://{host}/a", known) is None
        assert transfer().get(f"http://{host}/b", known) is None
        assert "answered 304 Not Modified" in why(f"http://{host}/a")

    assert seen[0]["If-None-Match"] == '"7"'
    assert seen[0]["If-Modified-Since"] == "Tue, 14 Nov 2023 22:00:00 GMT"


@pytest.mark.real
def test_packed_and_chunked_bodies_are_unpacked() -> None:
    packed = gzip.compress(BODY)
    chunked = b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)
    with http_server(says(200, packed, Content_Encoding="gzip")) as (host, _):
        first = transfer().get(f"http://{host}/")
    with http_server(says(200, chunked, Transfer_Encoding="chunked")) as (host, _):
        second = transfer().get(f"http://{host}/")

    assert first is not None
    assert second is not None
    assert (first.data, second.data) == (BODY, BODY)


@pytest.mark.real
@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (says(404), "/x answered 404 Not Found"),
        (says(500, b"secret inner text"), "/x answered 500 Internal Server Error"),
        (says(299), "/x answered 299"),
        (says(206, BODY), "/x answered 206 Partial Content"),
        (says(200, b"a" * 1001), "/x is larger than MaxBytes = 1000; nothing of it is taken"),
        (
            says(200, b"3ea\r\n" + b"a" * 1002 + b"\r\n0\r\n\r\n", Transfer_Encoding="chunked"),
            "is larger than MaxBytes = 1000",
        ),
        (
            says(200, gzip.compress(b"a" * 10_000_000)[:900], Content_Encoding="gzip"),
            "is larger than MaxBytes = 1000",
        ),
        (says(200, gzip.compress(BODY)[:-9], Content_Encoding="gzip"), "gzip that breaks off"),
        (says(200, BODY, Content_Encoding="gzip"), "sent broken gzip"),
        (says(200, BODY, Content_Encoding="br"), "a body packed as 'br'"),
        (says(200, b"zz\r\n", Transfer_Encoding="chunked"), "in the middle of the body"),
    ],
)
def test_an_answer_that_cannot_be_used_is_one_sentence(answer: Answer, sentence: str) -> None:
    with http_server(answer) as (host, _):
        text = why(f"http://user:word@{host}/x?key=abc")

    assert sentence in text
    assert text.startswith(f"http://{host}/x")
    assert not any(secret in text for secret in ("user", "word", "abc", "inner"))


@pytest.mark.real
@pytest.mark.parametrize(
    ("status", "told", "after_s"), [(429, "120", 120.0), (503, "99999999999", 3600.0)]
)
def test_a_server_that_names_a_time_is_told_apart(status: int, told: str, after_s: float) -> None:
    with (
        http_server(says(status, Retry_After=told)) as (host, _),
        pytest.raises(NotNow) as caught,
    ):
        transfer().get(f"http://{host}/")

    assert caught.value.after_s == after_s
    assert f"answered {status}" in caught.value.message


@pytest.mark.real
@pytest.mark.parametrize(
    "talk",
    [
        lambda s: time.sleep(1.5),
        lambda s: [(s.sendall(b"H"), time.sleep(0.05)) for _ in range(60)],
        lambda s: [
            s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n"),
            [(s.sendall(b"x"), time.sleep(0.05)) for _ in range(60)],
        ],
    ],
    ids=["silence", "one letter of the head at a time", "one letter of the body at a time"],
)
def test_the_time_is_for_the_whole_answer(talk: Callable[[socket.socket], None]) -> None:
    """SM-16: Timeout; a server that dribbles does not get it anew with each byte."""
    with raw_server(talk) as host:
        since = time.monotonic()
        text = why(f"http://{host}/x", timeout_s=0.5)
        took_s = time.monotonic() - since

    assert text == f"http://{host}/x: no whole answer within Timeout"
    assert took_s < 1.2


@pytest.mark.real
@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (b"", "it hung up without an answer"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "no HTTP answer (BadStatusLine)"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\nabc", "broke off after 3 of 900 bytes"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000, "no HTTP answer (LineTooLong)"),
    ],
)
def test_what_is_no_http_is_one_sentence(words: bytes, sentence: str) -> None:
    with raw_server(lambda s: s.sendall(words)) as host:
        assert sentence in why(f"http://{host}/")


@pytest.mark.real
def test_nobody_there_is_one_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

    assert why(f"http://127.0.0.1:{port}/x") == f"http://127.0.0.1:{port}/x: Connection refused"


@pytest.mark.real
def test_redirects_are_followed_on_the_same_host() -> None:
    def answer(request: BaseHTTPRequestHandler) -> None:
        if request.path == "/end":
            says(200, request.headers["Authorization"].encode())(request)
        else:
            says(302, Location="/end")(request)

    with http_server(answer) as (host, _):
        body = transfer().get(f"http://user:word@{host}/start")

    assert body is not None
    assert body.data == b"Basic dXNlcjp3b3Jk"


@pytest.mark.real
@pytest.mark.parametrize(
    "location",
    [
        "http://169.254.169.254/latest/meta-data",
        "http://127.0.0.1:1/",
        "http://localhost/",
        "file:///etc/passwd",
        "ftp://127.0.0.1/",
        "//other.example/",
        "http://[bad/",
        "",
    ],
)
def test_redirects_to_anywhere_else_are_refused(location: str) -> None:
    """SM-16: nobody is led to another host, port or scheme, least of all to a file."""
    with http_server(says(302, Location=location)) as (host, _):
        text = why(f"http://{host}/x")

    assert text.startswith(f"http://{host}/x redirects to ")


@pytest.mark.real
def test_redirects_in_a_ring_end() -> None:
    with http_server(says(302, Location="/x")) as (host, _):
        assert why(f"http://{host}/x") == f"http://{host}/x redirects more than 5 times"


@pytest.mark.real
def test_credentials_and_headers_of_the_options_are_sent() -> None:
    seen: list[Any] = []

    def answer(request: BaseHTTPRequestHandler) -> None:
        seen.append(request.headers)
        says(200, BODY)(request)

    get = transfer(
        credentials=Credentials("user", Secret("wörd:")),
        headers={"X-Api-Key": Secret("abc"), "user-agent": Secret("meter reader")},
    ).get
    with http_server(answer) as (host, _):
        get(f"http://{host}/")

    assert seen[0]["Authorization"] == "Basic dXNlcjp3w7ZyZDo="
    assert (seen[0]["X-Api-Key"], seen[0]["User-Agent"]) == ("abc", "meter reader")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A PEM file: a key, and a certificate for 127.0.0.1 that it signs itself."""
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "meter")])
    now = datetime.now(UTC)
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path_factory.mktemp("tls") / "meter.pem"
    file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return file


@pytest.mark.real
def test_a_certificate_must_be_trusted(certificate: Path) -> None:
    """SM-16: https; a device's own certificate is trusted by CaFile alone."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    with http_server(says(200, BODY), context) as (host, port):
        body = transfer(ca_file=certificate).get(f"https://{host}/")
        refused = why(f"https://{host}/")
        misnamed = why(f"https://localhost:{port}/", ca_file=certificate)

    assert body is not None
    assert body.data == BODY
    assert "its certificate is not trusted: self-signed certificate" in refused
    assert "its certificate is not trusted: Hostname mismatch" in misnamed


@pytest.mark.real
def test_a_server_without_tls_is_one_sentence() -> None:
    with http_server(says(200, BODY)) as (host, _):
        assert why(f"https://{host}/x").startswith(f"https://{host}/x: no TLS: ")


# --- files


def test_a_file_is_read_whole(tmp_path: Path) -> None:
    """SM-16: file."""
    file = tmp_path / "read me.json"
    file.write_bytes(BODY)

    body = transfer().get(file.as_uri())

    assert body is not None
    assert (body.data, body.validators) == (BODY, Validators())


def test_a_file_that_cannot_be_read_is_one_sentence(tmp_path: Path) -> None:
    big, pipe = tmp_path / "big", tmp_path / "pipe"
    big.write_bytes(b"a" * 1001)
    os.mkfifo(pipe)

    assert why((tmp_path / "none").as_uri()) == f"{tmp_path}/none: No such file or directory"
    assert why(big.as_uri()) == f"{big} is larger than MaxBytes = 1000; nothing of it is taken"
    assert why(pipe.as_uri()) == f"{pipe} is no plain file"
    assert why(tmp_path.as_uri()) == f"{tmp_path}: Is a directory"


@pytest.mark.parametrize(
    ("address", "text"),
    [
        ("https://user:word@host.example:8443/a/b?key=abc#d", "https://host.example:8443/a/b"),
        ("file:///var/lib/x%20y.csv", "/var/lib/x y.csv"),
    ],
)
def test_what_is_shown_of_an_address_holds_no_secret(address: str, text: str) -> None:
    assert shown(address) == text
