"""The file behind a result URL: made when it is first asked for, the same bytes each time."""

from __future__ import annotations

import hashlib
import json
import re
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from batchgen.emulator.canvas import Scene, seed_of
from batchgen.emulator.clips import mp4
from batchgen.emulator.offers import frames_of
from batchgen.emulator.pictures import jpeg, noise_png, png

if TYPE_CHECKING:
    from collections.abc import Mapping

    from batchgen.emulator.catalogue import Model
    from batchgen.emulator.store import StoredRequest

SIZE_KEY = "width\N{MULTIPLICATION SIGN}height"
CLIP_SIZE = (480, 270)
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
    body = _make_body(model, stored, number, noise_bytes)
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    return MediaFile(body, MEDIA_TYPES[model.offer.makes], etag)


def _make_body(model: Model, stored: StoredRequest, number: int, noise_bytes: int | None) -> bytes:
    job_input: dict[str, Any] = json.loads(stored.input)
    scene = _scene(model, job_input, stored, number)
    match model.offer.makes:
        case "mp4":
            return mp4(scene, frames_of(job_input))
        case "jpg":
            return jpeg(scene)
        case "png" if noise_bytes is not None:
            return noise_png(seed_of(stored.request_id, number), noise_bytes)
        case "png":
            return png(scene)


def _scene(model: Model, job_input: Mapping[str, Any], stored: StoredRequest, number: int) -> Scene:
    is_clip = model.offer.makes == "mp4"
    width, height = CLIP_SIZE if is_clip else picture_size(model, job_input)
    counted = f" · {number} of {stored.outputs}" if stored.outputs > 1 else ""
    return Scene(
        text=job_input.get("prompt", ""),
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
