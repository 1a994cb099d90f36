"""What a file is, judged by its first bytes rather than by a name or header."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

HEAD_BYTES = 512
MAX_PIXELS = 100_000_000
"""Per frame: five times what the models make, and less than half a gigabyte once decoded."""
MAX_DECODED_PIXELS = 100_000_000_000
"""In all frames together: half an hour of 1080p. A small file can hold days of frames."""


class CorruptFileError(ValueError):
    """The bytes are not a sound picture or video; the message says why in plain language."""


class TooHeavyError(CorruptFileError):
    """The bytes may be sound, but decoding them would take more memory than allowed."""


class OutOfMemoryError(TooHeavyError):
    """The machine is out of memory at the moment."""


class NotLightError(Exception):
    """A file that must be decoded in another process (decoding.py)."""


class MediaKind(StrEnum):
    IMAGE = "image"
    VIDEO = "video"
    AUDIO = "audio"


@dataclass(frozen=True, slots=True)
class Format:
    """`codec` is what Pillow or PyAV calls the container."""

    kind: MediaKind
    media_type: str
    extension: str
    codec: str


@dataclass(frozen=True, slots=True)
class Media:
    """What was decoded. `extension` includes the dot; `seconds` is None for pictures.

    A sound has no width, no height and no frames.
    """

    kind: MediaKind
    media_type: str
    extension: str
    width: int | None
    height: int | None
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
MP3 = Format(MediaKind.AUDIO, "audio/mpeg", ".mp3", "mp3")
WAV = Format(MediaKind.AUDIO, "audio/wav", ".wav", "wav")
FLAC = Format(MediaKind.AUDIO, "audio/flac", ".flac", "flac")
OGG = Format(MediaKind.AUDIO, "audio/ogg", ".ogg", "ogg")
M4A = Format(MediaKind.AUDIO, "audio/mp4", ".m4a", "mp4")

EXTENSIONS = frozenset(
    one.extension for one in (PNG, JPEG, GIF, WEBP, MP4, MOV, WEBM, MKV, MP3, WAV, FLAC, OGG, M4A)
)

EBML = b"\x1a\x45\xdf\xa3"


def check_pixels(width: int, height: int) -> None:
    """Raise CorruptFileError before a decompression bomb is decoded."""
    if width <= 0 or height <= 0:
        raise CorruptFileError(f"the picture has no size: {width}x{height}")
    if width * height > MAX_PIXELS:
        raise TooHeavyError(f"{width}x{height} pixels are too many to decode")


def check_frames(width: int, height: int, frames: int) -> None:
    """Raise CorruptFileError for a file whose frames would take hours to decode."""
    if width * height * frames > MAX_DECODED_PIXELS:
        raise CorruptFileError(f"more than {frames - 1} frames of {width}x{height} are too many")


MAX_SOUND_SECONDS = 24 * 3600.0
"""A small file can hold days of silence."""
SOUND_BRANDS = frozenset({b"M4A ", b"M4B "})
STILL_BRANDS = frozenset({b"avif", b"avis", b"heic", b"heix", b"mif1", b"msf1"})


def sniff(head: bytes) -> Format:
    """Return the format that the first bytes announce. Raises CorruptFileError if unknown."""
    for magic, found in ((b"\x89PNG\r\n\x1a\n", PNG), (b"\xff\xd8\xff", JPEG), (b"GIF8", GIF)):
        if head.startswith(magic):
            return found
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return WEBP
    if sound := _sniff_sound(head):
        return sound
    if head[4:8] == b"ftyp" and head[8:12] not in STILL_BRANDS:
        return MOV if head[8:12] == b"qt  " else MP4
    if head.startswith(EBML):
        return WEBM if b"webm" in head[:64] else MKV
    raise CorruptFileError(_describe(head))


def _sniff_sound(head: bytes) -> Format | None:
    if head[:4] == b"RIFF" and head[8:12] == b"WAVE":
        return WAV
    if head[4:8] == b"ftyp" and head[8:12] in SOUND_BRANDS:
        return M4A
    for magic, found in ((b"fLaC", FLAC), (b"OggS", OGG), (b"ID3", MP3)):
        if head.startswith(magic):
            return found
    return MP3 if _begins_mp3_frame(head) else None


def _begins_mp3_frame(head: bytes) -> bool:
    """A frame's header: eleven set bits, a layer, a bit rate and a sample rate that exist."""
    if len(head) < 3 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:  # noqa: PLR2004 - see above
        return False
    layer, rate, samples = head[1] & 0x06, head[2] >> 4, head[2] & 0x0C
    return layer != 0 and rate not in (0, 0x0F) and samples != 0x0C  # noqa: PLR2004 - see above


def _describe(head: bytes) -> str:
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if not head:
        return "the file is empty"
    if text.startswith((b"<!doctype html", b"<html", b"<head", b"<body")):
        return "the file is an HTML page, not a picture or video"
    if text.startswith(b"<"):
        return "the file is XML, not a picture or video"
    if text.startswith((b"{", b"[")):
        return "the file is JSON, not a picture or video"
    return f"the file is not a known kind of picture or video; it begins with {head[:8].hex(' ')}"
