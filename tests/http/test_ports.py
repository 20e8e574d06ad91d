"""Opening the port: what goes wrong with it, and TLS."""

from __future__ import annotations

import datetime
import errno
import io
import ipaddress
import json
import select
import socket
import ssl
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from twisted.internet.error import CannotListenError, ConnectionDone
from twisted.logger import ILogObserver, globalLogPublisher
from twisted.python.failure import Failure

from smapd.errors import ListenError
from smapd.http import Listener, listen
from smapd.http.ports import tls_options
from smapd.runtime.logs import start_logging

TOKEN = "0123456789abcdef" * 4


def make_certificate(folder: Path, name: str, password: bytes | None = None) -> tuple[str, str]:
    """A self-signed certificate for 127.0.0.1, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(names, critical=False)
        .sign(key, hashes.SHA256())
    )
    encryption: Any = (
        serialization.BestAvailableEncryption(password)
        if password
        else serialization.NoEncryption()
    )
    paths = folder / f"{name}.crt", folder / f"{name}.key"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
    )
    return str(paths[0]), str(paths[1])


class Refusing:
    """A reactor that cannot listen."""

    def __init__(self, number: int) -> None:
        self.number = number

    def listenTCP(self, port: int, site: Any, interface: str, backlog: int) -> Any:
        raise CannotListenError(interface, port, OSError(self.number, "the system's own words"))


@pytest.mark.parametrize(
    ("number", "why"),
    [
        (errno.EADDRINUSE, "it is in use by another program"),
        (errno.EACCES, "this user may not; ports below 1024 are for root"),
        (errno.EADDRNOTAVAIL, "this machine has no such address"),
        (errno.EMFILE, "the system's own words"),
    ],
)
def test_a_port_that_cannot_be_opened_is_one_sentence(served: Any, number: int, why: str) -> None:
    """SM-20: what, where, why."""
    failures: list[Any] = []

    listen(Refusing(number), served.site, Listener(port=80)).addErrback(failures.append)

    assert failures[0].check(ListenError)
    assert failures[0].value.message == f"Port 80 of 127.0.0.1 cannot be opened: {why}."


def test_certificates_that_cannot_be_used_are_one_sentence(served: Any, tmp_path: Path) -> None:
    """SEC-01: which file, and what is wrong with it."""
    certificate, key = make_certificate(tmp_path, "a")
    _, other_key = make_certificate(tmp_path, "b")
    _, locked_key = make_certificate(tmp_path, "c", b"secret")
    text = tmp_path / "text"
    text.write_text("no PEM")
    missing = str(tmp_path / "missing")
    for c, k, sentence in [
        (missing, key, f"Certificate {missing} cannot be read: No such file or directory."),
        (certificate, missing, f"PrivateKey {missing} cannot be read: No such file or directory."),
        (str(text), key, f"Certificate {text} is not a PEM certificate."),
        (key, key, f"Certificate {key} is not a PEM certificate."),
        (certificate, str(text), f"PrivateKey {text} is not a PEM key."),
        (certificate, certificate, f"PrivateKey {certificate} is not a PEM key."),
        (certificate, locked_key, f"PrivateKey {locked_key} is encrypted."),
        (
            certificate,
            other_key,
            f"PrivateKey {other_key} is not the key of Certificate {certificate}.",
        ),
    ]:
        failures: list[Any] = []
        listener = Listener(certificate=c, private_key=k)

        listen(None, served.site, listener).addErrback(failures.append)

        assert failures[0].check(ListenError)
        assert failures[0].value.message == sentence
        assert failures[0].value.hint


def test_a_certificate_with_its_chain_is_taken(tmp_path: Path) -> None:
    """SEC-01: the server's own first, others after it."""
    own, key = make_certificate(tmp_path, "own")
    other, _ = make_certificate(tmp_path, "other")
    both = tmp_path / "both.crt"
    both.write_text(Path(own).read_text() + Path(other).read_text())

    assert tls_options(str(both), key)
    reverse = tmp_path / "reverse.crt"
    reverse.write_text(Path(other).read_text() + Path(own).read_text())
    with pytest.raises(ListenError, match="is not the key of"):
        tls_options(str(reverse), key)


# --- real sockets

SERVER = """
    import sys
    from twisted.internet import reactor, stdio
    from twisted.internet.protocol import Protocol
    from smapd.access import Access
    from smapd.core import Intake, SmapInstance
    from smapd.http import HttpParts, Listener, listen, make_site
    from smapd.runtime import Clock, Status

    interface, token, certificate, key = (text or None for text in sys.argv[1:5])
    tree = SmapInstance("75503ac2-abf0-11e0-b7d6-0026bb56ec92")
    for n in range(5000):
        tree.add_timeseries(f"/c{n % 10}/s{n}", f"s{n}", "V")
    token = token and token.encode()
    # bound to loopback for the test, but under the rules of the interface named
    rules = Listener(interface, 0, token, certificate, key)
    parts = HttpParts(tree, Intake(tree), Access(token, rules.is_loopback), Status(),
                      lambda: "", lambda: "", "1")
    site = make_site(parts, rules, Clock(reactor))
    bound = Listener("127.0.0.1", 0, token, certificate, key)

    class Control(Protocol):
        def connectionLost(self, reason=None):
            reactor.stop()

    def ready(port):
        stdio.StandardIO(Control())
        print(site.bound_port, flush=True)

    reactor.callWhenRunning(lambda: listen(reactor, site, bound).addCallback(ready))
    reactor.run()
"""


class Running:
    """A server in a process of its own."""

    def __init__(
        self, interface: str, token: str = "", certificate: str = "", key: str = ""
    ) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error", "-W", "ignore:.*_Unsafe.*:DeprecationWarning"]
            + ["-c", textwrap.dedent(SERVER), interface, token, certificate, key],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())

    def connect(self, context: ssl.SSLContext | None = None) -> socket.socket:
        sock = socket.create_connection(("127.0.0.1", self.port), timeout=10)
        return context.wrap_socket(sock, server_hostname="127.0.0.1") if context else sock

    def memory_bytes(self) -> int:
        """What the process has of the machine's memory."""
        return int(psutil.Process(self.process.pid).memory_info().rss)

    def untaken_bytes(self, context: ssl.SSLContext | None = None) -> int:
        """What its /status says of answers that no client takes."""
        with self.connect(context) as sock:
            sock.sendall(b"GET /status HTTP/1.0\r\nHost: localhost\r\n\r\n")
            told = json.loads(read_all(sock).partition(b"\r\n\r\n")[2])
        return int(told["http"]["untaken_bytes"])

    def stop(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        assert self.process.wait(10) == 0
        self.process.stdout.close()


def read_all(sock: socket.socket) -> bytes:
    data = b""
    while piece := sock.recv(65536):
        data += piece
    return data


@pytest.fixture
def running(request: pytest.FixtureRequest) -> Iterator[Any]:
    started: list[Running] = []

    def start(*a: str) -> Running:
        started.append(Running(*a))
        return started[-1]

    yield start
    for server in started:
        server.stop()


@pytest.mark.real
def test_over_tls_every_request_needs_the_token(running: Any, tmp_path: Path) -> None:
    """SEC-01, SEC-02: TLS 1.2 or later, and the token, for reading too."""
    certificate, key = make_certificate(tmp_path, "a")
    server = running("0.0.0.0", TOKEN, certificate, key)
    context = ssl.create_default_context(cafile=certificate)

    answers = []
    for line in ("", f"Authorization: Bearer {TOKEN}\r\n", "Authorization: Bearer x\r\n"):
        with server.connect(context) as sock:
            assert sock.version() in ("TLSv1.2", "TLSv1.3")
            sock.sendall(
                f"GET /data HTTP/1.1\r\nHost: plant\r\n{line}Connection: close\r\n\r\n".encode()
            )
            answers.append(read_all(sock).split(b"\r\n")[0])

    assert answers == [
        b"HTTP/1.1 401 Unauthorized",
        b"HTTP/1.1 200 OK",
        b"HTTP/1.1 401 Unauthorized",
    ]


@pytest.mark.real
@pytest.mark.filterwarnings("ignore:.*TLSv1.*:DeprecationWarning")
def test_tls_1_1_is_refused(running: Any, tmp_path: Path) -> None:
    """SEC-01: TLS from 1.2 on."""
    certificate, key = make_certificate(tmp_path, "a")
    server = running("0.0.0.0", TOKEN, certificate, key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(certificate)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1

    with pytest.raises((ssl.SSLError, ConnectionError)):
        server.connect(context)


@pytest.mark.real
def test_a_port_in_use_is_refused_by_the_system_too(running: Any, served: Any) -> None:
    """SM-20: the real reactor's error becomes the same sentence."""
    from twisted.internet import reactor

    server = running("127.0.0.1")
    failures: list[Any] = []

    listen(reactor, served.site, Listener(port=server.port)).addErrback(failures.append)

    assert failures[0].value.message == (
        f"Port {server.port} of 127.0.0.1 cannot be opened: it is in use by another program."
    )


@pytest.mark.real
def test_a_client_that_is_refused_while_it_sends_reads_why(running: Any) -> None:
    """SEC-06: 20 MB are sent to the end, and the 413 arrives."""
    server = running("127.0.0.1")
    with server.connect() as sock:
        sock.sendall(
            b"POST /readings HTTP/1.1\r\nHost: localhost\r\nContent-Length: 20000000\r\n\r\n"
        )
        for _ in range(200):
            sock.sendall(b"x" * 100_000)
        data = read_all(sock)

    assert data.startswith(b"HTTP/1.1 413 ")
    assert json.loads(data.partition(b"\r\n\r\n")[2])["error"] == "too_large"


@pytest.mark.real
def test_a_large_tree_arrives_whole_at_a_slow_reader(running: Any) -> None:
    """SM-20: pausing and going on over a real socket loses nothing."""
    server = running("127.0.0.1")
    with server.connect() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        sock.sendall(b"GET /data/+ HTTP/1.0\r\nHost: localhost\r\n\r\n")
        data = b""
        while piece := sock.recv(5000):
            data += piece

    assert len(json.loads(data.partition(b"\r\n\r\n")[2])) == 5011


# --- a client that does not read


@pytest.mark.real
@pytest.mark.parametrize("secure", [False, True])
def test_answers_that_no_one_reads_do_not_gather(
    running: Any, tmp_path: Path, secure: bool
) -> None:
    """SEC-06: 1,000 answers of 80 kB, asked for and left lying, cost one; then all can be read."""
    certificate, key = make_certificate(tmp_path, "a")
    server = running("127.0.0.1", "", *((certificate, key) if secure else ()))
    context = ssl.create_default_context(cafile=certificate) if secure else None
    ask = b"GET /data/c0/+ HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with server.connect(context) as sock:
        sock.sendall(ask)
        first = b""
        while not first.endswith((b"]}}", b"0\r\n\r\n")):
            first += sock.recv(1_000_000)
        before = server.memory_bytes()

        sock.sendall(ask * 1000)
        # a request each, so the server gets on meanwhile; usually the first finds it stuck
        untaken = [server.untaken_bytes(context) for _ in range(50)]
        grown = server.memory_bytes() - before

        assert grown < 16e6
        assert 50_000 < untaken[-1] < 200_000
        sock.sendall(b"GET /data HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        count, tail = 0, b""
        while piece := sock.recv(1_000_000):
            tail += piece
            count += tail.count(b"HTTP/1.1 200 OK")
            tail = tail[-14:]
    assert count == 1001


@pytest.mark.real
@pytest.mark.parametrize("path", [b"/data/+", b"/data/c0/+", b"/data"])
def test_requests_behind_an_answer_that_no_one_reads_stay_outside(
    running: Any, path: bytes
) -> None:
    """SEC-06: the socket is not read on, so the client cannot send on; memory stays as it is."""
    server = running("127.0.0.1")
    asks = (b"GET %b HTTP/1.1\r\nHost: localhost\r\n\r\n" % path) * 20_000
    before = server.memory_bytes()
    with server.connect() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65_536)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        sock.setblocking(False)

        sent = 0
        while sent < 40e6 and select.select([], [sock], [], 1.0)[1]:
            sent += sock.send(asks)

        assert sent < 40e6
        assert server.memory_bytes() - before < 16e6


# --- the log


@pytest.mark.real
@pytest.mark.parametrize(("level", "lines"), [("info", 0), ("debug", 2)])
def test_a_port_opens_and_closes_without_a_word_of_twisted(
    served: Any, level: str, lines: int
) -> None:
    """SM-20: the daemon says itself where it listens; at level debug Twisted's lines are there."""
    from twisted.internet import reactor

    stream = io.StringIO()

    def begin(observers: list[ILogObserver], redirectStandardIO: bool) -> None:
        for observer in observers:
            globalLogPublisher.addObserver(observer)

    log = start_logging(stream, level=level, take_prints=False, begin=begin)
    opened: list[Any] = []

    listen(reactor, served.site, Listener(port=0)).addCallback(opened.append)
    # what stopListening() does in the next turn of the reactor, which does not run here
    opened[0].stopReading()
    opened[0].connectionLost(Failure(ConnectionDone()))
    log.stop()

    assert stream.getvalue().count("\n") == lines
