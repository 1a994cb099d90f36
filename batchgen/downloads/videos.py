"""Decodes every frame of a video with PyAV."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, BinaryIO

import av
import av.error

from batchgen.downloads.media import (
    EBML,
    HEAD_BYTES,
    M4A,
    MKV,
    MOV,
    MP4,
    WEBM,
    CorruptFileError,
    Format,
    Media,
    MediaKind,
    OutOfMemoryError,
    check_frames,
    check_pixels,
)
from batchgen.downloads.sounds import decoded_sound

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

SOUND_OF = {
    MP4: M4A,
    MOV: M4A,
    WEBM: Format(MediaKind.AUDIO, "audio/webm", ".webm", "webm"),
    MKV: Format(MediaKind.AUDIO, "audio/x-matroska", ".mkv", "matroska"),
}
"""What a file of such a container is if it has no picture track."""
SEGMENT = b"\x18\x53\x80\x67"


def decode_video(file: BinaryIO, found: Format) -> Media:
    """Raises CorruptFileError, and OSError if the disk fails.

    The demuxer is fixed, so that no playlist can make FFmpeg open other files or URLs.
    """
    try:
        _check_segment(file)
        with av.open(file, "r", format=found.codec) as container:
            return _decode(container, found)
    except CorruptFileError:
        raise
    except MemoryError as exc:
        raise OutOfMemoryError("the video needs more memory than is available") from exc
    except (av.error.FFmpegError, ValueError, ArithmeticError) as exc:
        raise CorruptFileError(f"the video does not decode: {exc}") from exc


def _check_segment(file: BinaryIO) -> None:
    """Raise CorruptFileError for a Matroska file that is shorter than it announces.

    FFmpeg takes a truncated file for a whole one. RFC 8794: the leading zero bits of a size's first
    byte give its length in bytes; a size of all ones is unknown, as in a live recording.
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
    """Return the video stream. Raises CorruptFileError if none can be decoded."""
    if not container.streams.video:
        raise CorruptFileError("the file has no picture track")
    stream = container.streams.video[0]
    # PyAV's types claim that it always exists; without a decoder in FFmpeg it does not.
    if getattr(stream, "codec_context", None) is None:
        raise CorruptFileError("the video uses a codec that FFmpeg does not know here")
    return stream


def _decode(container: InputContainer, found: Format) -> Media:
    if not container.streams.video and container.streams.audio:
        # The container of a video, as some models send a sound.
        return decoded_sound(container, SOUND_OF.get(found, found))
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
    # If the file is cut between two frames, only the index shows that there were more.
    if packets < stream.frames:
        raise CorruptFileError(f"the video stops after {packets} of {stream.frames} frames")
    return frames


def _seconds(container: InputContainer, stream: VideoStream) -> float | None:
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    return None if container.duration is None else container.duration / av.time_base
