"""Video files: a still landscape over which a light moves, H.264 in MP4.

Only the luma of a few rows changes from frame to frame, so that 121 frames are encoded in the time
that a real encoder takes for ten.
"""

from __future__ import annotations

import io
from fractions import Fraction
from typing import TYPE_CHECKING

import av
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from PIL import Image

from batchgen.emulator.canvas import Scene, paint
from batchgen.emulator.offers import FRAMES_PER_SECOND

if TYPE_CHECKING:
    from collections.abc import Iterator

    from av.packet import Packet


CODEC = "libx264" if "libx264" in av.codecs_available else "mpeg4"
X264_OPTIONS = {
    "preset": "ultrafast",
    "tune": "zerolatency",
    "crf": "30",
    # One thread: the bytes must not depend on the machine's cores.
    "threads": "1",
}
LIGHT = 16
BRIGHT = 235


def mp4(scene: Scene, frames: int) -> bytes:
    """Exactly `frames` frames, 24 a second. The scene's width and height must be even."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream(CODEC, rate=FRAMES_PER_SECOND, options=X264_OPTIONS)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height = scene.width, scene.height
        stream.pix_fmt = "yuv420p"
        for packet in _packets(stream, scene, frames):
            container.mux(packet)
    return file.getvalue()


def _packets(stream: VideoStream, scene: Scene, frames: int) -> Iterator[Packet[VideoStream]]:
    for frame in _frames(scene, frames):
        yield from stream.encode(frame)
    yield from stream.encode(None)


def _frames(scene: Scene, frames: int) -> Iterator[VideoFrame]:
    luma, *chroma = paint(scene).convert("RGB").convert("YCbCr").split()
    half = (scene.width // 2, scene.height // 2)
    blue, red = (plane.resize(half, Image.Resampling.BOX) for plane in chroma)
    for number in range(frames):
        frame = VideoFrame(scene.width, scene.height, "yuv420p")
        for index, plane in enumerate((_lit(luma, number, frames), blue, red)):
            _fill(frame, index, plane)
        frame.pts = number
        frame.time_base = Fraction(1, FRAMES_PER_SECOND)
        yield frame


def _lit(luma: Image.Image, number: int, frames: int) -> Image.Image:
    """Put the light where it stands in frame `number`: it goes from left to right."""
    lit = luma.copy()
    x = (luma.width - LIGHT) * number // max(1, frames - 1)
    lit.paste(BRIGHT, (x, LIGHT, x + LIGHT, 2 * LIGHT))
    return lit


def _fill(frame: VideoFrame, index: int, plane: Image.Image) -> None:
    target = frame.planes[index]
    # The encoder's rows may be longer than the picture's.
    padded = plane.crop((0, 0, target.line_size, plane.height))
    target.update(padded.tobytes())
