"""Aspect buckets: at which sizes a trainer would train on pictures. Pure; no picture is changed.

The rule is that of kohya-ss/sd-scripts (`make_bucket_resolutions` in library/model_util.py and
`BucketManager.select_bucket` in library/train_util.py, without `--bucket_no_upscale`): sides are
multiples of 64 from 256, no bucket has more pixels than the resolution squared, and a picture goes
into the bucket of the closest aspect ratio. OneTrainer and ai-toolkit follow it with other steps.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from batchgen.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable

STEP = 64
SHORTEST = 256
LARGEST = 8192
"""Pixels of a side: far above what any model is trained on."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """Pictures of one split that a trainer scales and crops to one size, in pixels."""

    split: str
    width: int
    height: int
    files: int


def parse_resolution(text: str) -> int:
    """Read the resolution of a training, such as `1024`. Raises InputError."""
    if not text.isascii() or not text.isdigit() or not SHORTEST <= int(text[:9]) <= LARGEST:
        raise InputError(
            f"a resolution is a number of pixels from {SHORTEST} to {LARGEST}; got {text[:20]!r}",
            next_step="write the resolution of the training, such as 512, 768 or 1024",
        )
    return int(text)


@cache
def bucket_sizes(resolution: int) -> tuple[tuple[int, int], ...]:
    """Return all buckets, sorted. The longest side is twice the resolution.

    sd-scripts' own limit (`--max_bucket_reso`) is 1024 at its default resolution of 512, and is
    raised with the resolution.
    """
    area = resolution * resolution
    square = resolution // STEP * STEP
    found = {(square, square)}
    for width in range(SHORTEST, 2 * resolution + 1, STEP):
        height = min(2 * resolution, area // width) // STEP * STEP
        if height >= SHORTEST:
            found |= {(width, height), (height, width)}
    return tuple(sorted(found))


def bucket_of(width: int, height: int, resolution: int) -> tuple[int, int]:
    sizes = bucket_sizes(resolution)
    if (width, height) in sizes:
        return width, height
    return min(sizes, key=lambda size: abs(size[0] / size[1] - width / height))


def count_buckets(pictures: Iterable[tuple[str, int, int]], resolution: int) -> tuple[Bucket, ...]:
    """Count pictures, given as split, width and height, by split and bucket."""
    counts: Counter[tuple[str, int, int]] = Counter()
    # First by size: a run has few sizes, and very many pictures.
    for (split, width, height), files in Counter(pictures).items():
        counts[split, *bucket_of(width, height, resolution)] += files
    return tuple(Bucket(*key, files) for key, files in sorted(counts.items()))
