"""How empty a picture is, how much a video moves, and how a picture looks. Pure.

The look is 256 bits, imagehash's phash: which of the lowest 16 x 16 spatial frequencies are
stronger than the median. It ignores size, coding and brightness.
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
LOOK_BYTES = SIDE * SIDE // 8
_SAMPLED = 64
_HALF = SIDE // 2


def require_looks() -> None:
    """Raise UsageError where the library is not there."""
    if find_spec("imagehash") is None:
        raise UsageError(
            "near duplicates need a library that is not installed",
            next_step="pip install 'batchgen[check]', or leave them out: --skip near_duplicate",
        )


def look_of(picture: Image.Image) -> bytes:
    """Of a picture as `measures.plain` makes it; the library is there."""
    import imagehash  # noqa: PLC0415 - only who looks for near duplicates needs it

    # Coarsely first: the exact filter over all of a large picture would change no bit that counts.
    has_mask = picture.mode == "RGBa"
    seen = Image.merge("RGB", picture.split()[:3]) if has_mask else picture
    grey = seen.convert("L")
    small = grey.resize((_SAMPLED, _SAMPLED), Image.Resampling.LANCZOS, reducing_gap=3.0)
    bits = imagehash.phash(small, SIDE, _SAMPLED // SIDE).hash
    # By quarters, the coarsest first: the search drops most pairs by the first eight bytes.
    quarters = (
        bits[top : top + _HALF, left : left + _HALF] for top in (0, _HALF) for left in (0, _HALF)
    )
    return b"".join(_packed([bool(bit) for bit in quarter.flat]) for quarter in quarters)


def _packed(bits: list[bool]) -> bytes:
    number = sum(bit << place for place, bit in enumerate(bits))
    return number.to_bytes(len(bits) // 8, "little")


LEVELS = 256
ONE_COLOUR = 16
"""Levels of a channel that pass for one colour: paper, fog and what a JPEG makes of them."""
STRIP = 256
"""Rows at once."""
_SIXTEEN_BITS = [level // 257 for level in range(1 << 16)]
GRID = (64, 64)
"""Motion is looked for on a grid: noise of the coding averages out, what moves does not."""


@dataclass(frozen=True, slots=True)
class Measure:
    """What a content shows. Of a video: of a few of its frames.

    `spread`: levels, of 256, between the darkest and the brightest pixel of the channel that varies
    most, in any frame. `share`: pixels of one colour, in the frame that has fewest. `motion`:
    levels that a cell of the grid changes at most; None for a picture. `looks`: perceptual hashes,
    one a frame; empty where nobody asked for them. `trouble`: why all this is not known.
    """

    spread: int = LEVELS
    share: float = 0.0
    motion: int | None = None
    looks: tuple[bytes, ...] = ()
    trouble: str = ""


def measured(frames: Sequence[Image.Image], looks: Sequence[bytes], *, is_video: bool) -> Measure:
    """Of frames as `plain` makes them; at least one."""
    colours = [emptiness(frame.histogram()) for frame in frames]
    spread, share = max(one[0] for one in colours), min(one[1] for one in colours)
    return Measure(spread, share, motion(frames) if is_video else None, tuple(looks))


def plain(picture: Image.Image) -> Image.Image:
    """Grey, RGB, or RGB with what is not seen taken out of it: hidden colours fill no picture.

    May be the very picture that was given: of a large one, each copy counts.
    """
    if picture.mode == "F" or picture.mode.startswith("I"):
        return _eight_bits(picture)
    if not picture.has_transparency_data:
        return picture if picture.mode in {"L", "RGB"} else picture.convert("RGB")
    # Two steps: Pillow premultiplies RGBA only.
    return picture.convert("RGBA").convert("RGBa")


def _eight_bits(picture: Image.Image) -> Image.Image:
    """Pillow cuts a level above 255 off, which would leave nothing of a picture of 16 bits.

    By strips: Pillow scales levels at four bytes a pixel.
    """
    grey = Image.new("L", picture.size)
    for top in range(0, picture.height, STRIP):
        strip = picture.crop((0, top, picture.width, min(top + STRIP, picture.height)))
        grey.paste(strip.convert("I").point(_SIXTEEN_BITS, "L"), (0, top))
    return grey


def emptiness(histogram: Sequence[int]) -> tuple[int, float]:
    """Spread and share, from the histograms of all channels one after the other."""
    channels = [histogram[at : at + LEVELS] for at in range(0, len(histogram), LEVELS)]
    return max(map(_spread, channels)), min(map(_share, channels))


def _spread(channel: Sequence[int]) -> int:
    seen = [level for level, pixels in enumerate(channel) if pixels]
    return seen[-1] - seen[0]


def _share(channel: Sequence[int]) -> float:
    """Pixels in the ONE_COLOUR neighbouring levels that have most."""
    below = [0, *accumulate(channel)]
    windows = zip(below, below[ONE_COLOUR:], strict=False)
    return max(above - under for under, above in windows) / below[-1]


def motion(frames: Sequence[Image.Image]) -> int:
    """The levels by which any cell differs between two neighbouring frames."""
    cells = [frame.convert("L").resize(GRID, Image.Resampling.BOX) for frame in frames]
    steps = (ImageChops.difference(one, other).getextrema() for one, other in pairwise(cells))
    return max((int(most) for _, most in steps), default=0)  # type: ignore[arg-type]
