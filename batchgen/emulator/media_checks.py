"""Whether a file is the picture, video or sound that it should be, and keeps the page's rules.

Written without a look at batchgen's own checks, so that a mistake of theirs shows in a rehearsal.
"""

from __future__ import annotations

import io
import operator
import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import av
import imagesize  # type: ignore[import-untyped]  # it has types, but does not say so
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from batchgen.emulator.asked import Kind

MEBIBYTE = 1024 * 1024
MOST_PIXELS_IN_BODY = 32_000_000
MOST_PIXELS = 100_000_000
"""Of a picture behind a URL: more would take too much memory here."""
MOST_BYTES_IN_BODY: Mapping[Kind, int] = {
    "image": 6 * MEBIBYTE,
    "video": 32 * MEBIBYTE,
    "audio": 16 * MEBIBYTE,
}
"""What the vendor's own nodes send inside a request at most."""

Rule: TypeAlias = Mapping[str, Any]
"""An entry of `validations`: `validation_rule`, `validation_value`, `validation_error`."""


@dataclass(frozen=True, slots=True)
class MediaType:
    """`marks` are the decoder's names of the format, of which a file must have one."""

    kind: Kind
    extension: str
    marks: frozenset[str]


def _media(kind: Kind, extension: str, *marks: str) -> MediaType:
    return MediaType(kind, extension, frozenset(marks))


MEDIA_TYPES: Mapping[str, MediaType] = {
    "image/png": _media("image", "png", "PNG"),
    "image/jpeg": _media("image", "jpg", "JPEG"),
    "video/mp4": _media("video", "mp4", "mp4"),
    "video/quicktime": _media("video", "mov", "mov"),
    "video/webm": _media("video", "webm", "webm"),
    "audio/mpeg": _media("audio", "mp3", "mp3"),
    "audio/wav": _media("audio", "wav", "wav"),
    "audio/x-wav": _media("audio", "wav", "wav"),
    "audio/flac": _media("audio", "flac", "flac"),
    "audio/ogg": _media("audio", "ogg", "ogg"),
    "audio/aac": _media("audio", "aac", "aac"),
    "audio/mp4": _media("audio", "m4a", "m4a"),
}
TYPE_OF_EXTENSION = {media.extension: name for name, media in MEDIA_TYPES.items()} | {
    "wav": "audio/wav"
}
"""How a kept file is served again."""


class NotMediaError(Exception):
    """Why a file is no picture, video or sound; a sentence without its subject."""


@dataclass(frozen=True, slots=True)
class Facts:
    """`marks` are the decoder's names of the format; `width` and `height` in pixels."""

    marks: frozenset[str]
    bytes: int
    width: int | None = None
    height: int | None = None


def facts_of(body: bytes, kind: Kind, most_pixels: int = MOST_PIXELS) -> Facts:
    """Decode a file. Takes up to a second: call it in a thread. Raises NotMediaError."""
    if kind == "image":
        return _picture(body, most_pixels)
    return _clip(body, "video" if kind == "video" else "audio")


NOT_SOUND = (
    *(OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, struct.error),
    *(Image.DecompressionBombError, Image.DecompressionBombWarning),
)
"""What Pillow and imagesize raise for damaged files."""


def _picture(body: bytes, most_pixels: int) -> Facts:
    try:
        # Before Pillow sees it: a picture that claims to be huge would take all memory.
        width, height = imagesize.get(io.BytesIO(body))
        if width * height > most_pixels:
            raise NotMediaError(
                f"has {width}x{height} pixels; the limit is {most_pixels // 1_000_000} megapixels"
            )
        with Image.open(io.BytesIO(body), formats=("PNG", "JPEG")) as picture:
            picture.load()
            return Facts(frozenset({str(picture.format)}), len(body), *picture.size)
    except NOT_SOUND as exc:
        raise NotMediaError("is not a sound JPEG or PNG") from exc


def _clip(body: bytes, kind: Literal["video", "audio"]) -> Facts:
    """Decode the first frame, and read to the end."""
    try:
        with av.open(io.BytesIO(body)) as container:
            frame = _first_frame(container, kind)
            marks = frozenset(container.format.name.split(","))
    except (av.error.FFmpegError, ValueError, ArithmeticError) as exc:
        raise NotMediaError(f"is not a sound {kind} file") from exc
    if frame is None:
        raise NotMediaError(f"has no {kind} in it")
    return Facts(marks, len(body), getattr(frame, "width", None), getattr(frame, "height", None))


def _first_frame(container: Any, kind: str) -> Any:
    streams = container.streams.video if kind == "video" else container.streams.audio
    if not streams:
        return None
    first = None
    for packet in container.demux(streams[0]):
        if first is None:
            first = next(iter(packet.decode()), None)
    return first


OPERATORS: Mapping[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    "≤": operator.le,
    "<": operator.lt,
    ">=": operator.ge,
    "≥": operator.ge,
    ">": operator.gt,
    "==": operator.eq,
    "=": operator.eq,
}
_RULE = re.compile(r"\s*([a-z_/]+?)\s*(<=|>=|==|[≤≥<>=])\s*")


def broken_rules(rules: Sequence[Rule], facts: Facts) -> Iterator[tuple[str, str]]:
    """Yield the published sentence and the rule of each that the file breaks."""
    for rule in rules:
        found = _RULE.fullmatch(rule["validation_rule"])
        if found is None:
            continue
        value = _quantity(found[1], facts)
        if value is not None and not OPERATORS[found[2]](value, float(rule["validation_value"])):
            yield rule["validation_error"], rule["validation_rule"]


def _quantity(name: str, facts: Facts) -> float | None:
    """None for what is not known here, which breaks no rule."""
    if name == "file_size_mb":
        return facts.bytes / MEBIBYTE
    if not facts.width or not facts.height:
        return None
    return {
        "width_pixels": facts.width,
        "height_pixels": facts.height,
        "width/height": facts.width / facts.height,
    }.get(name)
