"""Draws pictures and videos: a small landscape, with the prompt written on it.

A picture has sixteen colours, so a large one is drawn and compressed in a few milliseconds. In a
video only a few rows change, so it encodes quickly. PNG files that a codec would refuse, or encode
slowly, are put together by hand (PNG specification, sections 5 and 11).
"""

from __future__ import annotations

import colorsys
import hashlib
import io
import math
import struct
import textwrap
import zlib
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from random import Random
from typing import TYPE_CHECKING

import av
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from PIL import Image, ImageDraw, ImageFont

from batchgen.emulator.asked import FRAMES_PER_SECOND

if TYPE_CHECKING:
    from collections.abc import Iterator

    from av.packet import Packet


SIGNATURE = b"\x89PNG\r\n\x1a\n"
BIT_DEPTH = 8
RGB = 2


def rgb_png(width: int, height: int, rows: bytes) -> bytes:
    """Make a PNG of raw rows, each behind its filter byte.

    The rows are neither compressed nor counted: the header may claim any size.
    """
    header = struct.pack(">IIBBBBB", width, height, BIT_DEPTH, RGB, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows, 0)), (b"IEND", b""))
    return SIGNATURE + b"".join(_chunk(name, data) for name, data in chunks)


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


SKY_BANDS = 8
HILLS = (8, 9, 10)
SUN, PANEL, INK, FAINT = 11, 12, 13, 14
LINE_WIDTH = 66
MAX_LINES = 13


@dataclass(frozen=True, slots=True)
class Scene:
    """What a picture shows. `seed` decides colours and shapes; equal scenes give equal bytes."""

    text: str
    caption: str
    seed: int
    width: int
    height: int


def seed_of(*parts: object) -> int:
    """Return a number that depends only on the parts: the same on every machine."""
    digest = hashlib.sha256("\n".join(map(repr, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "big")


def paint(scene: Scene) -> Image.Image:
    random = Random(scene.seed)  # noqa: S311 - a picture, not a secret
    picture = Image.new("P", (scene.width, scene.height))
    picture.putpalette(_palette(random.random()))
    brush = ImageDraw.Draw(picture)
    _paint_sky(brush, scene)
    _paint_sun(brush, scene, random)
    for depth, colour in enumerate(HILLS):
        _paint_hill(brush, scene, depth, colour, random)
    _write(brush, scene)
    return picture


def _palette(hue: float) -> list[int]:
    sky = [(hue, 0.55 - 0.05 * band, 0.55 + 0.05 * band) for band in range(SKY_BANDS)]
    hills = [(hue + 0.45, 0.45, 0.60 - 0.15 * depth) for depth in range(len(HILLS))]
    sun = [(hue + 0.10, 0.35, 1.0)]
    panel, ink, faint = (hue, 0.5, 0.16), (hue, 0.06, 1.0), (hue, 0.15, 0.72)
    colours = [*sky, *hills, *sun, panel, ink, faint, (0.0, 0.0, 0.0)]
    return [round(255 * part) for colour in colours for part in colorsys.hsv_to_rgb(*colour)]


def _paint_sky(brush: ImageDraw.ImageDraw, scene: Scene) -> None:
    for band in range(SKY_BANDS):
        top = band * scene.height // SKY_BANDS
        brush.rectangle((0, top, scene.width, scene.height), fill=band)


def _paint_sun(brush: ImageDraw.ImageDraw, scene: Scene, random: Random) -> None:
    radius = min(scene.width, scene.height) * (0.06 + 0.06 * random.random())
    x = scene.width * (0.15 + 0.7 * random.random())
    y = scene.height * (0.15 + 0.2 * random.random())
    brush.ellipse((x - radius, y - radius, x + radius, y + radius), fill=SUN)


def _paint_hill(
    brush: ImageDraw.ImageDraw, scene: Scene, depth: int, colour: int, random: Random
) -> None:
    base = 0.45 + 0.1 * depth
    ridge = [(x / 6, base + 0.14 * random.random()) for x in range(7)]
    outline = [(x * scene.width, y * scene.height) for x, y in ridge]
    corners = [(scene.width, scene.height), (0, scene.height)]
    brush.polygon([*outline, *corners], fill=colour)


def _write(brush: ImageDraw.ImageDraw, scene: Scene) -> None:
    margin = scene.width // 24
    size = max(9, min(scene.width // 32, scene.height // 22))
    lines = textwrap.wrap(drawable(scene.text), LINE_WIDTH, max_lines=MAX_LINES)
    panel_height = round(size * (1.35 * len(lines) + 2.2))
    top = scene.height - panel_height - margin // 2
    panel = (margin // 2, top, scene.width - margin // 2, scene.height - margin // 2)
    brush.rectangle(panel, fill=PANEL)
    for number, line in enumerate(lines):
        position = (margin, top + size * (0.5 + 1.35 * number))
        brush.text(position, line, fill=INK, font=_font(size))
    last = (margin, top + size * (0.6 + 1.35 * len(lines)))
    brush.text(last, scene.caption, fill=FAINT, font=_font(max(8, size * 3 // 4)))


def drawable(text: str) -> str:
    """Replace what no font can draw: lone surrogates and control characters."""
    return "".join(character if character.isprintable() else " " for character in text)


@lru_cache(maxsize=32)
def _font(size: int) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    return ImageFont.load_default(size)


PALETTE_BITS = 4
JPEG_QUALITY = 70
NOISE_CHANNELS = 3
GREY = (128, 128, 128)


def png(scene: Scene) -> bytes:
    return _packed(paint(scene), "PNG", bits=PALETTE_BITS, compress_level=1)


def jpeg(scene: Scene) -> bytes:
    return _packed(paint(scene).convert("RGB"), "JPEG", quality=JPEG_QUALITY)


def noise_png(seed: int, size: int) -> bytes:
    """Make a square RGB PNG of about `size` bytes: noise does not compress, and decodes fast."""
    side = max(1, math.isqrt(size // NOISE_CHANNELS))
    stride = 1 + side * NOISE_CHANNELS
    rows = bytearray(Random(seed).randbytes(side * stride))  # noqa: S311 - only pixels
    rows[::stride] = bytes(side)  # filter 0: the bytes are the pixels
    return rgb_png(side, side, bytes(rows))


def blank_png(side: int) -> bytes:
    """Make an all-grey picture, as a model delivers when it fails without saying so."""
    picture = Image.new("P", (side, side))
    picture.putpalette(GREY)
    return _packed(picture, "PNG", bits=1, compress_level=1)


def _packed(picture: Image.Image, kind: str, **options: int) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


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
    """Encode exactly `frames` frames, 24 a second. The scene's width and height must be even."""
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
    """Draw the light at its position in frame `number`: it moves from left to right."""
    lit = luma.copy()
    x = (luma.width - LIGHT) * number // max(1, frames - 1)
    lit.paste(BRIGHT, (x, LIGHT, x + LIGHT, 2 * LIGHT))
    return lit


def _fill(frame: VideoFrame, index: int, plane: Image.Image) -> None:
    target = frame.planes[index]
    # The encoder's rows may be longer than the picture's.
    padded = plane.crop((0, 0, target.line_size, plane.height))
    target.update(padded.tobytes())
