"""The sink on real sockets: TLS as it fails in the field, the whole zoo, its neighbours."""

from __future__ import annotations

import gc
import os
import statistics
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from twisted.internet import reactor, ssl
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.protocol import Factory
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from smapd.runtime import Clock
from smapd.sinks import HttpSink, SinkLimits, TlsFiles
from smapd.sinks.http.tls import TlsFilesUnusable
from smapd.values import Accepted, Outcome, Payload, Retry
from tests.reports.zoo import ANIMALS, Animal, Eager, Server, answer, raw
from tests.sinks.certs import Authority, Pem

SHORT = SinkLimits(connect_s=1.0, silence_s=0.5, whole_s=1.0, linger_s=0.2)
WELL = Animal("well", answer("200 OK"), Accepted)


class _Real(TestCase):
    timeout = 60

    def setUp(self) -> None:
        self.clock = Clock(reactor)  # type: ignore[arg-type]
        self.servers: list[Server] = []
        self.addCleanup(self.clock.stop)

    def house(self, animal: Animal, tls: Any = None) -> int:
        """Serve it; the port."""
        factory = Factory()

        def build(addr: object) -> Server:
            self.servers.append(animal.make(reactor))
            return self.servers[-1]

        factory.buildProtocol = build  # type: ignore[method-assign,assignment]
        listen: Any = reactor
        if tls is None:
            port = listen.listenTCP(0, factory, interface="127.0.0.1")
        else:
            port = listen.listenSSL(0, factory, tls, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        number: int = port.getHost().port
        return number

    def sink(self, **how: Any) -> HttpSink:
        sink = HttpSink(reactor, self.clock, **how)
        self.addCleanup(self._close, sink)
        return sink

    async def _close(self, sink: HttpSink) -> None:
        sink.close()
        for server in self.servers:
            if not server.gone and server.transport is not None:
                server.transport.abortConnection()
        while not all(server.gone for server in self.servers):
            await deferLater(reactor, 0.01)  # type: ignore[arg-type]  # for sockets to be gone

    def post(self, sink: HttpSink, port: int, size: int = 1000, scheme: str = "http") -> Any:
        return sink.send(Payload(b"x" * size), f"{scheme}://127.0.0.1:{port}/add/KEY")


@pytest.mark.real
class Tls(_Real):
    """SM-28: client certificates and CA per report."""

    def setUp(self) -> None:
        super().setUp()
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.authority = Authority("ours")
        self.ca = self.folder / "ca.pem"
        self.ca.write_bytes(self.authority.pem)
        self.files = TlsFiles(ca=self.ca)

    def serve(self, pem: Pem, clients: bytes | None = None) -> int:
        trust = None
        if clients is not None:
            trust = ssl.trustRootFromCertificates([ssl.Certificate.loadPEM(clients)])
        options = ssl.CertificateOptions(
            privateKey=load_pem_private_key(pem.key, None),
            certificate=x509.load_pem_x509_certificate(pem.certificate),
            trustRoot=trust,
        )
        return self.house(WELL, options)

    async def outcome(self, port: int, files: TlsFiles) -> Outcome:
        found: Outcome = await self.post(self.sink(tls=files, limits=SHORT), port, scheme="https")
        return found

    async def test_a_ca_of_ones_own_is_trusted(self) -> None:
        port = self.serve(self.authority.sign("127.0.0.1"))

        self.assertEqual(await self.outcome(port, self.files), Accepted())

    async def test_an_expired_certificate_is_refused(self) -> None:
        port = self.serve(self.authority.sign("127.0.0.1", days=(-30, -1)))

        self.assertEqual(
            await self.outcome(port, self.files),
            Retry(None, "its TLS certificate was not accepted: it has expired"),
        )

    async def test_a_certificate_not_yet_valid_is_refused(self) -> None:
        port = self.serve(self.authority.sign("127.0.0.1", days=(1, 30)))

        why = (await self.outcome(port, self.files)).why  # type: ignore[union-attr]
        self.assertIn("not valid yet: compare the clocks", why)

    async def test_a_certificate_for_another_host_is_refused(self) -> None:
        for host, dialled in (
            ("other.example", "127.0.0.1"),
            ("127.0.0.2", "127.0.0.1"),
            ("other.example", "localhost"),
            ("127.0.0.1", "localhost"),
        ):
            port = self.serve(self.authority.sign(host))
            sink = self.sink(tls=self.files, limits=SHORT)

            outcome = await sink.send(Payload(b"x"), f"https://{dialled}:{port}/")

            self.assertEqual(
                outcome,
                Retry(None, "its TLS certificate was not accepted: it is for another host"),
            )
            self.assertEqual(self.servers[-1].bodies, [])

    async def test_a_host_name_is_checked_and_told_to_the_server(self) -> None:
        port = self.serve(self.authority.sign("localhost"))
        sink = self.sink(tls=self.files, limits=SHORT)

        self.assertEqual(await sink.send(Payload(b"x"), f"https://localhost:{port}/"), Accepted())

        connection = self.servers[-1].transport.getHandle()
        self.assertEqual(connection.get_servername(), b"localhost")

    async def test_an_unknown_authority_is_refused(self) -> None:
        port = self.serve(Authority("theirs").sign("127.0.0.1"))

        for files in (self.files, TlsFiles()):
            why = (await self.outcome(port, files)).why  # type: ignore[union-attr]
            self.assertIn("its authority is not known", why)
        self.assertEqual([server.bodies for server in self.servers if server.bodies], [])

    async def test_a_client_certificate_is_shown(self) -> None:
        port = self.serve(self.authority.sign("127.0.0.1"), clients=self.authority.pem)
        cert, key = self.authority.sign("meter-7").save(self.folder, "client")

        outcome = await self.outcome(port, TlsFiles(cert, key, self.ca))

        self.assertEqual(outcome, Accepted())
        handle = self.servers[-1].transport.getHandle()
        shown = handle.get_peer_certificate(as_cryptography=True)
        self.assertEqual(shown.subject.rfc4514_string(), "CN=meter-7")

    async def test_without_a_client_certificate_one_that_wants_it_says_no(self) -> None:
        port = self.serve(self.authority.sign("127.0.0.1"), clients=self.authority.pem)

        outcome = await self.outcome(port, self.files)

        self.assertIsInstance(outcome, Retry)

    async def test_certificates_renewed_on_disk_are_used(self) -> None:
        other = Authority("next")
        port = self.serve(other.sign("127.0.0.1"))
        sink = self.sink(tls=self.files, limits=SHORT)
        self.assertIsInstance(await self.post(sink, port, scheme="https"), Retry)

        self.ca.write_bytes(other.pem + self.authority.pem)

        self.assertEqual(await self.post(sink, port, scheme="https"), Accepted())

    async def test_no_tls_behind_https_is_said(self) -> None:
        plain = raw(b"HTTP/1.1 400 No\r\n\r\n")
        port = self.house(Animal("plain", plain, Retry, kind=Eager))

        outcome = await self.outcome(port, self.files)

        self.assertIn("TLS failed", outcome.why)  # type: ignore[union-attr]

    async def test_a_handshake_that_never_comes_ends(self) -> None:
        port = self.house(Animal("mute", lambda s: None, Retry, kind=Eager))

        outcome = await self.outcome(port, self.files)

        self.assertEqual(outcome, Retry(None, "no answer within 0.5 s"))

    async def test_a_missing_file_is_said_at_each_attempt(self) -> None:
        missing = self.folder / "none.pem"

        outcome = await self.outcome(1, TlsFiles(ca=missing))

        self.assertEqual(
            outcome, Retry(None, f"CA = {missing}: cannot be read: No such file or directory")
        )

    def test_files_that_cannot_serve_are_named(self) -> None:
        cert, key = self.authority.sign("a").save(self.folder, "a")
        other = self.authority.sign("b").save(self.folder, "b")[1]
        damaged = self.folder / "damaged.pem"
        damaged.write_bytes(cert.read_bytes().replace(b"M", b"-"))
        TlsFiles(cert, key, self.ca).check()

        for files, says in (
            (TlsFiles(cert), "there is no private key in it"),
            (TlsFiles(cert, other), "it is not the key of"),
            (TlsFiles(ca=key), "there is no certificate in it"),
            (TlsFiles(ca=damaged), "a certificate in it is damaged"),
        ):
            with self.assertRaises(TlsFilesUnusable) as raised:
                files.check()
            self.assertIn(says, str(raised.exception))


@pytest.mark.real
class Zoo(_Real):
    """SM-31: a dead, slow, hanging or lying consumer delays nobody else."""

    async def test_every_animal_ends_on_real_sockets(self) -> None:
        began = time.monotonic()
        found: list[Outcome] = await gatherResults(
            [
                self.post(self.sink(limits=SHORT), self.house(animal), animal.size)
                for animal in ANIMALS
            ]
        )

        self.assertLess(time.monotonic() - began, 15)
        wrong = [
            (animal.name, outcome)
            for animal, outcome in zip(ANIMALS, found, strict=True)
            if not isinstance(outcome, animal.ends)
        ]
        # One byte a second is beyond the short limits all the same; a socket may take sips whole.
        self.assertEqual([name for name, _ in wrong if name not in ("reads in sips",)], [])

    async def test_memory_is_flat_under_what_never_ends(self) -> None:
        floods = [a for a in ANIMALS if "endless" in a.name or "1xx for" in a.name]
        ports = [self.house(animal) for animal in floods]
        sinks = [self.sink(limits=SHORT) for _ in floods]
        process = psutil.Process(os.getpid())

        async def round_() -> int:
            for sink, port in zip(sinks, ports, strict=True):
                await self.post(sink, port)
            gc.collect()
            return int(process.memory_info().rss)

        for _ in range(3):
            before = await round_()
        for _ in range(10):
            after = await round_()

        self.assertLess(after - before, 5_000_000)

    async def test_neighbours_do_not_feel_it(self) -> None:
        """p99 of a good consumer's posts grows by at most a tenth, or 5 ms."""
        good, port = self.sink(), self.house(WELL)
        alone = await self.latencies(good, port)
        cages = [(self.sink(), self.house(animal), animal.size) for animal in ANIMALS]
        for _ in range(3):  # the machine has other work too: the best of three
            posts = [self.post(*cage) for cage in cages]
            done: Deferred[Any] = gatherResults(posts, consumeErrors=True)
            await deferLater(reactor, 0.5)  # type: ignore[arg-type]  # for the quick ones to be over
            beside = await self.latencies(good, port)
            for one in posts:
                one.cancel()
            done.addErrback(lambda _: None)
            if beside <= max(alone * 1.1, alone + 0.005):
                return
        self.fail(f"p99 went from {alone * 1000:.1f} to {beside * 1000:.1f} ms")

    async def latencies(self, sink: HttpSink, port: int) -> float:
        taken = []
        for _ in range(300):
            began = time.perf_counter()
            self.assertEqual(await self.post(sink, port), Accepted())
            taken.append(time.perf_counter() - began)
        return statistics.quantiles(taken, n=100)[98]
