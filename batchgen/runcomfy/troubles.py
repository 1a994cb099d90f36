"""What aiohttp's exceptions prove. The one place that knows them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError

from batchgen.runcomfy.outcomes import Halted, NotSent, PauseCause, Unclear
from batchgen.runcomfy.text import plain_text

if TYPE_CHECKING:
    from yarl import URL

    from batchgen.downloads.proxies import Proxies

NETWORK_TROUBLES = (aiohttp.ClientError, HttpProcessingError, OSError)
"""All that a request can raise for reasons outside this program; timeouts are OSErrors too."""


def trouble_of(exc: BaseException) -> NotSent | Halted | Unclear:
    """Say what is known of a request that ended in `exc`.

    Proof that nothing was sent is only an exception that the connector raises, before there is a
    connection: DNS, refused, TLS, no answer while connecting, no free connection. All others may
    come after the first byte, even that of a connection which was dead before it was used.
    """
    if isinstance(exc, aiohttp.ClientHttpProxyError):
        # The answer to CONNECT: the way to the API was not open yet.
        return NotSent(f"the proxy answered {exc.status}")
    if isinstance(exc, aiohttp.ClientConnectorCertificateError):
        return Halted(PauseCause.BAD_CERTIFICATE, f"{exc.host}: {_detail(exc.certificate_error)}")
    if isinstance(exc, aiohttp.ClientConnectorDNSError):
        return NotSent(f"the name {exc.host} cannot be resolved ({_detail(exc.os_error)})")
    if isinstance(exc, aiohttp.ClientConnectorError):
        return NotSent(f"no connection to {exc.host}:{exc.port} ({_detail(exc.os_error)})")
    if isinstance(exc, aiohttp.ConnectionTimeoutError):
        return NotSent("no connection in time")
    return Unclear(_doubt(exc))


def explained(
    trouble: NotSent | Halted | Unclear, url: URL, proxies: Proxies
) -> NotSent | Halted | Unclear:
    """Add what the environment says of the way there, where that may be the cause."""
    words = proxies.about(url) if isinstance(trouble, NotSent) else ""
    if isinstance(trouble, Halted) and trouble.cause is PauseCause.BAD_CERTIFICATE:
        words = "; ".join(filter(None, (proxies.about(url), proxies.certificates)))
    return replace(trouble, reason=f"{trouble.reason}; {words}") if words else trouble


def _doubt(exc: BaseException) -> str:
    if isinstance(exc, TimeoutError):
        return "no answer in time"
    if isinstance(exc, aiohttp.ServerDisconnectedError):
        return "the server closed the connection without an answer"
    if isinstance(exc, aiohttp.ClientPayloadError):
        return "the connection ended in the middle of the answer"
    if isinstance(exc, (aiohttp.ClientResponseError, HttpProcessingError)):
        # Its text quotes the server's bytes and its repr the request's headers, token and all.
        return "the answer is not HTTP"
    if isinstance(exc, OSError):
        return f"the connection was lost ({_detail(exc)})"
    return f"the connection was lost ({type(exc).__name__})"


def _detail(exc: BaseException) -> str:
    """Give the system's own words, e.g. "Connection refused"."""
    words = exc.strerror if isinstance(exc, OSError) else None
    return plain_text(words or type(exc).__name__, 200)
