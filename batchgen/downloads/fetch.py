"""One download, from URL to outcome."""

from __future__ import annotations

import asyncio
import base64
import binascii
import os
from contextlib import asynccontextmanager, closing
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

import aiohttp

from batchgen.concurrency import in_thread
from batchgen.downloads.adopt import adopt, reused_part
from batchgen.downloads.allowed_hosts import HostNotAllowed
from batchgen.downloads.decoding import decode_in_process
from batchgen.downloads.media import HEAD_BYTES, CorruptFileError, sniff
from batchgen.downloads.outcomes import (
    Corrupt,
    Fetched,
    FetchOutcome,
    Interrupted,
    Target,
    TooLarge,
)
from batchgen.downloads.part import FolderSync, Part
from batchgen.downloads.responses import (
    NETWORK_ERRORS,
    Body,
    StartOver,
    TooSlowError,
    from_error,
    interpret,
    is_transient,
)
from batchgen.downloads.session import open_session
from batchgen.downloads.storing import Storing
from batchgen.errors import OpenFilesError
from batchgen.fs import disk_errors
from batchgen.processes import ProcessPool, cores

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from aiohttp.abc import AbstractResolver
    from yarl import URL

    from batchgen.downloads.adopt import AdoptOutcome
    from batchgen.downloads.media import MediaKind
    from batchgen.downloads.outcomes import DownloadSettings, VerifiedFile
    from batchgen.downloads.resume import Resume
    from batchgen.downloads.session import GuardedSession
    from batchgen.storage.locations import Location


MAX_DECODERS = 4
DATA = "data:"
NOT_BASE64 = "the data: URI is not base64"


class Downloader:
    """Made by `open_downloader`. Callers decide how many downloads run at once."""

    def __init__(
        self,
        session: GuardedSession,
        settings: DownloadSettings,
        fsync: Callable[[int], None],
        processes: ProcessPool,
        storing: Storing,
    ) -> None:
        self._session = session
        self._decode_in_process = partial(decode_in_process, processes)
        self._settings = settings
        self._fsync = fsync
        self._folders = FolderSync(fsync)
        self._storing = storing

    async def fetch(self, url: str, target: Target) -> FetchOutcome:
        """Download a file, continuing an earlier attempt's `.part` if it is still the same file.

        `url` may be a `data:` URI: then its content is stored and nothing is fetched. Nor is it if
        an earlier try only could not store it in the bucket. Raises OutputError, StorageError or
        DiskFullError if the disk fails, and BucketError. A cancellation leaves the `.part` for the
        next attempt.
        """
        if target.bucket is not None and not target.is_new:
            part = Part(target, self._fsync, self._decode_in_process)
            if verified := await in_thread(part.verified):
                return await self._durable(verified, part, target)
        if url.startswith(DATA):
            return await self._store_data(url, target)
        checked = self._settings.hosts.check(url)
        if isinstance(checked, HostNotAllowed):
            return checked
        part = Part(target, self._fsync, self._decode_in_process)
        try:
            resume = None if target.is_new else await in_thread(part.leftover)
            outcome = await self._attempt(checked, part, resume)
            if isinstance(outcome, StartOver):
                outcome = await self._attempt(checked, part, None)
        except NETWORK_ERRORS as exc:
            # Its connection keeps it until the garbage collector comes, which is seldom: without
            # its traceback, it does not keep the blocks of the file as well.
            return from_error(exc.with_traceback(None))
        except OpenFilesError as exc:
            return Interrupted(exc.what)  # other files will be closed: try again
        assert not isinstance(outcome, StartOver)
        return await self._durable(outcome, part, target)

    async def _durable(self, outcome: FetchOutcome, part: Part, target: Target) -> FetchOutcome:
        if not isinstance(outcome, Fetched):
            return outcome
        if target.bucket is None:
            await self._folders.sync((target.folder / target.name).parent, target.folder)
            return outcome
        stored = await self._storing.store(outcome, part.path, target.bucket, target.request)
        if isinstance(stored, Fetched):
            await in_thread(part.discard)
            # Or a loss of power could bring back what nobody looks for any more.
            await self._folders.sync(part.path.parent, target.folder)
        return stored

    async def _store_data(self, uri: str, target: Target) -> FetchOutcome:
        content = await in_thread(partial(data_uri_bytes, uri))
        if content is None:
            return Corrupt(NOT_BASE64)
        return await self.store(content, target)

    async def store(self, content: bytes, target: Target) -> FetchOutcome:
        """Store what came inside an answer. Raises as `fetch` does."""
        if len(content) > self._settings.max_bytes:
            return TooLarge(len(content))
        part = Part(target, self._fsync, self._decode_in_process)
        body = Body(0, len(content), None)
        outcome = await in_thread(partial(part.store_whole, content, body))
        return await self._durable(outcome, part, target)

    async def adopt(self, source: Location, expected: VerifiedFile, target: Target) -> AdoptOutcome:
        """Take a file of another run, whose results are in `source`. Raises as `fetch` does."""
        outcome = await in_thread(partial(adopt, source, expected, target, self._fsync))
        if not isinstance(outcome, Fetched):
            return outcome
        if target.bucket is None:
            final = target.folder / target.name
            await self._folders.sync(final.parent, target.folder)
            return outcome
        part = reused_part(target)
        stored = await self._storing.store(outcome, part, target.bucket, target.request)
        with disk_errors(part):
            part.unlink(missing_ok=True)
        await self._folders.sync(part.parent, target.folder)
        return stored

    async def peek(self, url: str) -> MediaKind | HostNotAllowed | Interrupted | None:
        """Return what a file is, by its first bytes: picture, video, or None for neither."""
        checked = self._settings.hosts.check(url)
        if isinstance(checked, HostNotAllowed):
            return checked
        headers = {"Range": f"bytes=0-{HEAD_BYTES - 1}"}
        try:
            response = await self._session.get(checked, headers)
            if not isinstance(response, aiohttp.ClientResponse):
                return response
            async with response:
                if response.status not in {HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT}:
                    transient = is_transient(response.status)
                    return Interrupted(f"HTTP {response.status}") if transient else None
                return sniff(await read_block(response.content, HEAD_BYTES)).kind
        except NETWORK_ERRORS as exc:
            return from_error(exc)
        except CorruptFileError:
            return None

    async def _attempt(
        self, url: URL, part: Part, resume: Resume | None
    ) -> FetchOutcome | StartOver:
        headers = resume.headers if resume else {}
        response = await self._session.get(url, headers)
        if not isinstance(response, aiohttp.ClientResponse):
            return response
        async with response:
            answer = interpret(response.status, response.headers, resume, self._settings.max_bytes)
            if isinstance(answer, Body):
                return await self._receive(response.content, part, answer)
        if isinstance(answer, TooLarge):
            await in_thread(part.discard)
        return answer

    async def _receive(self, content: aiohttp.StreamReader, part: Part, body: Body) -> FetchOutcome:
        blocks = _Blocks(content, self._settings)
        try:
            return await self._store(blocks, part, body)
        except NETWORK_ERRORS:
            if blocks.rest and body.sidecar is not None:
                if not part.is_open:
                    await in_thread(partial(part.open, body))
                await part.write(blocks.rest)
            raise
        finally:
            if part.is_open:
                await in_thread(part.close)

    async def _store(self, blocks: _Blocks, part: Part, body: Body) -> FetchOutcome:
        first = await blocks.next()
        is_whole = body.offset == 0 and len(first) < self._settings.block_bytes
        if is_whole and len(first) <= self._settings.max_bytes:
            return await in_thread(partial(part.store_whole, first, body))
        await in_thread(partial(part.open, body))
        return await self._stream(blocks, first, part, body)

    async def _stream(self, blocks: _Blocks, block: bytes, part: Part, body: Body) -> FetchOutcome:
        size = body.offset
        while block:
            size += len(block)
            if size > self._settings.max_bytes:
                await in_thread(part.discard)
                return TooLarge(size)
            await part.write(block)
            block = await blocks.next()
        return await in_thread(partial(part.publish, body.total))


class _Blocks:
    """Reads a body in blocks, and gives up on one that is too slow.

    `rest` is what arrived of the last block if the body broke off before the block was full.
    """

    def __init__(self, content: aiohttp.StreamReader, settings: DownloadSettings) -> None:
        self.rest = b""
        self._content = content
        self._settings = settings
        self._began = self._window = asyncio.get_running_loop().time()
        self._in_window = 0

    async def next(self) -> bytes:
        """Return `block_bytes`, fewer only at the end: few large writes, few thread hops.

        Raises TooSlowError and NETWORK_ERRORS.
        """
        size, block = self._settings.block_bytes, bytearray()
        try:
            while len(block) < size and (piece := await self._content.read(size - len(block))):
                block += piece
                self._check_rate(len(piece))
        except NETWORK_ERRORS:
            self.rest = bytes(block)
            raise
        return bytes(block)

    def _check_rate(self, received: int) -> None:
        now, settings = asyncio.get_running_loop().time(), self._settings
        self._in_window += received
        if now - self._began > settings.attempt_limit:
            raise TooSlowError(f"the file was not complete after {settings.attempt_limit:.0f} s")
        seconds = now - self._window
        if seconds < settings.rate_window:
            return
        if self._in_window < settings.min_rate * seconds:
            rate = self._in_window / seconds
            raise TooSlowError(f"the file came at {rate:.0f} bytes a second, which is too slow")
        self._window, self._in_window = now, 0


def data_uri_bytes(uri: str) -> bytes | None:
    """Return the content of a `data:` URI; None if it is not valid base64."""
    head, _, text = uri.partition(",")
    if not head.lower().endswith(";base64"):
        return unquote_to_bytes(text)
    try:
        return base64.b64decode(unquote_to_bytes(text))
    except binascii.Error:
        return None


async def read_block(content: aiohttp.StreamReader, size: int) -> bytes:
    """Read `size` bytes, fewer only at the end of the body."""
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
    """`resolver` and `fsync` are the ports to DNS and to the disk."""
    async with open_session(
        settings.hosts,
        resolver,
        connect_timeout=settings.connect_timeout,
        stall_timeout=settings.stall_timeout,
        proxies=settings.proxies,
    ) as session:
        with ProcessPool(min(cores(), MAX_DECODERS)) as processes, closing(Storing()) as storing:
            yield Downloader(session, settings, fsync, processes, storing)
