"""How a picture looks, as 256 bits: of alike pictures, alike bits.

phash of the library imagehash: which of the lowest 16 x 16 spatial frequencies are stronger than
the median. It forgets size, coding and brightness. The library is asked for only here.
"""

from __future__ import annotations

from importlib.util import find_spec

from PIL import Image

from batchgen.errors import UsageError

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
