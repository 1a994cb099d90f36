"""A few frames of a file: the picture itself, or frames from all over what moves."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

from PIL import Image, ImageOps

from batchgen.check.measures import plain
from batchgen.downloads.formats import (
    HEAD_BYTES,
    CorruptFileError,
    Format,
    MediaKind,
    check_pixels,
)
from batchgen.downloads.media import sniff
from batchgen.downloads.pictures import READERS, damage_told

if TYPE_CHECKING:
    from collections.abc import Iterator

    from av.container import InputContainer

SAMPLES = 5
LEAST_SIDE = 512
"""A JPEG is decoded at a half, a quarter or an eighth of its size, but not below this."""


def sample(file: BinaryIO, frames: int) -> tuple[list[Image.Image], bool]:
    """Frames as `plain` makes them, and whether they follow each other in time.

    `frames`: how many the file has; a picture with more than one is an animation.

    Raises CorruptFileError, and OSError where the disk fails.
    """
    file.seek(0)
    found = sniff(file.read(HEAD_BYTES))
    file.seek(0)
    with damage_told(found):
        if found.kind is MediaKind.VIDEO:
            return _filled_up(_video(file, found, frames)), True
        if frames > 1:
            return _filled_up(_animation(file, found, frames)), True
        return [_still(file, found)], False


def _still(file: BinaryIO, found: Format) -> Image.Image:
    picture = READERS[found.codec](file)
    check_pixels(*picture.size)
    picture.draft(None, (LEAST_SIDE, LEAST_SIDE))
    picture.load()
    ImageOps.exif_transpose(picture, in_place=True)
    return plain(picture)


def _animation(file: BinaryIO, found: Format, frames: int) -> list[Image.Image]:
    sampled = []
    with READERS[found.codec](file) as picture:
        check_pixels(*picture.size)
        for number in wanted_frames(frames):
            picture.seek(number)
            # A copy: the next frame is drawn over this one.
            sampled.append(plain(picture.copy()))
    return sampled


def _video(file: BinaryIO, found: Format, frames: int) -> list[Image.Image]:
    import av  # noqa: PLC0415 - a run of pictures never loads PyAV
    import av.error  # noqa: PLC0415 - as above

    try:
        # The demuxer is named, so that no playlist can make FFmpeg open other files or URLs.
        with av.open(file, "r", format=found.codec) as container:
            sampled = list(_sampled(container, wanted_frames(frames)))
    except av.error.FFmpegError as exc:
        raise CorruptFileError(f"the video does not decode: {exc}") from exc
    if not sampled:
        raise CorruptFileError("the video has no frame")
    return sampled


def _filled_up(sampled: list[Image.Image]) -> list[Image.Image]:
    """Equally many, so that any two can be compared."""
    return sampled + sampled[-1:] * (SAMPLES - len(sampled))


def wanted_frames(frames: int) -> list[int]:
    """Numbers, from 0, of the frames in the middles of SAMPLES equal parts; each once."""
    return sorted({(2 * part + 1) * frames // (2 * SAMPLES) for part in range(SAMPLES)})


def _sampled(container: InputContainer, wanted: list[int]) -> Iterator[Image.Image]:
    """In one pass: a clip has few key frames, often one, so a seek decodes all before it anew."""
    from batchgen.downloads.videos import picture_track  # noqa: PLC0415 - it loads PyAV

    stream = picture_track(container)
    check_pixels(stream.width, stream.height)
    for number, frame in enumerate(container.decode(stream)):
        if number in wanted:
            check_pixels(frame.width, frame.height)
            picture: Image.Image = frame.to_image()  # type: ignore[no-untyped-call]
            yield plain(picture)
        if number == wanted[-1]:
            return
