"""TLS of one report: which authorities it trusts, and the certificate it shows."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from OpenSSL import SSL, crypto
from service_identity import CertificateError, VerificationError
from service_identity.cryptography import (
    verify_certificate_hostname,
    verify_certificate_ip_address,
)
from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.ssl import (
    Certificate,
    CertificateOptions,
    TLSVersion,
    platformTrust,
    trustRootFromCertificates,
)
from twisted.web.iweb import IPolicyForHTTPS
from zope.interface import implementer

from smapd.options import read_regular

_MOST_PEM: Final = 1024 * 1024


class TlsFilesUnusable(Exception):
    """A file of ClientCert, Key or CA cannot be used; the text says which, and why."""


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files, as the options of a report name them.

    ``client_cert``: our certificate, then those between it and its authority; ``key``: its private
    key, by default in the same file; ``ca``: the authorities trusted in place of the system's.
    """

    client_cert: Path | None = None
    key: Path | None = None
    ca: Path | None = None

    def check(self) -> None:
        """Read them once. Blocks on the files.

        :raises TlsFilesUnusable: naming the first that cannot be used.
        """
        _load(self)

    def _stamp(self) -> tuple[tuple[int, int], ...]:
        stamps = []
        for path in (self.client_cert, self.key, self.ca):
            if path is not None:
                try:
                    found = os.stat(path)
                    stamps.append((found.st_mtime_ns, found.st_size))
                except OSError:
                    stamps.append((0, 0))
        return tuple(stamps)


@implementer(IPolicyForHTTPS)
class TlsPolicy:
    """Makes the TLS side of each connection. Certificates renewed on disk are read again.

    ``verdict``: why the last certificate was not accepted; "" if it was, or none came.
    """

    def __init__(self, files: TlsFiles) -> None:
        self._files = files
        self._stamp: object = None
        self._loaded: Any = None
        self.verdict = ""

    def creatorForNetloc(self, hostname: bytes, port: int) -> IOpenSSLClientConnectionCreator:
        """The TLS side of a connection to that host.

        :raises TlsFilesUnusable: if a file cannot be used.
        """
        stamp = self._files._stamp()
        if stamp != self._stamp:
            self._loaded = _load(self._files)
            self._stamp = stamp
        return _Creator(self._loaded, hostname.decode("ascii"), self)


@implementer(IOpenSSLClientConnectionCreator)
class _Creator:
    """Checks authority, dates and host name as Twisted's own does, and notes what was wrong.

    OpenSSL's error says only that a certificate failed. A connection has one place for a check, so
    it cannot be had beside Twisted's.
    """

    def __init__(self, options: CertificateOptions, host: str, policy: TlsPolicy) -> None:
        self._options, self._host, self._policy = options, host, policy
        self._is_name = not (isIPAddress(host) or isIPv6Address(host))

    def clientConnectionForTLS(self, tlsProtocol: Any) -> SSL.Connection:
        """Our side of a new connection."""
        connection: SSL.Connection = self._options.clientConnectionForTLS(tlsProtocol)
        if self._is_name:
            connection.set_tlsext_host_name(self._host.encode("ascii"))
        connection.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, self._judge)
        return connection

    def _judge(
        self, connection: SSL.Connection, shown: crypto.X509, error: int, depth: int, ok: int
    ) -> bool:
        """Whether this certificate of the chain passes; what is raised here counts as no."""
        if not ok:
            self._policy.verdict = _VERDICTS.get(error, f"it does not pass (OpenSSL error {error})")
            return False
        if depth == 0:
            check = verify_certificate_hostname if self._is_name else verify_certificate_ip_address
            try:
                check(shown.to_cryptography(), self._host)
            except (VerificationError, CertificateError):
                self._policy.verdict = "it is for another host"
                return False
        return True


def _load(files: TlsFiles) -> CertificateOptions:
    own: dict[str, Any] = {}
    trust: Any = platformTrust()  # type: ignore[no-untyped-call]
    if files.ca is not None:
        trust = trustRootFromCertificates(  # type: ignore[no-untyped-call]
            [
                Certificate.loadPEM(one.public_bytes(Encoding.PEM))
                for one in _certificates("CA", files.ca)
            ]
        )
    if files.client_cert is not None:
        first, *chain = _certificates("ClientCert", files.client_cert)
        key = _key(files.key or files.client_cert)
        if first.public_key() != key.public_key():
            raise TlsFilesUnusable(
                f"Key = {files.key or files.client_cert}: it is not the key of {files.client_cert}"
            )
        own.update(privateKey=key, certificate=first, extraCertChain=chain)
    return CertificateOptions(trustRoot=trust, raiseMinimumTo=TLSVersion.TLSv1_2, **own)


def _certificates(option: str, path: Path) -> list[x509.Certificate]:
    text = _read(option, path)
    if b"-----BEGIN CERTIFICATE-----" not in text:
        raise TlsFilesUnusable(
            f"{option} = {path}: there is no certificate in it, PEM was expected"
        )
    try:
        return x509.load_pem_x509_certificates(text)
    except ValueError:
        raise TlsFilesUnusable(f"{option} = {path}: a certificate in it is damaged") from None


def _key(path: Path) -> Any:
    try:
        return load_pem_private_key(_read("Key", path), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise TlsFilesUnusable(
            f"Key = {path}: there is no private key in it that opens without a passphrase"
        ) from None


def _read(option: str, path: Path) -> bytes:
    try:
        return read_regular(path, _MOST_PEM)
    except OSError as error:
        why = error.strerror or "unreadable"
        raise TlsFilesUnusable(f"{option} = {path}: cannot be read: {why}") from error


_VERDICTS: Final = {
    2: "its authority is not known",
    9: "it is not valid yet: compare the clocks",
    10: "it has expired",
    18: "it is signed by itself: name it as CA to trust it",
    19: "its authority is not known: name it as CA to trust it",
    20: "its authority is not known: name it as CA to trust it",
    21: "its authority is not known: the certificates between are missing",
    23: "it was revoked",
    24: "its authority may not sign certificates",
    26: "it is not for a server",
    66: "its key is too weak",
    67: "its authority's key is too weak",
    68: "its signature is of a kind too weak",
}
"""OpenSSL's verification errors, in words."""
