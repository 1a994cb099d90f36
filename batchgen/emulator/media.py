"""The file behind a result URL: made when it is first asked for, the same bytes each time."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from batchgen.emulator.canvas import Scene, seed_of
from batchgen.emulator.clips import mp4
from batchgen.emulator.fates import makes_of
from batchgen.emulator.offers import Makes, frames_of
from batchgen.emulator.pictures import jpeg, noise_png, png

if TYPE_CHECKING:
    from collections.abc import Mapping

    from batchgen.emulator.catalogue import Catalogue, Model
    from batchgen.emulator.store import StoredRequest

SIZE_KEY = "width\N{MULTIPLICATION SIGN}height"
CLIP_SIZE = (480, 270)
THUMBNAIL_SIZE = (160, 90)
MEDIA_TYPES = {"png": "image/png", "jpg": "image/jpeg", "mp4": "video/mp4"}


@dataclass(frozen=True, slots=True)
class MediaFile:
    body: bytes
    media_type: str
    etag: str


def make_file(
    model: Model, stored: StoredRequest, number: int, noise_bytes: int | None
) -> MediaFile:
    """File `number`, from 1, of a request. Takes milliseconds to a second: call it in a thread."""
    makes = makes_of(stored, model.offer.makes)
    body = _make_body(model, stored, number, makes, noise_bytes)
    return _media_file(body, makes)


def make_thumbnail(model: Model, stored: StoredRequest) -> MediaFile:
    return _media_file(jpeg(_scene(model, stored, 1, THUMBNAIL_SIZE)), "jpg")


def _media_file(body: bytes, makes: Makes) -> MediaFile:
    return MediaFile(body, MEDIA_TYPES[makes], f'"{hashlib.sha256(body).hexdigest()[:32]}"')


def _make_body(
    model: Model, stored: StoredRequest, number: int, makes: Makes, noise_bytes: int | None
) -> bytes:
    job_input: dict[str, Any] = json.loads(stored.input)
    is_clip = model.offer.makes == "mp4"
    size = CLIP_SIZE if is_clip else picture_size(model, job_input)
    scene = _scene(model, stored, number, size)
    match makes:
        case "mp4":
            return mp4(scene, frames_of(job_input))
        case "jpg":
            return jpeg(scene)
        case "png" if noise_bytes is not None:
            return noise_png(seed_of(stored.request_id, number), noise_bytes)
        case "png":
            return png(scene)


def _scene(model: Model, stored: StoredRequest, number: int, size: tuple[int, int]) -> Scene:
    counted = f" · {number} of {stored.outputs}" if stored.outputs > 1 else ""
    width, height = size
    return Scene(
        text=json.loads(stored.input).get("prompt", ""),
        caption=f"{model.offer.display_name} · rehearsal{counted}",
        seed=seed_of(stored.model_id, stored.input, number),
        width=width,
        height=height,
    )


def picture_size(model: Model, job_input: Mapping[str, Any]) -> tuple[int, int]:
    """Pixels: `2304x1728(4:3)` is 2304 wide; what the page suggests where nothing was asked."""
    asked = job_input.get(SIZE_KEY) or model.default(SIZE_KEY) or ""
    found = re.match(r"(\d+)x(\d+)", asked)
    return (int(found[1]), int(found[2])) if found else (1024, 1024)


@dataclass(frozen=True, slots=True)
class Studio:
    """Makes the files of requests, off the event loop. `noise_bytes`: the setting `media_bytes`."""

    catalogue: Catalogue
    cache: MediaCache
    noise_bytes: int | None

    async def file(self, stored: StoredRequest, number: int) -> MediaFile:
        """Raises KeyError where the model is no longer on offer."""
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
    """The files asked for last, up to `limit` bytes together."""

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
        # Two downloads of one file may both have made it.
        replaced = self._files.pop(path, None)
        self._bytes += len(file.body) - (len(replaced.body) if replaced else 0)
        self._files[path] = file
        while self._bytes > self._limit:
            _path, dropped = self._files.popitem(last=False)
            self._bytes -= len(dropped.body)
