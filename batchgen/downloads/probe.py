"""Probes an input image: its type and size, from its first bytes and its server's headers.

The same guards as for results: no private address, no token, no downgrade from https.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from http import HTTPStatus
from io import BytesIO
from typing import TYPE_CHECKING, Final, TypeAlias

import aiohttp

from batchgen.concurrency import in_thread
from batchgen.downloads.allowed_hosts import HostNotAllowed
from batchgen.downloads.fetch import read_block
from batchgen.downloads.headers import is_avif_or_heic, pixels_of
from batchgen.downloads.media import (
    GIF,
    HEAD_BYTES,
    JPEG,
    PNG,
    WEBP,
    CorruptFileError,
    sniff,
)
from batchgen.downloads.responses import (
    CONTENT_RANGE,
    DIGITS,
    NETWORK_ERRORS,
    from_error,
    is_transient,
)
from batchgen.downloads.session import open_session
from batchgen.net import LOOPBACK_HOSTS, host_of
from batchgen.proxies import NO_PROXIES, Proxies

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from aiohttp.abc import AbstractResolver
    from yarl import URL

    from batchgen.downloads.allowed_hosts import AllowedHosts
    from batchgen.downloads.outcomes import Interrupted
    from batchgen.downloads.session import GuardedSession


ACCEPTED: Final = "the vendor takes JPEG and PNG"
_FORMAT_NAMES = {WEBP: "a WebP picture", GIF: "a GIF picture"}


FIRST_BYTES = 64 * 1024
MAX_HEAD_BYTES = 2 * 1024 * 1024
"""A JPEG's size comes after its EXIF and colour blocks, which can be long."""

_GONE = frozenset({HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND, HTTPStatus.GONE})


@dataclass(frozen=True, slots=True)
class ProbeSettings:
    """Times in seconds; `deadline` limits a whole probe, so that a trickling body ends, too."""

    hosts: AllowedHosts
    connect_timeout: float = 10.0
    stall_timeout: float = 20.0
    deadline: float = 45.0
    proxies: Proxies = NO_PROXIES


@dataclass(frozen=True, slots=True)
class Picture:
    """A JPEG or PNG. `bytes` is None if the server did not say."""

    media_type: str
    width: int
    height: int
    bytes: int | None


@dataclass(frozen=True, slots=True)
class NotUsable:
    """Trying again will not help: not a picture, or one that the vendor does not take.

    `by_dns`: its host's name resolves to a private address. If the host was public before, this
    says nothing about the picture: a captive portal's DNS does that with every name.
    """

    reason: str
    by_dns: bool = False


@dataclass(frozen=True, slots=True)
class Gone:
    """The server does not serve it (403, 404, 410): expired, or never there."""

    reason: str


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """The network or the server failed: nothing is known about the picture."""

    reason: str


Probed: TypeAlias = Picture | NotUsable | Gone | NoAnswer


def read_header(head: bytes, *, is_whole: bool) -> Picture | NotUsable | None:
    """Return None if more bytes are needed; `is_whole` means that there are no more.

    Width and height are as stored: EXIF may ask viewers to rotate the picture.
    """
    try:
        found = sniff(head[:HEAD_BYTES])
    except CorruptFileError as exc:
        return NotUsable(_unaccepted_format(head) or str(exc))
    if found not in {PNG, JPEG}:
        return NotUsable(f"it is {_FORMAT_NAMES.get(found, 'a video')}; {ACCEPTED}")
    if (pixels := pixels_of(BytesIO(head))) is not None:
        return Picture(found.media_type, *pixels, None)
    return NotUsable(f"the header of the {found.codec} is damaged or cut off") if is_whole else None


def _unaccepted_format(head: bytes) -> str | None:
    if is_avif_or_heic(head):
        return f"it is an AVIF or HEIC picture; {ACCEPTED}"
    if head.startswith(b"\x1f\x8b"):
        return "the server sent it compressed, although it was asked not to"
    return None


@dataclass(frozen=True, slots=True)
class _Head:
    """`total` is the size of the whole file; None if the server did not say."""

    content: bytes
    total: int | None


class Prober:
    """Made by `open_prober`. Callers decide how many probes run at once."""

    def __init__(self, session: GuardedSession, settings: ProbeSettings) -> None:
        self._session = session
        self._settings = settings

    async def probe(self, url: str) -> Probed:
        checked = self._settings.hosts.check(url)
        if isinstance(checked, HostNotAllowed):
            return NotUsable(checked.reason)
        try:
            async with asyncio.timeout(self._settings.deadline):
                return await self._probe(checked)
        except NETWORK_ERRORS as exc:
            if isinstance(exc, aiohttp.ClientConnectorError) and host_of(checked) in LOOPBACK_HOSTS:
                # Not a network problem: the emulator has ended, and may be back on another port.
                return Gone("nothing on this machine serves it any more")
            return _from_failure(from_error(exc))

    async def _probe(self, url: URL) -> Probed:
        for size in (FIRST_BYTES, MAX_HEAD_BYTES):
            # From the first byte again: two ranges could come from two versions of the file.
            head = await self._read(url, size)
            if not isinstance(head, _Head):
                return head
            whole = len(head.content) == head.total
            found = await in_thread(partial(read_header, head.content, is_whole=whole))
            if found is not None:
                return replace(found, bytes=head.total) if isinstance(found, Picture) else found
        return NotUsable(f"no size of the picture in its first {MAX_HEAD_BYTES} bytes")

    async def _read(self, url: URL, size: int) -> _Head | NotUsable | Gone | NoAnswer:
        headers = {"Range": f"bytes=0-{size - 1}"}
        response = await self._session.get(url, headers)
        if not isinstance(response, aiohttp.ClientResponse):
            return _from_failure(response)
        # Leaving the rest unread closes the connection: no more than this is downloaded.
        async with response:
            refusal = refusal_of(response.status, response.headers)
            if refusal is not None:
                return refusal
            content = await read_block(response.content, size)
        total = announced_bytes(response.status, response.headers)
        return _Head(content, len(content) if total is None and len(content) < size else total)


def refusal_of(status: int, headers: Mapping[str, str]) -> NotUsable | Gone | NoAnswer | None:
    """Return None for a response that begins with the file's first byte."""
    if status == HTTPStatus.OK:
        return None
    if status == HTTPStatus.PARTIAL_CONTENT:
        found = CONTENT_RANGE.fullmatch(headers.get("Content-Range", ""))
        if found is not None and int(found[1]) == 0:
            return None
        return NotUsable("the server did not send the part of it that was asked for")
    if status in _GONE:
        return Gone(f"the server answered {status}: it does not serve this file")
    if status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
        return NotUsable("the file is empty")
    if is_transient(status):
        return NoAnswer(f"the server answered {status}")
    return NotUsable(f"the server answered {status}")


def announced_bytes(status: int, headers: Mapping[str, str]) -> int | None:
    """Return the size of the whole file, even if the response is a part of it."""
    if status == HTTPStatus.PARTIAL_CONTENT:
        found = CONTENT_RANGE.fullmatch(headers.get("Content-Range", ""))
        return None if found is None or found[3] == "*" else int(found[3])
    length = headers.get("Content-Length", "")
    return int(length) if DIGITS.fullmatch(length) else None


def _from_failure(found: HostNotAllowed | Interrupted) -> NotUsable | NoAnswer:
    if isinstance(found, HostNotAllowed):
        return NotUsable(found.reason, by_dns=found.by_dns)
    return NoAnswer(found.reason)


@asynccontextmanager
async def open_prober(
    settings: ProbeSettings, *, resolver: AbstractResolver | None = None
) -> AsyncIterator[Prober]:
    async with open_session(
        settings.hosts,
        resolver,
        connect_timeout=settings.connect_timeout,
        stall_timeout=settings.stall_timeout,
        proxies=settings.proxies,
    ) as session:
        yield Prober(session, settings)
