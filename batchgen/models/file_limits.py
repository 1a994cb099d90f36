"""Can a file of the user's be sent to a place of an input, and would a smaller copy help? Pure.

The rules are the page's, and for data: URIs also the limits that the vendor's own nodes keep.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from batchgen.models.file_rules import MEGABYTES, FileFacts, broken_rules

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from batchgen.input_files import LocalFile
    from batchgen.models.fields import FileRule
    from batchgen.models.file_rules import FileKind, FilePlace

MIB = 1_048_576
DATA_BYTES: Mapping[FileKind, int] = {"image": 6 * MIB, "video": 32 * MIB, "audio": 16 * MIB}
DATA_PIXELS = 32_000_000
REQUEST_BYTES = 64 * MIB
"""Of the whole JSON body. These are the limits of the vendor's own nodes."""

TAKEN = frozenset({"image/jpeg", "image/png"})
"""Pictures that the vendor takes."""
HEIC = "image/heic"
REENCODED = TAKEN | {"image/webp", "image/gif", "image/bmp", "image/tiff", "image/avif", HEIC}
"""Pictures of which `inputs: fit: true` can send a copy."""
MOST_PIXELS = 100_000_000
"""Of a picture that is decoded here, as for downloads (downloads/media.py)."""

WORST_BYTES_A_PIXEL = 2
"""Even noise takes less in the lowest quality that uploads/fitting.py goes down to."""
OVERHEAD = 64 * 1024
"""Bytes of a copy besides its pixels, such as its colour profile, at most."""
SHRINKING = 0.8
MOST_SHRINKINGS = 12
"""A copy whose bytes do not fit is made smaller by this, at most so often."""

_NOUNS: Mapping[FileKind, str] = {"image": "a picture", "video": "a video", "audio": "a sound"}
_WITHOUT_HEIC = (
    "save it as JPEG or PNG, or `pip install 'batchgen[heic]'` and set `inputs: fit: true`"
)
_FORMATS = {"webp": "WebP", "svg+xml": "SVG"}


@dataclass(frozen=True, slots=True)
class Fit:
    """Sizes for a copy that keeps the rules, largest first, and how many bytes it may have."""

    sizes: tuple[tuple[int, int], ...]
    most_bytes: int


@dataclass(frozen=True, slots=True)
class NoFit:
    """What would still be wrong with a smaller copy, in sentences."""

    left: str


@dataclass(frozen=True, slots=True)
class _Trouble:
    sentence: str
    is_of_data: bool = False
    is_of_format: bool = False


def trouble_with_file(
    place: FilePlace, file: LocalFile, *, by_data: bool, fit: bool
) -> tuple[str, str | None] | None:
    """What is wrong with a file at this place and the cure, if there is one; None if it can go.

    With `fit`, what a smaller copy cures is not wrong.
    """
    found = list(_troubles(place, file, by_data=by_data))
    if not found:
        return None
    fitted = _fit_of(place, file, by_data=by_data)
    if fit and isinstance(fitted, Fit):
        return None
    left = fitted.left if fit and isinstance(fitted, NoFit) else ""
    sentences = left or " ".join(trouble.sentence for trouble in found)
    if file.media_type == HEIC and file.width is None and len(found) == 1:
        return sentences, _WITHOUT_HEIC
    return sentences, _cure(found, fit_helps=isinstance(fitted, Fit), by_data=by_data)


def fit_for(rules: tuple[FileRule, ...], width: int, height: int, *, by_data: bool) -> Fit | NoFit:
    """The sizes, in pixels, that a copy of a picture may have, and how many bytes."""
    most_pixels = DATA_PIXELS if by_data else MOST_PIXELS
    scale = _largest_scale(rules, width, height, most_pixels)
    found: dict[tuple[int, int], None] = {}
    for count in range(MOST_SHRINKINGS + 1):
        size = _size_near(rules, (width, height), scale * SHRINKING**count, most_pixels)
        if size is not None:
            found[size] = None
    if not found:
        return NoFit(_left_broken(rules, width, height, scale))
    most_bytes = _most_bytes(rules, by_data=by_data)
    least_pixels = min(map(math.prod, found))
    if least_pixels * WORST_BYTES_A_PIXEL + OVERHEAD > most_bytes:
        return NoFit(
            f"No copy of it is certain to have less than {most_bytes / MEGABYTES[0]:.2g} MB."
        )
    return Fit(tuple(found), most_bytes)


def _troubles(place: FilePlace, file: LocalFile, *, by_data: bool) -> Iterator[_Trouble]:
    kind, _, form = file.media_type.partition("/")
    if kind != place.kind:
        yield _Trouble(f"This input takes {_NOUNS[place.kind]}, and it is {_name(kind, form)}.")
        return
    if kind == "image" and file.media_type not in TAKEN:
        yield _Trouble(f"The vendor takes JPEG and PNG. (it is {_form(form)})", is_of_format=True)
    facts = FileFacts(file.media_type, file.width, file.height, file.bytes)
    yield from (_Trouble(str(rule)) for rule in broken_rules(place.rules, facts))
    pixels = (file.width or 0) * (file.height or 0)
    if pixels > MOST_PIXELS and kind == "image":
        most = MOST_PIXELS // 1_000_000
        yield _Trouble(f"More than {most} megapixels cannot be checked here. {_has(file)}")
    elif by_data:
        yield from _troubles_of_data(place.kind, file, pixels)


def _troubles_of_data(kind: FileKind, file: LocalFile, pixels: int) -> Iterator[_Trouble]:
    """The limits of the vendor's nodes."""
    noun, most = _NOUNS[kind], DATA_BYTES[kind]
    if file.bytes > most:
        limit, size = most // MIB, file.bytes / MIB
        sentence = f"A request carries {noun} of at most {limit} MiB. (it has {size:.3g} MiB)"
        yield _Trouble(sentence, is_of_data=True)
    if kind == "image" and pixels > DATA_PIXELS:
        limit = DATA_PIXELS // 1_000_000
        sentence = f"A request carries {noun} of at most {limit} megapixels. {_has(file)}"
        yield _Trouble(sentence, is_of_data=True)


def _fit_of(place: FilePlace, file: LocalFile, *, by_data: bool) -> Fit | NoFit | None:
    """None for what is not scaled down: other kinds, unread formats, far too many pixels."""
    if place.kind != "image" or file.media_type not in REENCODED:
        return None
    if not file.width or not file.height or file.width * file.height > MOST_PIXELS:
        return None
    return fit_for(place.rules, file.width, file.height, by_data=by_data)


def _cure(found: list[_Trouble], *, fit_helps: bool, by_data: bool) -> str | None:
    is_of_format = all(trouble.is_of_format for trouble in found)
    bucket_helps = by_data and all(trouble.is_of_data for trouble in found)
    copy = "a copy as JPEG or PNG" if is_of_format else "a smaller copy"
    cures = [
        *([f"`inputs: fit: true` sends {copy}"] if fit_helps else []),
        *(["a bucket (`inputs: send: s3://…`) takes it as it is"] if bucket_helps else []),
    ]
    if not cures and is_of_format:
        return "save it as JPEG or PNG"
    return ", or ".join(cures) or None


def _largest_scale(rules: tuple[FileRule, ...], width: int, height: int, most_pixels: int) -> float:
    """At most 1: pictures are never enlarged."""
    widest, highest = _most(rules, "width_pixels"), _most(rules, "height_pixels")
    return min(1.0, widest / width, highest / height, math.sqrt(most_pixels / (width * height)))


def _most(rules: tuple[FileRule, ...], quantity: str) -> float:
    limits = [rule for rule in rules if rule.quantity == quantity]
    below = [math.ceil(rule.limit) - 1 for rule in limits if rule.operator == "<"]
    up_to = [math.floor(rule.limit) for rule in limits if rule.operator in {"<=", "=="}]
    return min([*below, *up_to], default=math.inf)


def _most_bytes(rules: tuple[FileRule, ...], *, by_data: bool) -> int:
    """The smaller megabyte, since no page says which it means."""
    sizes = [rule for rule in rules if rule.quantity == "file_size_mb"]
    most = [math.ceil(r.limit * MEGABYTES[0]) - 1 for r in sizes if r.operator in {"<", "<=", "=="}]
    return min([*most, DATA_BYTES["image"] if by_data else REQUEST_BYTES])


def _size_near(
    rules: tuple[FileRule, ...], size: tuple[int, int], scale: float, most_pixels: int
) -> tuple[int, int] | None:
    """The scaled size, rounded so that the rules are kept: rounding alone may break a ratio."""
    width, height = size
    around = [
        (wide, high)
        for wide in _around(width * scale)
        for high in _around(height * scale)
        if wide * high <= most_pixels and not broken_rules(rules, _facts(wide, high))
    ]
    return min(around, key=lambda one: abs(one[0] * height - one[1] * width), default=None)


def _around(length: float) -> set[int]:
    return {max(1, math.floor(length)), max(1, math.ceil(length))}


def _left_broken(rules: tuple[FileRule, ...], width: int, height: int, scale: float) -> str:
    wide, high = max(1, math.floor(width * scale)), max(1, math.floor(height * scale))
    has = (
        f"it has {wide}x{high} pixels"
        if scale == 1
        else f"scaled down, it has {wide}x{high} pixels"
    )
    broken = broken_rules(rules, _facts(wide, high))
    return " ".join(f"{rule.sentence} ({has})" for rule in broken)


def _facts(width: int, height: int) -> FileFacts:
    return FileFacts("image/jpeg", width, height, None)


def _has(file: LocalFile) -> str:
    return f"(it has {file.width}x{file.height} pixels)"


def _name(kind: str, form: str) -> str:
    return next((noun for known, noun in _NOUNS.items() if known == kind), f"{kind}/{form}")


def _form(form: str) -> str:
    return _FORMATS.get(form, form.upper())
