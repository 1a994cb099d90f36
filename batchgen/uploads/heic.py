"""HEIC, the format of many phones: read by pillow-heif, which the extra `heic` installs."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

from batchgen.downloads.media import CorruptFileError, Format, MediaKind
from batchgen.downloads.pictures import damage_translated

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

HEIC = Format(MediaKind.IMAGE, "image/heic", ".heic", "HEIC")


def is_kind(media_type: str) -> bool:
    return media_type == HEIC.media_type


def reader() -> type[ImageFile] | None:
    """None if pillow-heif is not installed."""
    try:
        from pillow_heif import HeifImageFile  # noqa: PLC0415 - slow to load, and optional
    except ImportError:
        return None
    found: type[ImageFile] = HeifImageFile
    return found


def pixels_of(file: BinaryIO) -> tuple[int, int] | None:
    """Width and height, turned as the file says; None if it cannot be read here."""
    read = reader()
    if read is None:
        return None
    try:
        with damage_translated(HEIC), read(file) as opened:
            return opened.size
    except CorruptFileError:
        return None
