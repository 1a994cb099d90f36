"""Results as the page gets them: from a folder, or through this server from a bucket."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from functools import partial
from typing import TYPE_CHECKING

from aiohttp import ETag, web

from batchgen.concurrency import in_daemon_thread
from batchgen.errors import BatchgenError
from batchgen.storage.locations import FolderLocation
from batchgen.storage.results import open_results

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from batchgen.state.records import Result
    from batchgen.storage.locations import BucketLocation, Location
    from batchgen.storage.results import Results

ASK_FIRST = "private, no-cache"
STATE = "state.db"
"""The state, its log and its index begin so."""


def original(root: Path, name: str) -> Path | None:
    """Where the file is, if it is a plain one below the run's folder, and no link leads to it.

    The state says `name`; but a state may be somebody else's, and a link may stand in its way.
    Never the state itself: who opens and closes it takes away the locks that SQLite has on it
    in this process (sqlite.org/howtocorrupt.html, 2.2).
    """
    try:
        home = root.resolve(strict=True)
        wanted = home / name
        found = wanted.resolve(strict=True)
    except (OSError, ValueError, RuntimeError):
        return None
    if found != wanted or home not in found.parents or not found.is_file():
        return None
    if found.parent == home and found.name.casefold().startswith(STATE):
        return None
    return found


def may_be_read(location: Location, name: str) -> bool:
    """Whether a file may be read for a page. A bucket has no links, and no state."""
    return not isinstance(location, FolderLocation) or original(location.root, name) is not None


MIB = 1024 * 1024
LARGEST_KEPT = 16 * MIB
MOST_KEPT = 128 * MIB


class Recent:
    """What was read last of a bucket, in memory: people go back and forth between pictures."""

    def __init__(self, most: int = MOST_KEPT) -> None:
        self._most = most
        self._size = 0
        self._kept: OrderedDict[str, bytes] = OrderedDict()

    def get(self, sha256: str) -> bytes | None:
        content = self._kept.get(sha256)
        if content is not None:
            self._kept.move_to_end(sha256)
        return content

    def add(self, sha256: str, content: bytes) -> None:
        if sha256 in self._kept:
            return
        self._kept[sha256] = content
        self._size += len(content)
        while self._size > self._most:
            _, dropped = self._kept.popitem(last=False)
            self._size -= len(dropped)


class Originals:
    """Answers with files, whole or in ranges, as players ask for them."""

    def __init__(self) -> None:
        self._recent = Recent()

    async def response(
        self, request: web.Request, location: Location, file: Result
    ) -> web.StreamResponse:
        headers = {"Content-Type": file.media_type, "Cache-Control": ASK_FIRST}
        if not isinstance(location, FolderLocation):
            return await self._through(request, location, file, headers)
        found = await asyncio.to_thread(original, location.root, file.path)
        if found is None:
            raise web.HTTPNotFound
        return web.FileResponse(found, headers=headers)

    async def _through(
        self, request: web.Request, location: BucketLocation, file: Result, headers: dict[str, str]
    ) -> web.StreamResponse:
        """Raises the bucket's errors, unless the answer has begun: then it breaks off."""
        if ETag(file.sha256) in (request.if_none_match or ()):
            # The browser has it: nothing is read.
            unchanged = web.Response(status=304, headers=headers)
            unchanged.etag = file.sha256
            return unchanged
        start, stop, is_part = wanted_range(request, file)
        response = web.StreamResponse(status=206 if is_part else 200, headers=headers)
        response.etag = file.sha256
        response.content_length = stop - start
        response.headers["Accept-Ranges"] = "bytes"
        if is_part:
            response.headers["Content-Range"] = f"bytes {start}-{stop - 1}/{file.bytes}"
        if request.method == "HEAD":
            return response
        results = await in_daemon_thread(partial(open_results, location), "open the bucket")
        blocks = self._blocks(results, file, start, stop)
        first = await anext(blocks, b"")
        await response.prepare(request)
        try:
            await response.write(first)
            async for block in blocks:
                await response.write(block)
        except (BatchgenError, OSError):
            # Too late for a status: a page sees that the file is cut off.
            if request.transport is not None:
                request.transport.abort()
        return response

    async def _blocks(
        self, results: Results, file: Result, start: int, stop: int
    ) -> AsyncIterator[bytes]:
        """Raises HTTPNotFound before the first block, and the bucket's errors."""
        content = self._recent.get(file.sha256)
        if content is None and file.bytes <= LARGEST_KEPT:
            content = b"".join([block async for block in _read(results, file, 0, file.bytes)])
            self._recent.add(file.sha256, content)
        if content is not None:
            yield content[start:stop]
            return
        async for block in _read(results, file, start, stop):
            yield block


async def _read(results: Results, file: Result, start: int, stop: int) -> AsyncIterator[bytes]:
    opened = results.stream(file.path, start, stop)
    try:
        reading = await in_daemon_thread(opened.__enter__, "read of a bucket")
    except FileNotFoundError as exc:
        raise web.HTTPNotFound from exc
    if reading.stamp.bytes != file.bytes:
        raise web.HTTPNotFound(text="another file is in its place")
    ended: Iterator[bytes] = reading.blocks
    while block := await in_daemon_thread(partial(next, ended, b""), "read of a bucket"):
        yield block


def wanted_range(request: web.Request, file: Result) -> tuple[int, int, bool]:
    """Return start, end, and whether only a part is wanted.

    Raises HTTPRequestRangeNotSatisfiable. For an older content, the whole new one is sent.
    """
    if request.headers.get("If-Range", f'"{file.sha256}"') != f'"{file.sha256}"':
        return 0, file.bytes, False
    try:
        wanted = request.http_range
    except ValueError:
        wanted = slice(file.bytes, None)
    start, stop, _ = wanted.indices(file.bytes)
    if start >= stop:
        raise web.HTTPRequestRangeNotSatisfiable(headers={"Content-Range": f"bytes */{file.bytes}"})
    return start, stop, (wanted.start, wanted.stop) != (None, None)
