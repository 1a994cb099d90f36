"""Decodes all of a sound with PyAV, and finds its peaks, from which a waveform is drawn."""

from __future__ import annotations

import os
from array import array
from typing import TYPE_CHECKING, BinaryIO

import av
import av.error
from av.audio.resampler import AudioResampler

from batchgen.downloads.media import (
    MAX_SOUND_SECONDS,
    WAV,
    CorruptFileError,
    Format,
    Media,
    MediaKind,
    OutOfMemoryError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from av.audio.frame import AudioFrame
    from av.audio.stream import AudioStream
    from av.container import InputContainer

RIFF_HEADER = 8
UNKNOWN_SIZE = 0xFFFFFFFF
SHORTEST_PART = 0.98
"""A sound that has less than this of the length that it announces breaks off."""
EXACT = frozenset({"flac", "mp4"})
"""Containers that announce an exact length; for an MP3 it may be an estimate."""
PEAK_RATE = 8000
LOUDEST = 32_768


def decode_sound(file: BinaryIO, found: Format) -> Media:
    """Raises CorruptFileError, and OSError if the disk fails.

    The demuxer is fixed, so that no playlist can make FFmpeg open other files or URLs.
    """
    try:
        _check_riff(file, found)
        with av.open(file, "r", format=found.codec) as container:
            return decoded_sound(container, found)
    except CorruptFileError:
        raise
    except MemoryError as exc:
        raise OutOfMemoryError("the sound needs more memory than is available") from exc
    except (av.error.FFmpegError, ValueError, ArithmeticError) as exc:
        raise CorruptFileError(f"the sound does not decode: {exc}") from exc


def decoded_sound(container: InputContainer, found: Format) -> Media:
    """Decode all of an open file. Raises CorruptFileError and FFmpeg's errors."""
    stream = sound_track(container)
    seconds = 0.0
    for frame in _frames(container, stream):
        seconds += frame.samples / frame.sample_rate
        if seconds > MAX_SOUND_SECONDS:
            raise CorruptFileError("the sound is longer than a day")
    if not seconds:
        raise CorruptFileError("the sound is empty")
    announced = _announced(stream) if found.codec in EXACT else None
    if announced is not None and seconds < announced * SHORTEST_PART:
        raise CorruptFileError(f"the sound stops after {seconds:.1f} of {announced:.1f} s")
    return Media(MediaKind.AUDIO, found.media_type, found.extension, None, None, seconds, 0)


def sound_track(container: InputContainer) -> AudioStream:
    """Return the audio stream. Raises CorruptFileError if none can be decoded."""
    if not container.streams.audio:
        raise CorruptFileError("the file has no sound track")
    stream = container.streams.audio[0]
    # As for videos: without a decoder in FFmpeg there is no context.
    if getattr(stream, "codec_context", None) is None:
        raise CorruptFileError("the sound uses a codec that FFmpeg does not know here")
    return stream


def _frames(container: InputContainer, stream: AudioStream) -> Iterator[AudioFrame]:
    for packet in container.demux(stream):
        for frame in packet.decode():
            if packet.is_corrupt or frame.is_corrupt:
                raise CorruptFileError("a part of the sound is damaged")
            yield frame


def _announced(stream: AudioStream) -> float | None:
    if stream.duration is None or stream.time_base is None:
        return None
    return float(stream.duration * stream.time_base)


def _check_riff(file: BinaryIO, found: Format) -> None:
    """Raise CorruptFileError for a WAV that is shorter than it announces: FFmpeg takes it whole."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    head = file.read(RIFF_HEADER)
    file.seek(0)
    announced = int.from_bytes(head[4:8], "little")
    # A size of all ones, or of zero, is unknown, as in a stream.
    if found is WAV and announced not in {0, UNKNOWN_SIZE} and size < announced + RIFF_HEADER:
        raise CorruptFileError("the sound breaks off before its end")


def peaks(container: InputContainer) -> list[float]:
    """The loudest sample, from 0 to 1, of each of many short parts, in order."""
    stream = sound_track(container)
    resampler = AudioResampler(format="s16", layout="mono", rate=PEAK_RATE)
    found: list[float] = []
    for frame in container.decode(stream):
        for part in resampler.resample(frame):
            samples = array("h", bytes(part.planes[0])[: 2 * part.samples])
            found.append(max(map(abs, samples), default=0) / LOUDEST)
    return found
