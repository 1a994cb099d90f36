"""Decodes every frame of a picture with Pillow."""

from __future__ import annotations

import os
import struct
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO

from PIL import Image, ImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from batchgen.downloads.media import (
    MAX_PIXELS,
    CorruptFileError,
    Format,
    Media,
    NotLightError,
    OutOfMemoryError,
    check_frames,
    check_pixels,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

# By class: Image.open warns above a size that only a global setting can change.
READERS: dict[str, type[ImageFile.ImageFile]] = {
    "PNG": PngImageFile,
    "JPEG": JpegImageFile,
    "GIF": GifImageFile,
    "WEBP": WebPImageFile,
}
DAMAGE = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    ArithmeticError,
    LookupError,
    TypeError,
    AttributeError,
    RuntimeError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)
"""What Pillow raises for damaged bytes."""
PNG_END = b"IEND"
TAIL_BYTES = 64 * 1024


def decode_picture(file: BinaryIO, found: Format, max_pixels: int = MAX_PIXELS) -> Media:
    """Raises CorruptFileError, NotLightError over `max_pixels`, and OSError if the disk fails."""
    with damage_translated(found):
        return _decode(file, found, max_pixels)


@contextmanager
def damage_translated(found: Format) -> Iterator[None]:
    """Raise CorruptFileError in place of anything that damaged bytes make a decoder raise."""
    try:
        yield
    except CorruptFileError:
        raise
    except MemoryError as exc:
        raise OutOfMemoryError(f"the {found.codec} needs more memory than is available") from exc
    except DAMAGE as exc:
        # Pillow's own OSErrors have no errno; one with an errno comes from the disk.
        if isinstance(exc, OSError) and exc.errno is not None:
            raise
        raise CorruptFileError(f"the {found.codec} does not decode: {exc}") from exc


def _decode(file: BinaryIO, found: Format, max_pixels: int) -> Media:
    with READERS[found.codec](file) as picture:
        width, height = picture.size
        check_pixels(width, height)
        if width * height > max_pixels:
            raise NotLightError
        frames = _load_all(picture)
    if found.codec == "PNG":
        _check_end(file)
    return Media(found.kind, found.media_type, found.extension, width, height, None, frames)


def _load_all(picture: ImageFile.ImageFile) -> int:
    frames = 0
    while True:
        check_frames(*picture.size, frames + 1)
        picture.load()
        frames += 1
        try:
            picture.seek(frames)
        except EOFError:
            return frames


def _check_end(file: BinaryIO) -> None:
    """Check what Pillow does not: a PNG that breaks off after the last pixel."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - TAIL_BYTES))
    if PNG_END not in file.read():
        raise CorruptFileError("the PNG breaks off before its end")
