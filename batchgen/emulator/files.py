"""`GET /files/{request_id}/{n}.{ext}`: the vendor's CDN. Public: a token must never come here."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from random import Random
from typing import TYPE_CHECKING

from batchgen.emulator.deliveries import deliver, whole
from batchgen.emulator.fates import makes_of
from batchgen.emulator.faults import INSTEAD_OF_THE_WORK, Fault, FaultPlan
from batchgen.emulator.offers import offer_of
from batchgen.emulator.payloads import Payload, encoded
from batchgen.emulator.pictures import blank_png
from batchgen.emulator.ranges import Part, Unsatisfiable, asked_part
from batchgen.emulator.refusals import refusal, unknown_path
from batchgen.emulator.substitutes import SUBSTITUTES, png_bomb

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp import web

    from batchgen.emulator.links import FileLinks
    from batchgen.emulator.media import MediaFile, Studio
    from batchgen.emulator.store import Store, StoredRequest

HEAD_KEPT = 16
BLANK_SIDE = 1024


def file_path(request_id: str, number: int, extension: str) -> str:
    return f"/files/{request_id}/{number}.{extension}"


@dataclass(frozen=True, slots=True)
class WantedFile:
    stored: StoredRequest
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """`now` gives seconds since 1970."""

    store: Store
    studio: Studio
    links: FileLinks
    faults: FaultPlan
    now: Callable[[], float]
    _etags: itertools.count[int] = field(default_factory=itertools.count)

    async def serve(self, request: web.Request) -> web.StreamResponse:
        if "Authorization" in request.headers:
            self.store.add_token_leak(request.path, self.now())
        wanted = self._wanted(request)
        if wanted is None:
            return whole(encoded(unknown_path(request.path)))
        fault = self.faults.take("file", wanted.stored.model_id)
        if self._is_expired(request, fault):
            return whole(encoded(refusal(HTTPStatus.FORBIDDEN, "The URL has expired.")))
        payload = await self._payload(request, wanted, fault)
        return await deliver(request, payload, fault)

    async def thumbnail(self, request: web.Request) -> web.StreamResponse:
        stored = self._succeeded(request)
        if stored is None:
            return whole(encoded(unknown_path(request.path)))
        return whole(ranged(request, await self.studio.thumbnail(stored)))

    def _wanted(self, request: web.Request) -> WantedFile | None:
        stored = self._succeeded(request)
        number = int(request.match_info["number"])
        if stored is None or not 1 <= number <= stored.outputs:
            return None
        makes = makes_of(stored, offer_of(stored.model_id).makes)
        expected = file_path(stored.request_id, number, makes)
        return WantedFile(stored, number) if expected == request.path else None

    def _succeeded(self, request: web.Request) -> StoredRequest | None:
        stored = self.store.find(request.match_info["request_id"])
        if stored is None or stored.status != "succeeded":
            return None
        return stored if stored.model_id in self.studio.catalogue.models else None

    def _is_expired(self, request: web.Request, fault: Fault | None) -> bool:
        if fault is not None and fault.kind == "expired":
            return True
        return not self.links.is_good(request.path, request.query, self.now())

    async def _payload(
        self, request: web.Request, wanted: WantedFile, fault: Fault | None
    ) -> Payload:
        if fault is not None and fault.kind in SUBSTITUTES:
            return await asyncio.to_thread(SUBSTITUTES[fault.kind], fault)
        if fault is not None and fault.kind in INSTEAD_OF_THE_WORK:
            return Payload(b"")
        file = await self.studio.file(wanted.stored, wanted.number)
        if fault is None:
            return ranged(request, file)
        spoilt = await asyncio.to_thread(self._spoilt, file, fault)
        if fault.kind == "ignore_range":
            return _all_of(spoilt)
        payload = ranged(request, spoilt)
        return replace(payload, headers={**payload.headers, **fault.headers})

    def _spoilt(self, file: MediaFile, fault: Fault) -> MediaFile:
        match fault.kind:
            case "wrong_bytes":
                return replace(file, body=_noise_after_head(file.body))
            case "empty":
                return replace(file, body=b"")
            case "bomb":
                return replace(file, body=png_bomb(), media_type="image/png")
            case "blank":
                return replace(
                    file, body=blank_png(fault.size or BLANK_SIDE), media_type="image/png"
                )
            case "etag_changes":
                return replace(file, etag=f'"changed-{next(self._etags)}"')
        return file


def _noise_after_head(body: bytes) -> bytes:
    """Keep the bytes that say what the file claims to be; the rest only has the right length."""
    noise = Random(len(body)).randbytes(max(0, len(body) - HEAD_KEPT))  # noqa: S311 - only noise
    return body[:HEAD_KEPT] + noise


def ranged(request: web.Request, file: MediaFile) -> Payload:
    part = asked_part(request.headers, file.etag, len(file.body))
    match part:
        case None:
            return _all_of(file)
        case Unsatisfiable():
            headers = {"Content-Range": f"bytes */{len(file.body)}"}
            status = HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
            return Payload(b"", file.media_type, status, headers)
        case Part(first, last):
            place = f"bytes {first}-{last}/{len(file.body)}"
            headers = {**_headers(file), "Content-Range": place}
            kept = file.body[first : last + 1]
            return Payload(kept, file.media_type, HTTPStatus.PARTIAL_CONTENT, headers)


def _all_of(file: MediaFile) -> Payload:
    return Payload(file.body, file.media_type, HTTPStatus.OK, _headers(file))


def _headers(file: MediaFile) -> dict[str, str]:
    return {"ETag": file.etag, "Accept-Ranges": "bytes"}
