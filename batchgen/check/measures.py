"""How empty a picture is, how much a video moves, and perceptual hashes. Pure.

A hash is 256 bits, imagehash's phash: which of the lowest 16 x 16 spatial frequencies are stronger
than the median. It ignores size, encoding and brightness.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

from PIL import Image, ImageChops

from batchgen.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence


SIDE = 16
HASH_BYTES = SIDE * SIDE // 8
_SAMPLED = 64
_HALF = SIDE // 2


def require_imagehash() -> None:
    """Raise UsageError if the library is not installed."""
    if find_spec("imagehash") is None:
        raise UsageError(
            "near duplicates need a library that is not installed",
            next_step="pip install 'batchgen[check]', or leave them out: --skip near_duplicate",
        )


def perceptual_hash(picture: Image.Image) -> bytes:
    """Hash a picture as `plain` makes it. Needs the library."""
    import imagehash  # noqa: PLC0415 - only near duplicates need it

    # Coarsely first: an exact filter over a large picture would change no relevant bit.
    has_mask = picture.mode == "RGBa"
    visible = Image.merge("RGB", picture.split()[:3]) if has_mask else picture
    grey = visible.convert("L")
    small = grey.resize((_SAMPLED, _SAMPLED), Image.Resampling.LANCZOS, reducing_gap=3.0)
    bits = imagehash.phash(small, SIDE, _SAMPLED // SIDE).hash
    # By quarters, the coarsest first: the search discards most pairs by the first eight bytes.
    quarters = (
        bits[top : top + _HALF, left : left + _HALF] for top in (0, _HALF) for left in (0, _HALF)
    )
    return b"".join(_packed([bool(bit) for bit in quarter.flat]) for quarter in quarters)


def _packed(bits: list[bool]) -> bytes:
    number = sum(bit << place for place, bit in enumerate(bits))
    return number.to_bytes(len(bits) // 8, "little")


LEVELS = 256
ONE_COLOUR = 16
"""Levels of a channel that count as one colour: paper or fog, with JPEG artefacts."""
STRIP = 256
"""Rows that are converted at once."""
_SIXTEEN_BITS = [level // 257 for level in range(1 << 16)]
GRID = (64, 64)
"""Motion is measured on a grid: coding noise averages out, movement does not."""


@dataclass(frozen=True, slots=True)
class Measure:
    """What a file's content shows; for a video, a few of its frames.

    `spread`: levels, of 256, between the darkest and the brightest pixel of the channel that varies
    most, in any frame. `share`: share of pixels of one colour, in the frame with the lowest.
    `motion`: by how many levels a grid cell changes at most; None for a picture. `hashes`:
    perceptual hashes, one per frame; empty if not needed. `trouble`: why there are no measures.
    """

    spread: int = LEVELS
    share: float = 0.0
    motion: int | None = None
    hashes: tuple[bytes, ...] = ()
    trouble: str = ""


def measured(frames: Sequence[Image.Image], hashes: Sequence[bytes], *, is_video: bool) -> Measure:
    """Measure one or more frames as `plain` makes them."""
    colours = [emptiness(frame.histogram()) for frame in frames]
    spread, share = max(one[0] for one in colours), min(one[1] for one in colours)
    return Measure(spread, share, motion(frames) if is_video else None, tuple(hashes))


def plain(picture: Image.Image) -> Image.Image:
    """Convert to grey, RGB, or premultiplied RGB, which removes colours hidden by transparency.

    May return the given picture itself, because copies of a large one are costly.
    """
    if picture.mode == "F" or picture.mode.startswith("I"):
        return _eight_bits(picture)
    if not picture.has_transparency_data:
        return picture if picture.mode in {"L", "RGB"} else picture.convert("RGB")
    # Two steps: Pillow premultiplies RGBA only.
    return picture.convert("RGBA").convert("RGBa")


def _eight_bits(picture: Image.Image) -> Image.Image:
    """Scale 16-bit levels down: Pillow would clip everything above 255.

    In strips, because Pillow needs four bytes per pixel for it.
    """
    grey = Image.new("L", picture.size)
    for top in range(0, picture.height, STRIP):
        strip = picture.crop((0, top, picture.width, min(top + STRIP, picture.height)))
        grey.paste(strip.convert("I").point(_SIXTEEN_BITS, "L"), (0, top))
    return grey


def emptiness(histogram: Sequence[int]) -> tuple[int, float]:
    """Return spread and share, from the concatenated histograms of all channels."""
    channels = [histogram[at : at + LEVELS] for at in range(0, len(histogram), LEVELS)]
    return max(map(_spread, channels)), min(map(_share, channels))


def _spread(channel: Sequence[int]) -> int:
    levels = [level for level, pixels in enumerate(channel) if pixels]
    return levels[-1] - levels[0]


def _share(channel: Sequence[int]) -> float:
    """Return the share of pixels in the fullest ONE_COLOUR neighbouring levels."""
    below = [0, *accumulate(channel)]
    windows = zip(below, below[ONE_COLOUR:], strict=False)
    return max(above - under for under, above in windows) / below[-1]


def motion(frames: Sequence[Image.Image]) -> int:
    """Return by how many levels any cell differs at most between neighbouring frames."""
    cells = [frame.convert("L").resize(GRID, Image.Resampling.BOX) for frame in frames]
    steps = (ImageChops.difference(one, other).getextrema() for one, other in pairwise(cells))
    return max((int(most) for _, most in steps), default=0)  # type: ignore[arg-type]
