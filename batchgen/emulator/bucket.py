"""A bucket for rehearsals: objects are put, found, and fetched by URLs that expire.

`PUT /emulator/bucket/{key}` keeps the body whole or not at all; `HEAD` finds an object;
`POST /emulator/bucket/{key}/sign` with `{"seconds": 3600}` answers with a `url` that serves it for
so long; `GET` without a valid signature gets 403. No call needs a token.
"""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import quote

from aiohttp import web

from batchgen.emulator.deliveries import Answer, encoded, full_response
from batchgen.emulator.files import FileLinks, Lost, media_file, ranged
from batchgen.emulator.refusals import refusal, too_large, unknown_path
from batchgen.emulator.store import StoredObject

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from batchgen.emulator.contents import Contents, Upload
    from batchgen.emulator.faults import Fault
    from batchgen.emulator.store import Store

PATH = "/emulator/bucket/{key:.+}"
SIGN_PATH = "/emulator/bucket/{key:.+}/sign"
OWN_PATH = re.compile(r"/emulator/bucket/(?P<key>.+)")
MOST_BYTES = 256 * 1024 * 1024
LONGEST_SECONDS = 7 * 24 * 3600
"""As at S3."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """`key` signs URLs; `now` gives seconds since 1970."""

    store: Store
    contents: Contents
    key: bytes
    now: Callable[[], float]

    async def put(self, request: web.Request, _fault: Fault | None) -> Answer:
        if (request.content_length or 0) > MOST_BYTES:
            return too_large(MOST_BYTES)
        # Made and renamed in this thread: both take microseconds, as the writes do.
        with self.contents.upload() as upload:
            if not await _received(request, upload):
                return too_large(MOST_BYTES)
            stored = StoredObject(upload.keep(), request.content_type, upload.size)
        self.store.put_object(request.match_info["key"], stored)
        return Answer({"key": request.match_info["key"], "bytes": stored.bytes})

    async def head(self, request: web.Request) -> web.StreamResponse:
        stored = self.store.find_object(request.match_info["key"])
        if stored is None:
            return web.Response(status=HTTPStatus.NOT_FOUND)
        headers = {"Content-Length": str(stored.bytes), "ETag": f'"{stored.sha256[:32]}"'}
        return web.Response(headers=headers, content_type=stored.media_type)

    async def sign(self, request: web.Request, fault: Fault | None) -> Answer:
        try:
            seconds = json.loads(await request.read())["seconds"]
        except (ValueError, TypeError, KeyError, RecursionError):
            seconds = None
        if not isinstance(seconds, int | float) or not 0 < seconds <= LONGEST_SECONDS:
            return refusal(400, f"seconds must be a number up to {LONGEST_SECONDS}.")
        if fault is not None and fault.kind == "expired":
            # Not 0: the time in the URL is rounded, perhaps to a moment that is still to come.
            seconds = -1
        links = FileLinks(self.key, seconds)
        path = f"/emulator/bucket/{request.match_info['key']}"
        signed = links.url("", path, self.now()).removeprefix(path)
        return Answer({"url": f"{request.scheme}://{request.host}{quote(path)}{signed}"})

    async def get(self, request: web.Request) -> web.StreamResponse:
        found = await self.own(request.path, request.query)
        if isinstance(found, Lost):
            return full_response(encoded(refusal(HTTPStatus.FORBIDDEN, f"{found.reason}.")))
        stored = self.store.find_object(request.match_info["key"])
        if found is None or stored is None:
            return full_response(encoded(unknown_path(request.path)))
        return full_response(ranged(request, media_file(found, stored.media_type)))

    async def own(self, path: str, query: Mapping[str, str]) -> bytes | Lost | None:
        """Read an object by a signed URL, whatever its port; None for any other path."""
        found = OWN_PATH.fullmatch(path)
        if found is None:
            return None
        stored = self.store.find_object(found["key"])
        if stored is None:
            return None
        if not FileLinks(self.key, LONGEST_SECONDS).is_good(path, query, self.now()):
            return Lost("the URL has expired, or its signature is wrong")
        return await asyncio.to_thread(self.contents.read, stored.sha256)


async def _received(request: web.Request, upload: Upload) -> bool:
    """Take the body; False if there is too much of it. A client that leaves raises."""
    async for piece in request.content.iter_any():
        upload.write(piece)
        if upload.size > MOST_BYTES:
            return False
    return True
