"""A smaller copy of a picture, for `inputs: fit: true`. The original is never touched.

The same picture always gives the same bytes.
"""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, BinaryIO

from PIL import Image, ImageCms, ImageOps
from PIL.AvifImagePlugin import AvifImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.TiffImagePlugin import TiffImageFile

from batchgen.downloads.headers import media_type_of
from batchgen.downloads.media import (
    HEAD_BYTES,
    CorruptFileError,
    Format,
    MediaKind,
    check_pixels,
    sniff,
)
from batchgen.downloads.pictures import READERS, damage_translated
from batchgen.models.file_limits import NoFit, fit_for
from batchgen.uploads import heic

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

    from batchgen.models.fields import FileRule

BMP = Format(MediaKind.IMAGE, "image/bmp", ".bmp", "BMP")
TIFF = Format(MediaKind.IMAGE, "image/tiff", ".tif", "TIFF")
AVIF = Format(MediaKind.IMAGE, "image/avif", ".avif", "AVIF")
_OTHER_READERS: dict[str, type[ImageFile]] = {
    "BMP": BmpImageFile,
    "TIFF": TiffImageFile,
    "AVIF": AvifImageFile,
}
OTHER_FORMATS = {one.media_type: one for one in (BMP, TIFF, AVIF, heic.HEIC)}
"""Pictures that no model makes: a copy of them may be sent, never they themselves."""

QUALITIES = (95, 90, 85, 75, 60)
FULL_COLOUR = 90
"""From this quality on, colours have the full resolution (4:4:4)."""
LARGEST_PROFILE = 32 * 1024
"""Bytes of a colour profile that a copy keeps; with a larger one its colours become sRGB."""
EIGHT_BITS = 1 / 257
"""From 16 bits a pixel to 8."""


class CannotFitError(Exception):
    """No copy of the picture would be taken; the message says why."""


def sniff_own(head: bytes) -> Format:
    """As media.sniff, with the formats that only people's own pictures have."""
    return OTHER_FORMATS.get(media_type_of(head)) or sniff(head)


def smaller_copy(
    content: bytes, rules: tuple[FileRule, ...], *, by_data: bool
) -> tuple[bytes, str]:
    """The bytes and media type of a copy that keeps the rules.

    Raises CannotFitError, and CorruptFileError if the picture does not decode. Blocks.
    """
    found = sniff_own(content[:HEAD_BYTES])
    with damage_translated(found):
        with _opened(BytesIO(content), found) as opened:
            upright = _upright(opened)
        return _copy_of(upright, rules, by_data=by_data)


def size_in_header(content: bytes, found: Format) -> tuple[int, int]:
    """Raises CorruptFileError."""
    with damage_translated(found), _reader(found)(BytesIO(content)) as opened:
        return opened.size


def _copy_of(
    upright: Image.Image, rules: tuple[FileRule, ...], *, by_data: bool
) -> tuple[bytes, str]:
    # Upright, a picture may be higher than wide while its file, which the rules see, is not.
    fit = fit_for(rules, *upright.size, by_data=by_data)
    if isinstance(fit, NoFit):
        raise CannotFitError(fit.left)
    for size in fit.sizes:
        scaled = upright if size == upright.size else upright.resize(size, Image.Resampling.LANCZOS)
        copy = _encoded(scaled, fit.most_bytes)
        if copy is not None:
            return copy
    raise CannotFitError(f"No copy of it has less than {fit.most_bytes / 1e6:.2g} MB.")


def _reader(found: Format) -> type[ImageFile]:
    if found.kind is not MediaKind.IMAGE:
        raise CorruptFileError("it is not a picture")
    if found == heic.HEIC:
        read = heic.reader()
        if read is None:
            raise CannotFitError("reading HEIC needs pip install 'batchgen[heic]'")
        return read
    return READERS.get(found.codec) or _OTHER_READERS[found.codec]


def _opened(file: BinaryIO, found: Format) -> ImageFile:
    opened = _reader(found)(file)
    check_pixels(*opened.size)
    # A file from a camera, and a TIFF, may hold previews or others of a burst beside its picture.
    if found.codec not in {"JPEG", "TIFF", "HEIC"} and getattr(opened, "n_frames", 1) > 1:
        raise CannotFitError("it is animated: save the frame that you want as a PNG")
    return opened


def _upright(opened: ImageFile) -> Image.Image:
    """Its pixels in a mode that JPEG or PNG has, turned as its EXIF says."""
    profile = opened.info.get("icc_profile")
    opened.load()
    picture = _in_eight_bits(ImageOps.exif_transpose(opened))
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
    elif picture.mode not in {"L", "RGB"}:
        picture, profile = _in_rgb(picture, profile)
    if profile and len(profile) > LARGEST_PROFILE:
        picture, profile = _in_srgb(picture, profile), None
    picture.info = {"icc_profile": profile} if profile else {}
    return picture


def _in_eight_bits(picture: Image.Image) -> Image.Image:
    """Pillow itself would clip what is brighter than 255."""
    if picture.mode == "F":
        raise CannotFitError("its pixels are floating-point numbers: save it as JPEG or PNG")
    if picture.mode.startswith("I"):
        return picture.convert("I").point(lambda value: value * EIGHT_BITS).convert("L")
    return picture


def _in_rgb(picture: Image.Image, profile: bytes | None) -> tuple[Image.Image, bytes | None]:
    if picture.mode in {"1", "LA"}:
        return picture.convert("L"), None
    if picture.mode == "CMYK" and profile:
        return _in_srgb(picture, profile), None
    keeps = picture.mode in {"P", "RGBX"}
    return picture.convert("RGB"), profile if keeps else None


def _in_srgb(picture: Image.Image, profile: bytes) -> Image.Image:
    mode = picture.mode if picture.mode in {"RGB", "RGBA"} else "RGB"
    try:
        converted = ImageCms.profileToProfile(
            picture,
            ImageCms.ImageCmsProfile(BytesIO(profile)),
            ImageCms.createProfile("sRGB"),
            outputMode=mode,
        )
    except (ImageCms.PyCMSError, OSError):
        # A profile that is damaged, or of another mode, says nothing about the colours.
        return picture.convert(mode)
    return picture.convert(mode) if converted is None else converted


def _encoded(picture: Image.Image, most_bytes: int) -> tuple[bytes, str] | None:
    """None if it has too many bytes even in the lowest quality."""
    if picture.mode == "RGBA":
        as_png = _saved(picture, "PNG", optimize=False)
        if len(as_png) <= most_bytes:
            return as_png, "image/png"
        picture = _on_white(picture)
    for quality in QUALITIES:
        subsampling = 0 if quality >= FULL_COLOUR else 2
        as_jpeg = _saved(picture, "JPEG", quality=quality, subsampling=subsampling)
        if len(as_jpeg) <= most_bytes:
            return as_jpeg, "image/jpeg"
    return None


def _on_white(picture: Image.Image) -> Image.Image:
    flat = Image.new("RGB", picture.size, "white")
    flat.paste(picture, mask=picture.getchannel("A"))
    flat.info = dict(picture.info)
    return flat


def _saved(picture: Image.Image, form: str, **options: object) -> bytes:
    out = BytesIO()
    picture.save(out, form, icc_profile=picture.info.get("icc_profile"), **options)
    return out.getvalue()
