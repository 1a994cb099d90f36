"""Examines one file, in another process: whether it is what the state has, and what it shows.

A picture is measured whole, a video by a few frames spread over its length.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from PIL import Image, ImageOps

from batchgen.check.measures import Measure, measured, perceptual_hash, plain
from batchgen.downloads.decoding import decode
from batchgen.downloads.media import (
    HEAD_BYTES,
    CorruptFileError,
    Format,
    MediaKind,
    OutOfMemoryError,
    check_pixels,
    sniff,
)
from batchgen.downloads.pictures import READERS, damage_translated
from batchgen.storage.results import open_results
from batchgen.storage.stamps import ObstacleError, Stamp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from av.container import InputContainer

    from batchgen.storage.locations import Location


SAMPLES = 5
LEAST_SIDE = 512
"""A JPEG is decoded at a half, a quarter or an eighth of its size, but not below this."""


def sample(file: BinaryIO, frames: int) -> tuple[list[Image.Image], bool]:
    """Return frames as `plain` makes them, and whether they are a sequence in time.

    The file has `frames` of them; a picture with more than one is an animation.

    Raises CorruptFileError, and OSError if the disk fails.
    """
    file.seek(0)
    found = sniff(file.read(HEAD_BYTES))
    file.seek(0)
    with damage_translated(found):
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
        # The demuxer is fixed, so that no playlist can make FFmpeg open other files or URLs.
        with av.open(file, "r", format=found.codec) as container:
            sampled = list(_sampled(container, wanted_frames(frames)))
    except av.error.FFmpegError as exc:
        raise CorruptFileError(f"the video does not decode: {exc}") from exc
    if not sampled:
        raise CorruptFileError("the video has no frame")
    return sampled


def _filled_up(sampled: list[Image.Image]) -> list[Image.Image]:
    """Repeat the last frame up to SAMPLES, so that any two files can be compared."""
    return sampled + sampled[-1:] * (SAMPLES - len(sampled))


def wanted_frames(frames: int) -> list[int]:
    """Return the distinct numbers, from 0, of the frames in the middle of SAMPLES equal parts."""
    return sorted({(2 * part + 1) * frames // (2 * SAMPLES) for part in range(SAMPLES)})


def _sampled(container: InputContainer, wanted: list[int]) -> Iterator[Image.Image]:
    """Yield frames in one pass: with few key frames, each seek would decode the start again."""
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


MISSING = "the file is missing"


@dataclass(frozen=True, slots=True)
class Source:
    """A file as the state has it. `is_known`: its content was measured before."""

    location: Location
    path: str
    sha256: str
    bytes: int
    frames: int
    is_known: bool
    with_hashes: bool


@dataclass(frozen=True, slots=True)
class Examined:
    """`trouble`: why the file is not what the state has. `stamp`: of the file that was read."""

    trouble: str = ""
    stamp: Stamp | None = None
    measure: Measure | None = None


def examine(source: Source) -> Examined:
    """Read the file; problems with it are returned, not raised.

    Raises BucketError and BucketUnavailableError, which say nothing about the file.
    """
    try:
        file, stamp = open_results(source.location).open_stamped(source.path)
        with file:
            return _examine(file, stamp, source)
    except OutOfMemoryError as exc:
        return Examined(str(exc))
    except (FileNotFoundError, NotADirectoryError):
        return Examined(MISSING)
    except ObstacleError as exc:
        return Examined(exc.obstacle)
    except OSError as exc:
        return Examined(f"the file cannot be read: {exc.strerror or exc}")


def examine_failed(_source: Source) -> Examined:
    """For a file that kills processes. Without a stamp, the next check tries it again."""
    return Examined("it cannot be examined: it kills the process, as when memory runs out")


def _examine(file: BinaryIO, stamp: Stamp, source: Source) -> Examined:
    if stamp.bytes != source.bytes:
        return Examined(f"{stamp.bytes} bytes instead of {source.bytes}{_decode_error(file)}")
    # The type of every opened file has no readinto; all of them do.
    if hashlib.file_digest(file, "sha256").hexdigest() != source.sha256:  # type: ignore[arg-type]
        return Examined(f"not the content that was downloaded{_decode_error(file)}")
    # These bytes were fully decoded when they were downloaded, so sampling is enough now.
    return Examined("", stamp, None if source.is_known else measure(file, source))


def measure(
    file: BinaryIO, source: Source, hash_of: Callable[..., bytes] = perceptual_hash
) -> Measure:
    """Measure a file's content. Raises OSError if the disk fails.

    A sound has nothing to measure: it was decoded when it was downloaded.
    """
    try:
        if not source.frames:
            return Measure()
        frames, is_video = sample(file, source.frames)
    except OutOfMemoryError:
        raise  # says nothing about the file: with more memory the next check may succeed
    except CorruptFileError as exc:
        return Measure(trouble=str(exc))
    hashes = [hash_of(frame) for frame in frames] if source.with_hashes else []
    return measured(frames, hashes, is_video=is_video)


def _decode_error(file: BinaryIO) -> str:
    try:
        decode(file)
    except CorruptFileError as exc:
        return f"; {exc}"
    return ""
