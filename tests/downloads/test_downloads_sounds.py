"""Sounds are recognized by their bytes and decoded to their end."""

from __future__ import annotations

import io

import av
import pytest
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream

from batchgen.downloads.decoding import decode, decode_light
from batchgen.downloads.media import CorruptFileError, MediaKind, NotLightError, sniff
from batchgen.downloads.sounds import peaks
from batchgen.emulator.sounds import mp3, wav
from batchgen.report.thumbnails import LONGEST_SIDE, waveform

SECONDS = 2.0
RATE = 48_000


def packed(form: str, codec: str, seconds: float = SECONDS) -> bytes:
    """A silent sound in any container."""
    file = io.BytesIO()
    with av.open(file, "w", format=form) as container:
        stream = container.add_stream(codec, rate=RATE)
        assert isinstance(stream, AudioStream)
        stream.layout = "mono"
        size = stream.codec_context.frame_size or 1024
        for number in range(int(seconds * RATE) // size):
            frame = AudioFrame(format=stream.codec_context.format.name, layout="mono", samples=size)
            frame.planes[0].update(bytes(frame.planes[0].buffer_size))
            frame.sample_rate, frame.pts = RATE, number * size
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file.getvalue()


SOUNDS = {
    "wav": (wav(1, SECONDS), "audio/wav", ".wav"),
    "mp3": (mp3(1, SECONDS), "audio/mpeg", ".mp3"),
    "flac": (packed("flac", "flac"), "audio/flac", ".flac"),
    "ogg": (packed("ogg", "libopus"), "audio/ogg", ".ogg"),
    "m4a": (packed("ipod", "aac"), "audio/mp4", ".m4a"),
    "mp4 without pictures": (packed("mp4", "aac"), "audio/mp4", ".m4a"),
    "webm without pictures": (packed("webm", "libopus"), "audio/webm", ".webm"),
}


@pytest.mark.parametrize("name", SOUNDS)
def test_a_sound_is_decoded_to_its_end(name: str) -> None:
    body, media_type, extension = SOUNDS[name]
    found = decode(io.BytesIO(body))
    assert (found.kind, found.media_type, found.extension) == (
        MediaKind.AUDIO,
        media_type,
        extension,
    )
    assert (found.width, found.height, found.frames) == (None, None, 0)
    assert found.seconds == pytest.approx(SECONDS, abs=0.15)
    with pytest.raises(NotLightError):
        decode_light(io.BytesIO(body))


@pytest.mark.parametrize("name", ["wav", "flac", "m4a"])
def test_a_sound_that_breaks_off_is_corrupt(name: str) -> None:
    body = SOUNDS[name][0]
    with pytest.raises(CorruptFileError):
        decode(io.BytesIO(body[: len(body) // 2]))


def test_noise_behind_the_beginning_of_a_sound_is_corrupt() -> None:
    with pytest.raises(CorruptFileError):
        decode(io.BytesIO(b"ID3\x04\0\0\0\0\0\0" + b"\x55" * 4000))
    with pytest.raises(CorruptFileError, match="the sound"):
        decode(io.BytesIO(wav(1, 1.0)[:44]))


def test_a_jpeg_is_no_sound_and_an_mp3_needs_no_tag() -> None:
    assert sniff(b"\xff\xd8\xff\xe0").kind is MediaKind.IMAGE
    assert sniff(b"\xff\xfb\x90\x44\0\0").media_type == "audio/mpeg"
    with pytest.raises(CorruptFileError):
        sniff(b"\xff\xff\xff\xff")


def test_a_waveform_is_as_high_as_the_sound_is_loud() -> None:
    with av.open(io.BytesIO(wav(1, SECONDS)), "r") as container:
        found = peaks(container)
    assert 0.2 < max(found) <= 1
    assert min(found) >= 0
    loud, silent = waveform([1.0] * 8), waveform([0.0])
    assert loud.width == silent.width == LONGEST_SIDE
    assert sum(loud.getchannel("A").histogram()[1:]) > 20 * sum(
        silent.getchannel("A").histogram()[1:]
    )
    assert waveform([]).size == loud.size
