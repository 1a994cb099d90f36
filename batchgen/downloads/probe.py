"""What the first bytes of a picture say of it. Pure; never raises for damaged bytes.

Read by hand: Pillow unpacks text and EXIF blocks of a header, and warns or fails over them, where
the two numbers are all that is asked; and it cannot tell a short header from a damaged one.

One look at an input image: what its first bytes and its server say of it.

The same guard as for results: no private address, no token, no way down from https.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from io import BytesIO
from typing import TYPE_CHECKING, Final, TypeAlias

import aiohttp
import imagesize  # type: ignore[import-untyped]  # it has types, but does not say so

from batchgen.concurrency import in_thread
from batchgen.downloads.fetch import read_block
from batchgen.downloads.media import (
    GIF,
    HEAD_BYTES,
    JPEG,
    PNG,
    STILL_BRANDS,
    WEBP,
    CorruptFileError,
    sniff,
)
from batchgen.downloads.outcomes import HostNotAllowed, Interrupted
from batchgen.downloads.responses import (
    CONTENT_RANGE,
    DIGITS,
    NETWORK_ERRORS,
    from_error,
    is_passing,
)
from batchgen.downloads.session import open_session
from batchgen.net import LOOPBACK_HOSTS, host_of
from batchgen.proxies import NONE, Proxies

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from aiohttp.abc import AbstractResolver
    from yarl import URL

    from batchgen.downloads.allowed_hosts import AllowedHosts
    from batchgen.downloads.session import GuardedSession


TAKEN: Final = "the vendor takes JPEG and PNG"
_NAMES = {WEBP: "a WebP picture", GIF: "a GIF picture"}


@dataclass(frozen=True, slots=True)
class Size:
    """Pixels, as stored: EXIF may ask viewers to turn the picture."""

    media_type: str
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class NoPicture:
    """Nothing that the vendor takes; `reason` in plain words."""

    reason: str


def read_header(head: bytes, *, is_whole: bool) -> Size | NoPicture | None:
    """None where more bytes are needed, which `is_whole` says there are not."""
    try:
        found = sniff(head[:HEAD_BYTES])
    except CorruptFileError as exc:
        return NoPicture(_other(head) or str(exc))
    if found not in {PNG, JPEG}:
        return NoPicture(f"it is {_NAMES.get(found, 'a video')}; {TAKEN}")
    width, height = imagesize.get(BytesIO(head))
    if width > 0 and height > 0:
        return Size(found.media_type, width, height)
    return NoPicture(f"the header of the {found.codec} is damaged or cut off") if is_whole else None


def _other(head: bytes) -> str | None:
    if head[4:8] == b"ftyp" and head[8:12] in STILL_BRANDS:
        return f"it is an AVIF or HEIC picture; {TAKEN}"
    if head.startswith(b"\x1f\x8b"):
        return "the server sent it compressed, although it was asked not to"
    return None


FIRST_BYTES = 64 * 1024
MOST_BYTES = 2 * 1024 * 1024
"""The size of a JPEG stands behind its EXIF and colour blocks, which can be long."""

_GONE = frozenset({HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND, HTTPStatus.GONE})


@dataclass(frozen=True, slots=True)
class ProbeSettings:
    """Times in seconds; `deadline` is for one look, so that a trickle is no answer either."""

    hosts: AllowedHosts
    connect_timeout: float = 10.0
    stall_timeout: float = 20.0
    deadline: float = 45.0
    proxies: Proxies = NONE


@dataclass(frozen=True, slots=True)
class Picture:
    """A JPEG or PNG. `bytes` is None where the server did not say."""

    media_type: str
    width: int
    height: int
    bytes: int | None


@dataclass(frozen=True, slots=True)
class NotUsable:
    """Asking again will not help: no picture, or one that the vendor does not take.

    `by_dns`: its host's name leads to a private address. Of a host that has been public that says
    nothing of the picture: a captive portal's DNS leads every name inside.
    """

    reason: str
    by_dns: bool = False


@dataclass(frozen=True, slots=True)
class Gone:
    """The server does not give it out (403, 404, 410): expired, or never there."""

    reason: str


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """The network's trouble, or the server's: nothing is known of the picture."""

    reason: str


Probed: TypeAlias = Picture | NotUsable | Gone | NoAnswer


@dataclass(frozen=True, slots=True)
class _Head:
    """`total` bytes in all; None where the server did not say."""

    content: bytes
    total: int | None


class Prober:
    """Made by `open_prober`. As many probes at once as its callers start."""

    def __init__(self, session: GuardedSession, settings: ProbeSettings) -> None:
        self._session = session
        self._settings = settings

    async def look(self, url: str) -> Probed:
        checked = self._settings.hosts.check(url)
        if isinstance(checked, HostNotAllowed):
            return NotUsable(checked.reason)
        try:
            async with asyncio.timeout(self._settings.deadline):
                return await self._look(checked)
        except NETWORK_ERRORS as exc:
            if isinstance(exc, aiohttp.ClientConnectorError) and host_of(checked) in LOOPBACK_HOSTS:
                # No network lies between: an emulator that ended, and may be back on another port.
                return Gone("nothing on this machine serves it any more")
            return _not_read(from_error(exc))

    async def _look(self, url: URL) -> Probed:
        for most in (FIRST_BYTES, MOST_BYTES):
            # From the first byte again: two parts could be of two files.
            head = await self._read(url, most)
            if not isinstance(head, _Head):
                return head
            whole = len(head.content) == head.total
            found = await in_thread(partial(read_header, head.content, is_whole=whole))
            match found:
                case Size(media_type, width, height):
                    return Picture(media_type, width, height, head.total)
                case NoPicture(reason):
                    return NotUsable(reason)
        return NotUsable(f"no size of the picture in its first {MOST_BYTES} bytes")

    async def _read(self, url: URL, most: int) -> _Head | NotUsable | Gone | NoAnswer:
        headers = {"Range": f"bytes=0-{most - 1}"}
        response = await self._session.get(url, headers)
        if not isinstance(response, aiohttp.ClientResponse):
            return _not_read(response)
        # Leaving a body unread closes its connection: of a whole file no more is taken than this.
        async with response:
            refusal = judge(response.status, response.headers)
            if refusal is not None:
                return refusal
            content = await read_block(response.content, most)
        total = announced_bytes(response.status, response.headers)
        return _Head(content, len(content) if total is None and len(content) < most else total)


def judge(status: int, headers: Mapping[str, str]) -> NotUsable | Gone | NoAnswer | None:
    """None for an answer that begins with the file's first byte."""
    if status == HTTPStatus.OK:
        return None
    if status == HTTPStatus.PARTIAL_CONTENT:
        found = CONTENT_RANGE.fullmatch(headers.get("Content-Range", ""))
        if found is not None and int(found[1]) == 0:
            return None
        return NotUsable("the server sent another part of it than was asked for")
    if status in _GONE:
        return Gone(f"the server answered {status}: it does not give this file out")
    if status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
        return NotUsable("the file is empty")
    if is_passing(status):
        return NoAnswer(f"the server answered {status}")
    return NotUsable(f"the server answered {status}")


def announced_bytes(status: int, headers: Mapping[str, str]) -> int | None:
    """The size of the whole file, of which an answer may be a part."""
    if status == HTTPStatus.PARTIAL_CONTENT:
        found = CONTENT_RANGE.fullmatch(headers.get("Content-Range", ""))
        return None if found is None or found[3] == "*" else int(found[3])
    length = headers.get("Content-Length", "")
    return int(length) if DIGITS.fullmatch(length) else None


def _not_read(found: HostNotAllowed | Interrupted) -> NotUsable | NoAnswer:
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
