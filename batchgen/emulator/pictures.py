"""Picture files: palette PNG, JPEG, and the small noisy PNG that benchmarks download."""

from __future__ import annotations

import io
import math
from random import Random

from PIL import Image

from batchgen.emulator.canvas import Scene, paint
from batchgen.emulator.raw_png import rgb_png

PALETTE_BITS = 4
JPEG_QUALITY = 70
NOISE_CHANNELS = 3
GREY = (128, 128, 128)


def png(scene: Scene) -> bytes:
    return _packed(paint(scene), "PNG", bits=PALETTE_BITS, compress_level=1)


def jpeg(scene: Scene) -> bytes:
    return _packed(paint(scene).convert("RGB"), "JPEG", quality=JPEG_QUALITY)


def noise_png(seed: int, size: int) -> bytes:
    """Make a square RGB PNG of about `size` bytes: noise does not compress, and decodes at once."""
    side = max(1, math.isqrt(size // NOISE_CHANNELS))
    stride = 1 + side * NOISE_CHANNELS
    rows = bytearray(Random(seed).randbytes(side * stride))  # noqa: S311 - only pixels
    rows[::stride] = bytes(side)  # filter 0: the bytes are the pixels
    return rgb_png(side, side, bytes(rows))


def blank_png(side: int) -> bytes:
    """Make a picture as a model delivers it that has failed without saying so: grey all over."""
    picture = Image.new("P", (side, side))
    picture.putpalette(GREY)
    return _packed(picture, "PNG", bits=1, compress_level=1)


def _packed(picture: Image.Image, kind: str, **options: int) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()
