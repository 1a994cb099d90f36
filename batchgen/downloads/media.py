"""What bytes are, told by the bytes and not by a name or a header, and whether they all decode."""

from __future__ import annotations

from typing import BinaryIO

from batchgen.downloads.formats import (
    EBML,
    GIF,
    HEAD_BYTES,
    JPEG,
    LIGHT_PIXELS,
    MKV,
    MOV,
    MP4,
    PNG,
    WEBM,
    WEBP,
    CorruptFileError,
    Format,
    Media,
    MediaKind,
    NotLightError,
)

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


def decode_light(file: BinaryIO) -> Media:
    """Do as `decode` for a picture of a usual size; raises NotLightError for all else."""
    file.seek(0)
    found = sniff(file.read(HEAD_BYTES))
    file.seek(0)
    if found.kind is MediaKind.VIDEO:
        raise NotLightError
    from batchgen.downloads.pictures import decode_picture  # noqa: PLC0415 - as in `decode`

    return decode_picture(file, found, LIGHT_PIXELS)


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
