"""Every frame of a picture through Pillow.

Every frame of a video through PyAV.
"""

from __future__ import annotations

import os
import struct
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO

import av
import av.error
from PIL import Image, ImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from batchgen.downloads.media import (
    EBML,
    HEAD_BYTES,
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

    from av.container import InputContainer
    from av.video.stream import VideoStream


# Opened by class, not by Image.open: that one warns at a size which only a global can change.
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
"""What Pillow raises at damaged bytes."""
PNG_END = b"IEND"
TAIL_BYTES = 64 * 1024


def decode_picture(file: BinaryIO, found: Format, most: int = MAX_PIXELS) -> Media:
    """Raise CorruptFileError, NotLightError over `most` pixels, OSError where the disk fails."""
    with damage_told(found):
        return _decode(file, found, most)


@contextmanager
def damage_told(found: Format) -> Iterator[None]:
    """Raise CorruptFileError in place of whatever damaged bytes make a decoder raise."""
    try:
        yield
    except CorruptFileError:
        raise
    except MemoryError as exc:
        raise OutOfMemoryError(f"the {found.codec} needs more memory than there is") from exc
    except DAMAGE as exc:
        # Pillow's own OSErrors have no number; one that has comes from the disk.
        if isinstance(exc, OSError) and exc.errno is not None:
            raise
        raise CorruptFileError(f"the {found.codec} does not decode: {exc}") from exc


def _decode(file: BinaryIO, found: Format, most: int) -> Media:
    with READERS[found.codec](file) as picture:
        width, height = picture.size
        check_pixels(width, height)
        if width * height > most:
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
    """Pillow takes a PNG that breaks off after the last pixel."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - TAIL_BYTES))
    if PNG_END not in file.read():
        raise CorruptFileError("the PNG breaks off before its end")


SEGMENT = b"\x18\x53\x80\x67"


def decode_video(file: BinaryIO, found: Format) -> Media:
    """Raise CorruptFileError, and OSError where the disk fails.

    The demuxer is named, so that no playlist can make FFmpeg open other files or URLs.
    """
    try:
        _check_segment(file)
        with av.open(file, "r", format=found.codec) as container:
            return _decode_videos(container, found)
    except CorruptFileError:
        raise
    except MemoryError as exc:
        raise OutOfMemoryError("the video needs more memory than there is") from exc
    except (av.error.FFmpegError, ValueError, ArithmeticError) as exc:
        raise CorruptFileError(f"the video does not decode: {exc}") from exc


def _check_segment(file: BinaryIO) -> None:
    """Raise CorruptFileError for a Matroska file that is shorter than it says.

    FFmpeg takes the cut for the end. RFC 8794: the leading zero bits of a size's first byte tell
    how many bytes it has; a size of all ones is unknown, as in a live recording.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    head = file.read(HEAD_BYTES)
    file.seek(0)
    start = head.find(SEGMENT) + len(SEGMENT)
    if not head.startswith(EBML) or start < len(SEGMENT) or start >= len(head):
        return
    length = 9 - head[start].bit_length()
    unknown = (1 << 7 * length) - 1
    announced = int.from_bytes(head[start : start + length], "big") & unknown
    if announced != unknown and start + length + announced > size:
        raise CorruptFileError("the video breaks off before its end")


def picture_track(container: InputContainer) -> VideoStream:
    """Raise CorruptFileError where there is none that can be decoded."""
    if not container.streams.video:
        raise CorruptFileError("the file has no picture track")
    stream = container.streams.video[0]
    # PyAV's types say that it is always there; it is not where FFmpeg knows no decoder.
    if getattr(stream, "codec_context", None) is None:
        raise CorruptFileError("the video is in a coding that is not known here")
    return stream


def _decode_videos(container: InputContainer, found: Format) -> Media:
    stream = picture_track(container)
    width, height = stream.width, stream.height
    check_pixels(width, height)
    frames = _decode_all(container, stream)
    if frames == 0:
        raise CorruptFileError("the video has no frame")
    seconds = _seconds(container, stream)
    return Media(found.kind, found.media_type, found.extension, width, height, seconds, frames)


def _decode_all(container: InputContainer, stream: VideoStream) -> int:
    frames = packets = 0
    for packet in container.demux(stream):
        packets += packet.size > 0
        for frame in packet.decode():
            frames += 1
            check_pixels(frame.width, frame.height)
            check_frames(frame.width, frame.height, frames)
            if packet.is_corrupt or frame.is_corrupt:
                raise CorruptFileError(f"frame {frames} of the video is damaged")
    # Cut between two frames, nothing but the index tells that there were more.
    if packets < stream.frames:
        raise CorruptFileError(f"the video stops after {packets} of {stream.frames} frames")
    return frames


def _seconds(container: InputContainer, stream: VideoStream) -> float | None:
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    return None if container.duration is None else container.duration / av.time_base
