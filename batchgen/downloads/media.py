"""What bytes are, told by the bytes and not by a name or a header, and whether they all decode."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, BinaryIO

from batchgen.downloads.files import open_to_read

if TYPE_CHECKING:
    from pathlib import Path

HEAD_BYTES = 512
MAX_PIXELS = 300_000_000
"""Of one frame: 300 megapixels decode to about a gigabyte."""
MAX_DECODED_PIXELS = 100_000_000_000
"""Of all frames: half an hour of 1080p. A small file can unfold to days of frames."""


class CorruptFileError(ValueError):
    """The bytes are no sound picture or video; the text says why, in plain words."""


class MediaKind(StrEnum):
    IMAGE = "image"
    VIDEO = "video"


@dataclass(frozen=True, slots=True)
class Format:
    """`codec` is what Pillow, or PyAV, calls the container."""

    kind: MediaKind
    media_type: str
    extension: str
    codec: str


@dataclass(frozen=True, slots=True)
class Media:
    """What was decoded. `extension` has its dot; `seconds` is None for pictures."""

    kind: MediaKind
    media_type: str
    extension: str
    width: int
    height: int
    seconds: float | None
    frames: int


PNG = Format(MediaKind.IMAGE, "image/png", ".png", "PNG")
JPEG = Format(MediaKind.IMAGE, "image/jpeg", ".jpg", "JPEG")
GIF = Format(MediaKind.IMAGE, "image/gif", ".gif", "GIF")
WEBP = Format(MediaKind.IMAGE, "image/webp", ".webp", "WEBP")
MP4 = Format(MediaKind.VIDEO, "video/mp4", ".mp4", "mp4")
MOV = Format(MediaKind.VIDEO, "video/quicktime", ".mov", "mov")
WEBM = Format(MediaKind.VIDEO, "video/webm", ".webm", "webm")
MKV = Format(MediaKind.VIDEO, "video/x-matroska", ".mkv", "matroska")

EBML = b"\x1a\x45\xdf\xa3"
STILL_BRANDS = frozenset({b"avif", b"avis", b"heic", b"heix", b"mif1", b"msf1"})


def sniff(head: bytes) -> Format:
    """Tell the format by the first bytes. Raises CorruptFileError where they announce none."""
    for magic, found in ((b"\x89PNG\r\n\x1a\n", PNG), (b"\xff\xd8\xff", JPEG), (b"GIF8", GIF)):
        if head.startswith(magic):
            return found
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return WEBP
    if head[4:8] == b"ftyp" and head[8:12] not in STILL_BRANDS:
        return MOV if head[8:12] == b"qt  " else MP4
    if head.startswith(EBML):
        return WEBM if b"webm" in head[:64] else MKV
    raise CorruptFileError(_what_else(head))


def decode(file: BinaryIO) -> Media:
    """Decode every frame. Blocks: call it in a thread. Leaves the file open.

    Raises CorruptFileError, and OSError where the disk fails.
    """
    file.seek(0)
    found = sniff(file.read(HEAD_BYTES))
    file.seek(0)
    # A library is loaded when the first file needs it: a run of pictures never loads PyAV.
    if found.kind is MediaKind.IMAGE:
        from batchgen.downloads.pictures import decode_picture  # noqa: PLC0415 - see above

        return decode_picture(file, found)
    from batchgen.downloads.videos import decode_video  # noqa: PLC0415 - see above

    return decode_video(file, found)


def verify_media(path: Path) -> Media:
    """Do as `decode`, for a file on disk. Raises also as `open_to_read` does."""
    with open_to_read(path) as file:
        return decode(file)


def check_pixels(width: int, height: int) -> None:
    """Raise CorruptFileError before a bomb is unpacked."""
    if width <= 0 or height <= 0:
        raise CorruptFileError(f"the picture has no size: {width}x{height}")
    if width * height > MAX_PIXELS:
        raise CorruptFileError(f"{width}x{height} pixels are too many to unpack")


def check_frames(width: int, height: int, frames: int) -> None:
    """Raise CorruptFileError for a file whose frames would be unpacked for hours."""
    if width * height * frames > MAX_DECODED_PIXELS:
        raise CorruptFileError(f"more than {frames - 1} frames of {width}x{height} are too many")


def _what_else(head: bytes) -> str:
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if not head:
        return "the file is empty"
    if text.startswith((b"<!doctype html", b"<html", b"<head", b"<body")):
        return "the file is an HTML page, not a picture or video"
    if text.startswith(b"<"):
        return "the file is XML, not a picture or video"
    if text.startswith((b"{", b"[")):
        return "the file is JSON, not a picture or video"
    return f"the file is no picture or video that is known here; it begins with {head[:8].hex(' ')}"
