"""What the first bytes of a picture say of it. Pure; never raises for damaged bytes.

Read by hand: Pillow unpacks text and EXIF blocks of a header, and warns or fails over them, where
the two numbers are all that is asked; and it cannot tell a short header from a damaged one.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from batchgen.downloads.formats import GIF, HEAD_BYTES, JPEG, PNG, WEBP, CorruptFileError
from batchgen.downloads.media import STILL_BRANDS, sniff

if TYPE_CHECKING:
    from batchgen.downloads.formats import Format

TAKEN: Final = "the vendor takes JPEG and PNG"
_NAMES = {WEBP: "a WebP picture", GIF: "a GIF picture"}
# Markers with a segment behind them (ITU-T T.81, table B.1); other bytes between segments are
# skipped, as decoders do.
_MARKER = re.compile(rb"\xff([\xc0-\xcf\xd9-\xfe])")
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_END, _SCAN = 0xD9, 0xDA


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
    match found.codec:
        case PNG.codec:
            size = _png_size(head)
        case JPEG.codec:
            size = _jpeg_size(head)
        case _:
            return NoPicture(f"it is {_NAMES.get(found, 'a video')}; {TAKEN}")
    if size is None:
        return NoPicture(f"the {found.codec} breaks off in its header") if is_whole else None
    return _sound(found, *size)


def _sound(found: Format, width: int, height: int) -> Size | NoPicture:
    if width <= 0 or height <= 0:
        return NoPicture(f"the header of the {found.codec} is damaged")
    return Size(found.media_type, width, height)


def _other(head: bytes) -> str | None:
    if head[4:8] == b"ftyp" and head[8:12] in STILL_BRANDS:
        return f"it is an AVIF or HEIC picture; {TAKEN}"
    if head.startswith(b"\x1f\x8b"):
        return "the server sent it compressed, although it was asked not to"
    return None


def _png_size(head: bytes) -> tuple[int, int] | None:
    """IHDR is the first chunk (PNG specification, 5.6); no size where another one stands there."""
    if len(head) < 24:  # noqa: PLR2004 - signature 8, length 4, type 4, width 4, height 4
        return None
    if head[12:16] != b"IHDR":
        return 0, 0
    width, height = struct.unpack_from(">II", head, 16)
    return width, height


def _jpeg_size(head: bytes) -> tuple[int, int] | None:
    """The frame header's numbers; (0, 0) where the picture begins without one."""
    at = 2
    while marker := _MARKER.search(head, at):
        start, code = marker.end(), marker[1][0]
        if code in {_END, _SCAN}:
            return 0, 0
        if len(head) < start + 7:
            return None
        length, _, height, width = struct.unpack_from(">HBHH", head, start)
        if code in _FRAMES:
            return width, height
        at = start + max(length, 2)
    return None
