"""Errors of the network → why a download was interrupted.

Never the error's own text: it can carry the URL, and a signed URL is a key to the file.
"""

from __future__ import annotations

from typing import TypeAlias

import aiohttp

from batchgen.downloads.addresses import PrivateAddressError
from batchgen.downloads.disk import TOO_MANY_OPEN
from batchgen.downloads.outcomes import HostNotAllowed, Interrupted

NETWORK_ERRORS = (aiohttp.ClientError, TimeoutError, ConnectionError)
NetworkError: TypeAlias = aiohttp.ClientError | TimeoutError | ConnectionError


class TooSlowError(TimeoutError):
    """A body that comes, but so slowly that its place is better given to another file."""


def from_error(exc: NetworkError) -> Interrupted | HostNotAllowed:
    if isinstance(exc, aiohttp.ClientHttpProxyError):
        return Interrupted(f"the proxy (HTTPS_PROXY) answered {exc.status}", unreached=True)
    if isinstance(exc, aiohttp.ClientProxyConnectionError):
        return Interrupted("no connection to the proxy (HTTPS_PROXY)", unreached=True)
    if isinstance(exc, aiohttp.ClientConnectorError):
        return _not_connected(exc)
    if isinstance(exc, aiohttp.ConnectionTimeoutError):
        return Interrupted("no connection to the file server in time", unreached=True)
    if isinstance(exc, TooSlowError):
        return Interrupted(str(exc))
    if isinstance(exc, TimeoutError):
        return Interrupted("the file server stopped sending")
    if isinstance(exc, aiohttp.ClientPayloadError):
        return Interrupted("the file broke off before its end")
    if isinstance(exc, aiohttp.ServerDisconnectedError):
        return Interrupted("the file server closed the connection", unreached=True)
    if isinstance(exc, (aiohttp.ClientConnectionError, ConnectionError)):
        return Interrupted("the file server closed the connection")
    return Interrupted(f"the file server's answer cannot be read ({type(exc).__name__})")


def _not_connected(exc: aiohttp.ClientConnectorError) -> Interrupted | HostNotAllowed:
    if isinstance(exc.os_error, PrivateAddressError):
        return HostNotAllowed(exc.host, str(exc.os_error), by_dns=True)
    if isinstance(exc, aiohttp.ClientConnectorCertificateError):
        why = f"the certificate of {exc.host} is not trusted (SSL_CERT_FILE names yours)"
        return Interrupted(why, unreached=True)
    if isinstance(exc, aiohttp.ClientConnectorDNSError):
        return Interrupted(f"no address is known for {exc.host}", unreached=True)
    why = exc.os_error.strerror or "refused"
    ours = exc.os_error.errno in TOO_MANY_OPEN
    return Interrupted(f"no connection to {exc.host}: {why}", unreached=not ours)
