"""What a response or a network error means for a download. Pure.

An error's own text is never used: it can contain the URL, and a signed URL is a key to the file.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, TypeAlias

import aiohttp

from batchgen.connections import PrivateAddressError
from batchgen.downloads.allowed_hosts import HostNotAllowed
from batchgen.downloads.outcomes import Corrupt, Interrupted, TooLarge, UrlExpired
from batchgen.downloads.resume import Resume, Sidecar, strong_etag
from batchgen.fs import TOO_MANY_OPEN
from batchgen.net import retry_after

if TYPE_CHECKING:
    from collections.abc import Mapping


MAX_RETRY_AFTER = 3600.0
REDIRECTS = frozenset({301, 302, 303, 307, 308})
CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)")
DIGITS = re.compile(r"\d{1,18}")


@dataclass(frozen=True, slots=True)
class Body:
    """The bytes from `offset` on, of `total` in all; None if the server did not say.

    `sidecar` is None if a later attempt could not continue from here.
    """

    offset: int
    total: int | None
    sidecar: Sidecar | None


@dataclass(frozen=True, slots=True)
class StartOver:
    """The `.part` belongs to another version of the file."""


Interpretation: TypeAlias = Body | StartOver | UrlExpired | TooLarge | Corrupt | Interrupted


def interpret(
    status: int, headers: Mapping[str, str], resume: Resume | None, max_bytes: int
) -> Interpretation:
    encoding = headers.get("Content-Encoding", "identity").lower()
    if status in {HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT} and encoding != "identity":
        # Never decompressed: a small body can hold a terabyte.
        return Corrupt("the file server sent the file compressed, although it was asked not to")
    if status == HTTPStatus.OK:
        return _capped(_whole(headers), max_bytes)
    if status == HTTPStatus.PARTIAL_CONTENT and resume is not None:
        rest = _remainder(headers, resume)
        return rest if isinstance(rest, StartOver) else _capped(rest, max_bytes)
    if status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and resume is not None:
        return StartOver()
    if is_transient(status):
        return Interrupted(
            f"the file server answered {status}", retry_after(headers, longest=MAX_RETRY_AFTER)
        )
    return UrlExpired(status, f"the file server answered {status}: the URL is no longer valid")


def _whole(headers: Mapping[str, str]) -> Body:
    length = headers.get("Content-Length", "")
    total = int(length) if DIGITS.fullmatch(length) else None
    etag = strong_etag(headers.get("ETag"))
    return Body(0, total, Sidecar(etag, total) if etag else None)


def _remainder(headers: Mapping[str, str], resume: Resume) -> Body | StartOver:
    """Compare the ETag although If-Range was sent: some caches ignore that header."""
    found = CONTENT_RANGE.fullmatch(headers.get("Content-Range", ""))
    if found is None or headers.get("ETag") != resume.sidecar.etag:
        return StartOver()
    start, total = int(found[1]), None if found[3] == "*" else int(found[3])
    known = resume.sidecar.total
    if start != resume.offset or (known is not None and total not in {known, None}):
        return StartOver()
    return Body(start, known if total is None else total, resume.sidecar)


def _capped(body: Body, max_bytes: int) -> Body | TooLarge:
    if body.total is not None and body.total > max_bytes:
        return TooLarge(body.total)
    return body


def is_transient(status: int) -> bool:
    transient = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS}
    is_client_error = HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR
    return status in transient or not is_client_error


NETWORK_ERRORS = (aiohttp.ClientError, TimeoutError, ConnectionError)
NetworkError: TypeAlias = aiohttp.ClientError | TimeoutError | ConnectionError


class TooSlowError(TimeoutError):
    """A body so slow that another file should be downloaded first."""


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
    is_local_limit = exc.os_error.errno in TOO_MANY_OPEN
    return Interrupted(f"no connection to {exc.host}: {why}", unreached=not is_local_limit)
