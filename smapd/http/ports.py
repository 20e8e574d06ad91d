"""Opening the port, with TLS where the listener has a certificate."""

# Twisted's own methods have no types.
# mypy: disable-error-code="no-untyped-call"
from __future__ import annotations

import errno
from functools import partial
from typing import TYPE_CHECKING, Any, Final, cast

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IOpenSSLContextFactory
from twisted.python import log

from smapd.errors import ListenError
from smapd.options import read_regular

from .listener import Listener

if TYPE_CHECKING:
    from .site import Site

_PEM_HINT: Final = "Give a file that begins with -----BEGIN."
_MOST_PEM: Final = 1024 * 1024
_CHATTER: Final = {"log_namespace": "twisted.internet.tcp"}
"""Makes what Twisted says of a port that opens or closes known as Twisted's chatter."""
_WHY: Final = {
    errno.EADDRINUSE: "it is in use by another program",
    errno.EACCES: "this user may not; ports below 1024 are for root",
    errno.EADDRNOTAVAIL: "this machine has no such address",
    errno.EAFNOSUPPORT: "this machine has no IPv6",
}


def listen(reactor: Any, site: Site, listener: Listener) -> Deferred[IListeningPort]:
    """Open the listener's port; on the reactor's thread. Reads the certificate, if there is one.

    ``site.bound_port`` is the port's number then, also where 0 was asked for.

    Fails with ListenError, one sentence: the port is taken or not allowed, the certificate or its
    key cannot be used.
    """
    where = {"interface": listener.interface, "backlog": 1024}
    try:
        if listener.certificate is not None and listener.private_key is not None:
            options = tls_options(listener.certificate, listener.private_key)
            begin = partial(reactor.listenSSL, listener.port, site, options, **where)
        else:
            begin = partial(reactor.listenTCP, listener.port, site, **where)
        port: Any = log.callWithContext(_CHATTER, begin)
    except ListenError as error:
        return fail(error)
    except CannotListenError as error:
        return fail(ListenError(_sentence(listener, error)))
    port.connectionLost = partial(log.callWithContext, _CHATTER, port.connectionLost)
    site.bound_port = port.getHost().port
    return succeed(port)


def tls_options(certificate: str, private_key: str) -> IOpenSSLContextFactory:
    """The TLS side of a port, 1.2 or later, from two PEM files.

    ``certificate``: the server's own first, then its chain.

    :raises ListenError: naming the file that cannot be used, and why.
    """
    # here, because a listener without TLS needs none of it, and it takes 100 ms to import
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import (
        load_pem_private_key,
    )
    from cryptography.x509 import load_pem_x509_certificates
    from OpenSSL import SSL
    from twisted.internet.ssl import CertificateOptions, TLSVersion

    try:
        chain = load_pem_x509_certificates(_read("Certificate", certificate))
    except ValueError:
        raise ListenError(
            f"Certificate {certificate} is not a PEM certificate.", hint=_PEM_HINT
        ) from None
    try:
        key: Any = load_pem_private_key(_read("PrivateKey", private_key), None)
    except TypeError:
        raise ListenError(
            f"PrivateKey {private_key} is encrypted.", hint="Give it without a passphrase."
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        raise ListenError(f"PrivateKey {private_key} is not a PEM key.", hint=_PEM_HINT) from None
    if chain[0].public_key() != key.public_key():
        raise ListenError(
            f"PrivateKey {private_key} is not the key of Certificate {certificate}.",
            hint="In Certificate the server's own comes first, its chain after it.",
        )
    own: Any
    own, *others = chain
    options = CertificateOptions(
        privateKey=key,
        certificate=own,
        extraCertChain=cast("list[Any]", others),
        raiseMinimumTo=TLSVersion.TLSv1_2,
    )
    try:
        options.getContext()  # now, not when the first client connects
    except SSL.Error as error:
        raise ListenError(f"Certificate {certificate} cannot be used: {error}.") from None
    return cast(IOpenSSLContextFactory, options)


def _read(key: str, path: str) -> bytes:
    try:
        return read_regular(path, _MOST_PEM)
    except OSError as error:
        raise ListenError(
            f"{key} {path} cannot be read: {error.strerror}.",
            hint="Name a PEM file that this user may read.",
        ) from None


def _sentence(listener: Listener, error: CannotListenError) -> str:
    number = getattr(error.socketError, "errno", None)
    why = _WHY.get(number or 0) or getattr(error.socketError, "strerror", "") or "no reason given"
    return f"Port {listener.port} of {listener.interface} cannot be opened: {why}."
