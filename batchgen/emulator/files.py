"""`GET /files/{request_id}/{n}.{ext}`: the vendor's CDN, which is public and gets no token.

A file is made on request, with the same bytes each time.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import itertools
import json
import re
from collections import OrderedDict
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from random import Random
from typing import TYPE_CHECKING, Any

from batchgen.emulator.asked import USUAL_SIZE, Asked, Extension
from batchgen.emulator.deliveries import (
    ByteRange,
    Payload,
    Unsatisfiable,
    deliver,
    encoded,
    full_response,
    requested_range,
)
from batchgen.emulator.drawing import Scene, blank_png, jpeg, mp4, noise_png, png, seed_of
from batchgen.emulator.fault_effects import SUBSTITUTES, extension_of, png_bomb
from batchgen.emulator.faults import INSTEAD_OF_THE_WORK, Fault, FaultPlan
from batchgen.emulator.refusals import refusal, unknown_path
from batchgen.emulator.sounds import mp3, wav

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from aiohttp import web

    from batchgen.emulator.catalogue import Catalogue, Model
    from batchgen.emulator.store import Store, StoredRequest


THUMBNAIL_SIZE = (160, 90)
MEDIA_TYPES = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "mp4": "video/mp4",
    "wav": "audio/wav",
    "mp3": "audio/mpeg",
}


@dataclass(frozen=True, slots=True)
class MediaFile:
    body: bytes
    media_type: str
    etag: str


def make_file(
    model: Model, stored: StoredRequest, number: int, noise_bytes: int | None
) -> MediaFile:
    """Make file `number` (from 1) of a request. Takes up to a second: call it in a thread."""
    extension = extension_of(stored, model.extension(json.loads(stored.input)))
    body = _make_body(model, stored, number, extension, noise_bytes)
    return media_file(body, MEDIA_TYPES[extension])


def make_thumbnail(model: Model, stored: StoredRequest) -> MediaFile:
    return media_file(jpeg(_scene(model, stored, 1, THUMBNAIL_SIZE)), MEDIA_TYPES["jpg"])


def media_file(body: bytes, media_type: str) -> MediaFile:
    return MediaFile(body, media_type, f'"{hashlib.sha256(body).hexdigest()[:32]}"')


def _make_body(
    model: Model, stored: StoredRequest, number: int, extension: Extension, noise_bytes: int | None
) -> bytes:
    asked = Asked(model.schema, json.loads(stored.input))
    is_clip = model.offer.extension == "mp4"
    size = asked.clip_pixels() if is_clip else asked.pixels(USUAL_SIZE)
    scene = _scene(model, stored, number, size)
    match extension:
        case "mp4":
            return mp4(scene, asked.frames())
        case "wav":
            return wav(scene.seed, asked.seconds())
        case "mp3":
            return mp3(scene.seed, asked.seconds())
        case "jpg":
            return jpeg(scene)
        case "png" if noise_bytes is not None:
            return noise_png(seed_of(stored.request_id, number), noise_bytes)
        case "png":
            return png(scene)


def _scene(model: Model, stored: StoredRequest, number: int, size: tuple[int, int]) -> Scene:
    count_text = f" · {number} of {stored.outputs}" if stored.outputs > 1 else ""
    width, height = size
    return Scene(
        text=_text_of(json.loads(stored.input)),
        caption=f"{model.offer.display_name} · rehearsal{count_text}",
        seed=seed_of(stored.model_id, stored.input, number),
        width=width,
        height=height,
    )


def _text_of(job_input: Mapping[str, Any]) -> str:
    """The prompt, or the first text of an input that has none."""
    texts = [one for one in job_input.values() if isinstance(one, str) and "://" not in one]
    return str(job_input.get("prompt", texts[0] if texts else ""))


@dataclass(frozen=True, slots=True)
class Renderer:
    """Makes the files of requests in threads. `noise_bytes` is the setting `media_bytes`."""

    catalogue: Catalogue
    cache: MediaCache
    noise_bytes: int | None

    async def file(self, stored: StoredRequest, number: int) -> MediaFile:
        """Raises KeyError if the model is no longer on offer."""
        key = f"{stored.request_id}/{number}"
        cached = self.cache.get(key)
        if cached is not None:
            return cached
        model = self.catalogue.models[stored.model_id]
        made = await asyncio.to_thread(make_file, model, stored, number, self.noise_bytes)
        self.cache.put(key, made)
        return made

    async def thumbnail(self, stored: StoredRequest) -> MediaFile:
        model = self.catalogue.models[stored.model_id]
        return await asyncio.to_thread(make_thumbnail, model, stored)


class MediaCache:
    """The most recently used files, up to `limit` bytes in all."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._bytes = 0
        self._files: OrderedDict[str, MediaFile] = OrderedDict()

    def get(self, path: str) -> MediaFile | None:
        file = self._files.get(path)
        if file is not None:
            self._files.move_to_end(path)
        return file

    def put(self, path: str, file: MediaFile) -> None:
        # Two downloads of one file may both make it.
        replaced = self._files.pop(path, None)
        self._bytes += len(file.body) - (len(replaced.body) if replaced else 0)
        self._files[path] = file
        while self._bytes > self._limit:
            _path, dropped = self._files.popitem(last=False)
            self._bytes -= len(dropped.body)


HEAD_KEPT = 16
BLANK_SIDE = 1024


def data_uri(file: MediaFile) -> str:
    return f"data:{file.media_type};base64,{base64.b64encode(file.body).decode()}"


FILE_PATH = re.compile(
    r"/files/(?P<request_id>[^/]+)/(?P<number>\d{1,4})\.(?P<extension>[^/]+)", re.ASCII
)


@dataclass(frozen=True, slots=True)
class Lost:
    """Why a file of an input could not be read; a clause without its subject."""

    reason: str


def file_path(request_id: str, number: int, extension: str) -> str:
    return f"/files/{request_id}/{number}.{extension}"


@dataclass(frozen=True, slots=True)
class FileLinks:
    """`ttl` in seconds; None makes plain URLs that never expire."""

    key: bytes
    ttl: float | None

    def url(self, origin: str, path: str, now: float) -> str:
        if self.ttl is None:
            return origin + path
        expires = f"{now + self.ttl:.3f}"
        return f"{origin}{path}?expires={expires}&signature={self._sign(path, expires)}"

    def is_good(self, path: str, query: Mapping[str, str], now: float) -> bool:
        if self.ttl is None:
            return True
        expires = query.get("expires", "")
        signed = self._sign(path, expires).encode()
        if not hmac.compare_digest(signed, query.get("signature", "").encode()):
            return False
        return now < float(expires)

    def _sign(self, path: str, expires: str) -> str:
        return hmac.new(self.key, f"{path}\n{expires}".encode(), hashlib.sha256).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class WantedFile:
    stored: StoredRequest
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """`now` gives seconds since 1970."""

    store: Store
    renderer: Renderer
    links: FileLinks
    faults: FaultPlan
    now: Callable[[], float]
    _etags: itertools.count[int] = field(default_factory=itertools.count)

    async def serve(self, request: web.Request) -> web.StreamResponse:
        if "Authorization" in request.headers:
            self.store.add_token_leak(request.path, self.now())
        wanted = self._wanted(request.path)
        if wanted is None:
            return full_response(encoded(unknown_path(request.path)))
        fault = self.faults.take("file", wanted.stored.model_id)
        if self._is_expired(request, fault):
            return full_response(encoded(refusal(HTTPStatus.FORBIDDEN, "The URL has expired.")))
        payload = await self._payload(request, wanted, fault)
        return await deliver(request, payload, fault)

    async def thumbnail(self, request: web.Request) -> web.StreamResponse:
        stored = self._succeeded(request.match_info["request_id"])
        if stored is None:
            return full_response(encoded(unknown_path(request.path)))
        return full_response(ranged(request, await self.renderer.thumbnail(stored)))

    async def own(self, path: str, query: Mapping[str, str]) -> bytes | Lost | None:
        """The file at a path of this emulator, whatever port the URL has; None for any other path.

        No fault of downloads applies: the vendor's servers read their own files.
        """
        wanted = self._wanted(path)
        if wanted is None:
            return None
        if not self.links.is_good(path, query, self.now()):
            return Lost("the URL has expired")
        return (await self.renderer.file(wanted.stored, wanted.number)).body

    def _wanted(self, path: str) -> WantedFile | None:
        found = FILE_PATH.fullmatch(path)
        stored = self._succeeded(found["request_id"]) if found else None
        if found is None or stored is None or not 1 <= int(found["number"]) <= stored.outputs:
            return None
        number = int(found["number"])
        extension = extension_of(stored, self.renderer.catalogue.extension_of(stored))
        expected = file_path(stored.request_id, number, extension)
        return WantedFile(stored, number) if expected == path else None

    def _succeeded(self, request_id: str) -> StoredRequest | None:
        stored = self.store.find(request_id)
        if stored is None or stored.status != "succeeded":
            return None
        return stored if stored.model_id in self.renderer.catalogue.models else None

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
        file = await self.renderer.file(wanted.stored, wanted.number)
        if fault is None:
            return ranged(request, file)
        spoilt = await asyncio.to_thread(self._spoilt, file, fault)
        if fault.kind == "ignore_range":
            return _full_payload(spoilt)
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
    """Keep the bytes that announce the format; the rest only has the right length."""
    noise = Random(len(body)).randbytes(max(0, len(body) - HEAD_KEPT))  # noqa: S311 - only noise
    return body[:HEAD_KEPT] + noise


def ranged(request: web.Request, file: MediaFile) -> Payload:
    part = requested_range(request.headers, file.etag, len(file.body))
    match part:
        case None:
            return _full_payload(file)
        case Unsatisfiable():
            headers = {"Content-Range": f"bytes */{len(file.body)}"}
            status = HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
            return Payload(b"", file.media_type, status, headers)
        case ByteRange(first, last):
            content_range = f"bytes {first}-{last}/{len(file.body)}"
            headers = {**_headers(file), "Content-Range": content_range}
            kept = file.body[first : last + 1]
            return Payload(kept, file.media_type, HTTPStatus.PARTIAL_CONTENT, headers)


def _full_payload(file: MediaFile) -> Payload:
    return Payload(file.body, file.media_type, HTTPStatus.OK, _headers(file))


def _headers(file: MediaFile) -> dict[str, str]:
    return {"ETag": file.etag, "Accept-Ranges": "bytes"}
