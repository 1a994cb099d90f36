"""A small landscape with the prompt written on it, in sixteen colours.

Few colours are the point: a palette picture of 2048 x 2048 is drawn and packed in some
milliseconds, so that a rehearsal of hundreds of jobs spends its time on what is rehearsed.
"""

from __future__ import annotations

import colorsys
import hashlib
import textwrap
from dataclasses import dataclass
from functools import lru_cache
from random import Random

from PIL import Image, ImageDraw, ImageFont

COLOURS = 16
SKY_BANDS = 8
HILLS = (8, 9, 10)
SUN, PANEL, INK, FAINT = 11, 12, 13, 14
LETTERS_A_LINE = 66
MOST_LINES = 13


@dataclass(frozen=True, slots=True)
class Scene:
    """What a picture shows. `seed` decides on colours and shapes; equal scenes are equal bytes."""

    text: str
    caption: str
    seed: int
    width: int
    height: int


def seed_of(*parts: object) -> int:
    """Make a number that depends on the parts alone, on every machine."""
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
    lines = textwrap.wrap(drawable(scene.text), LETTERS_A_LINE, max_lines=MOST_LINES)
    room = round(size * (1.35 * len(lines) + 2.2))
    top = scene.height - room - margin // 2
    panel = (margin // 2, top, scene.width - margin // 2, scene.height - margin // 2)
    brush.rectangle(panel, fill=PANEL)
    for number, line in enumerate(lines):
        place = (margin, top + size * (0.5 + 1.35 * number))
        brush.text(place, line, fill=INK, font=_font(size))
    last = (margin, top + size * (0.6 + 1.35 * len(lines)))
    brush.text(last, scene.caption, fill=FAINT, font=_font(max(8, size * 3 // 4)))


def drawable(text: str) -> str:
    """Replace what no font can draw: lone surrogates and control characters."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


@lru_cache(maxsize=32)
def _font(size: int) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    return ImageFont.load_default(size)
