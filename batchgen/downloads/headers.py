"""What the header of a picture says: its type, and its size in pixels. Pure.

imagesize reads only the header; Pillow would also unpack text and EXIF blocks, and warn or fail
over them.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, BinaryIO

import imagesize  # type: ignore[import-untyped]  # it has types, but does not say so

from batchgen.downloads.media import HEAD_BYTES, STILL_BRANDS, CorruptFileError, sniff

if TYPE_CHECKING:
    from collections.abc import Mapping

_MAGIC: Mapping[bytes, str] = {
    b"BM": "image/bmp",
    b"II*\0": "image/tiff",
    b"MM\0*": "image/tiff",
    b"II+\0": "image/tiff",
    b"MM\0+": "image/tiff",
}
_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_BMP_SIZE = struct.Struct("<ii")
_BMP_SIZE_AT = 18


def media_type_of(head: bytes) -> str:
    """The type that the first bytes announce, also of pictures that models neither take nor make.

    Raises CorruptFileError, which says what else it may be.
    """
    try:
        return sniff(head[:HEAD_BYTES]).media_type
    except CorruptFileError:
        if found := _other_picture(head):
            return found
        raise


def is_avif_or_heic(head: bytes) -> bool:
    return head[4:8] == b"ftyp" and head[8:12] in STILL_BRANDS


def _other_picture(head: bytes) -> str | None:
    if is_avif_or_heic(head):
        # A general brand may come first.
        is_avif = not _AVIF_BRANDS.isdisjoint(_brands(head))
        return "image/avif" if is_avif else "image/heic"
    return next((kind for magic, kind in _MAGIC.items() if head.startswith(magic)), None)


def _brands(head: bytes) -> list[bytes]:
    end = min(int.from_bytes(head[:4], "big"), len(head))
    return [head[at : at + 4] for at in (8, *range(16, end, 4))]


def pixels_of(file: BinaryIO) -> tuple[int, int] | None:
    """The stored width and height: EXIF may ask viewers to rotate the picture. None if unknown."""
    file.seek(0)
    head = file.read(_BMP_SIZE_AT + _BMP_SIZE.size)
    file.seek(0)
    if head.startswith(b"BM") and len(head) == _BMP_SIZE_AT + _BMP_SIZE.size:
        # A negative height means that the rows go from top to bottom.
        width, height = _BMP_SIZE.unpack_from(head, _BMP_SIZE_AT)
        height = abs(height)
    else:
        # It raises nothing, and gives -1 for what it cannot read.
        width, height = imagesize.get(file, exif_rotation=False)
    return (width, height) if width > 0 and height > 0 else None
