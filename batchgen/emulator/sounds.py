"""Makes sounds: a chord whose tones depend on the seed, swelling once a second."""

from __future__ import annotations

import io
import math
import wave
from array import array
from typing import TYPE_CHECKING

import av
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream

if TYPE_CHECKING:
    from collections.abc import Iterator

RATE = 22_050
LOUDEST = 12_000
LOWEST_TONE = 220.0
BLOCK = 1152
"""Samples that an encoder of MP3 takes at once."""


def wav(seed: int, seconds: float) -> bytes:
    """Make a WAV file of exactly so many seconds, to the nearest sample: mono, 16 bits."""
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(RATE)
        sound.writeframes(_samples(seed, seconds).tobytes())
    return file.getvalue()


def mp3(seed: int, seconds: float) -> bytes:
    """The same as an MP3, which has some milliseconds more at its ends."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp3") as container:
        stream = container.add_stream("libmp3lame", rate=RATE)
        assert isinstance(stream, AudioStream)
        stream.layout = "mono"
        for frame in _frames(_samples(seed, seconds)):
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file.getvalue()


def _samples(seed: int, seconds: float) -> array[int]:
    """One second is computed, and repeated: its tones have whole numbers of waves in it."""
    tones = [round(LOWEST_TONE * 2 ** (step / 12)) for step in (seed % 12, seed % 12 + 7)]
    second = array("h", (_sample(tones, number) for number in range(RATE)))
    count = max(1, round(seconds * RATE))
    whole, rest = divmod(count, RATE)
    return second * whole + second[:rest]


def _sample(tones: list[int], number: int) -> int:
    turn = 2 * math.pi * number / RATE
    swell = 0.6 - 0.4 * math.cos(turn)
    return round(LOUDEST * swell * sum(math.sin(tone * turn) for tone in tones) / len(tones))


def _frames(samples: array[int]) -> Iterator[AudioFrame]:
    for start in range(0, len(samples), BLOCK):
        block = samples[start : start + BLOCK]
        frame = AudioFrame(format="s16", layout="mono", samples=len(block))
        padded = block.tobytes().ljust(frame.planes[0].buffer_size, b"\0")
        frame.planes[0].update(padded)
        frame.sample_rate = RATE
        frame.pts = start
        yield frame
