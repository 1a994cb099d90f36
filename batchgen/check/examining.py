"""One file: is it what the state knows, and what does it show? Runs in another process.

A picture is measured whole, a video by a few frames from all over it.
"""

from __future__ import annotations

import errno
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from PIL import Image, ImageOps

from batchgen.check.measures import Measure, look_of, measured, plain
from batchgen.downloads.media import (
    HEAD_BYTES,
    CorruptFileError,
    Format,
    MediaKind,
    OutOfMemoryError,
    check_pixels,
    decode,
    sniff,
)
from batchgen.downloads.pictures import READERS, damage_translated
from batchgen.errors import OutputError
from batchgen.fs import open_to_read

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from io import BufferedReader

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


MISSING = "the file is missing"
# As `batchgen verify` says it.
LINK = "a symbolic link in its place"
NOT_A_FILE = "something that is not a file in its place"


@dataclass(frozen=True, slots=True)
class Source:
    """A file as the state knows it. `is_known`: what its content shows is known already."""

    path: str
    sha256: str
    bytes: int
    frames: int
    is_known: bool
    with_looks: bool


@dataclass(frozen=True, slots=True)
class Stamp:
    """Shows without reading it that a file has not been touched."""

    bytes: int
    mtime_ns: int
    inode: int


@dataclass(frozen=True, slots=True)
class Examined:
    """`trouble`: why the file is not what the state knows. `stamp`: of the file that was read."""

    trouble: str = ""
    stamp: Stamp | None = None
    measure: Measure | None = None


def stamp_of(path: Path) -> Stamp | None:
    """None where there is nothing. Follows no link."""
    try:
        return _stamp(os.lstat(path))
    except OSError:
        return None


def _stamp(found: os.stat_result) -> Stamp:
    return Stamp(found.st_size, found.st_mtime_ns, found.st_ino)


def examine(source: Source) -> Examined:
    """Read the file; whatever is wrong with it is returned, not raised."""
    try:
        with open_to_read(Path(source.path)) as file:
            return _examine(file, source)
    except OutOfMemoryError as exc:
        return Examined(str(exc))
    except (FileNotFoundError, NotADirectoryError):
        return Examined(MISSING)
    except OutputError:
        return Examined(NOT_A_FILE)
    except OSError as exc:
        if exc.errno == errno.ELOOP:
            return Examined(LINK)
        return Examined(f"the file cannot be read: {exc.strerror or exc}")


def given_up(_source: Source) -> Examined:
    """Of a file at which processes die: it has no stamp, so the next check tries it again."""
    return Examined("it cannot be looked at: that kills the process, as where memory runs out")


def _examine(file: BufferedReader, source: Source) -> Examined:
    stamp = _stamp(os.fstat(file.fileno()))
    if stamp.bytes != source.bytes:
        return Examined(f"{stamp.bytes} bytes instead of {source.bytes}{_and_decodes_not(file)}")
    if hashlib.file_digest(file, "sha256").hexdigest() != source.sha256:
        return Examined(f"another content than was downloaded{_and_decodes_not(file)}")
    # The same bytes were decoded to the last one when they came, so a part of them is enough now.
    return Examined("", stamp, None if source.is_known else measure(file, source))


def measure(file: BufferedReader, source: Source, look: Callable[..., bytes] = look_of) -> Measure:
    """Look at a content. Raises OSError where the disk fails."""
    try:
        frames, is_video = sample(file, source.frames)
    except OutOfMemoryError:
        raise  # No word about the file: with more memory the next check may look at it.
    except CorruptFileError as exc:
        return Measure(trouble=str(exc))
    looks = [look(frame) for frame in frames] if source.with_looks else []
    return measured(frames, looks, is_video=is_video)


def _and_decodes_not(file: BufferedReader) -> str:
    try:
        decode(file)
    except CorruptFileError as exc:
        return f"; {exc}"
    return ""
