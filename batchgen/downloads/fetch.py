"""One download, from URL to outcome."""

from __future__ import annotations

import os
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

import aiohttp

from batchgen.downloads.answers import Body, StartOver, judge
from batchgen.downloads.folder_sync import FolderSync
from batchgen.downloads.network import NETWORK_ERRORS, from_error
from batchgen.downloads.outcomes import (
    Fetched,
    FetchOutcome,
    HostNotAllowed,
    Target,
    TooLarge,
)
from batchgen.downloads.part import Part
from batchgen.downloads.session import get, open_session
from batchgen.downloads.threads import in_thread

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from aiohttp.abc import AbstractResolver
    from yarl import URL

    from batchgen.downloads.resume import Resume
    from batchgen.downloads.settings import DownloadSettings


class Downloader:
    """Made by `open_downloader`. As many downloads at once as its callers start."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        settings: DownloadSettings,
        fsync: Callable[[int], None],
    ) -> None:
        self._session = session
        self._settings = settings
        self._fsync = fsync
        self._folders = FolderSync(fsync)

    async def fetch(self, url: str, target: Target) -> FetchOutcome:
        """Continue what an earlier attempt left as `.part`, where that is still the same file.

        Raises OutputError, StorageError or DiskFullError where the disk is the trouble. A
        cancellation leaves the `.part` for the next attempt.
        """
        checked = self._settings.hosts.check(url)
        if isinstance(checked, HostNotAllowed):
            return checked
        part = Part(target, self._fsync)
        resume = await in_thread(part.prepare)
        try:
            outcome = await self._attempt(checked, part, resume)
            if isinstance(outcome, StartOver):
                outcome = await self._attempt(checked, part, None)
        except NETWORK_ERRORS as exc:
            return from_error(exc)
        assert not isinstance(outcome, StartOver)
        if isinstance(outcome, Fetched):
            await self._folders.sync(part.path.parent, target.folder)
        return outcome

    async def _attempt(
        self, url: URL, part: Part, resume: Resume | None
    ) -> FetchOutcome | StartOver:
        headers = resume.headers if resume else {}
        response = await get(self._session, self._settings.hosts, url, headers)
        if not isinstance(response, aiohttp.ClientResponse):
            return response
        async with response:
            answer = judge(response.status, response.headers, resume, self._settings.max_bytes)
            if isinstance(answer, Body):
                return await self._receive(response.content, part, answer)
        if isinstance(answer, TooLarge):
            await in_thread(part.discard)
        return answer

    async def _receive(self, content: aiohttp.StreamReader, part: Part, body: Body) -> FetchOutcome:
        first = await read_block(content, self._settings.block_bytes)
        is_whole = body.offset == 0 and len(first) < self._settings.block_bytes
        if is_whole and len(first) <= self._settings.max_bytes:
            return await in_thread(partial(part.store_whole, first, body))
        try:
            await in_thread(partial(part.open, body))
            return await self._stream(content, first, part, body)
        finally:
            if part.is_open:
                await in_thread(part.close)

    async def _stream(
        self, content: aiohttp.StreamReader, block: bytes, part: Part, body: Body
    ) -> FetchOutcome:
        size = body.offset
        while block:
            size += len(block)
            if size > self._settings.max_bytes:
                await in_thread(part.discard)
                return TooLarge(size)
            await part.write(block)
            block = await read_block(content, self._settings.block_bytes)
        return await in_thread(partial(part.publish, body.total))


async def read_block(content: aiohttp.StreamReader, size: int) -> bytes:
    """Read `size` bytes, fewer only at the end of the body: few large writes, few thread hops."""
    block = bytearray()
    while len(block) < size and (piece := await content.read(size - len(block))):
        block += piece
    return bytes(block)


@asynccontextmanager
async def open_downloader(
    settings: DownloadSettings,
    *,
    resolver: AbstractResolver | None = None,
    fsync: Callable[[int], None] = os.fsync,
) -> AsyncIterator[Downloader]:
    """`resolver` and `fsync` are the doors to DNS and to the disk."""
    async with open_session(
        settings.hosts,
        resolver,
        connect_timeout=settings.connect_timeout,
        stall_timeout=settings.stall_timeout,
    ) as session:
        yield Downloader(session, settings, fsync)
