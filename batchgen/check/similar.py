"""Near duplicates: which pictures look like an earlier one that is none itself.

Compared are only those that stay, the *first ones*: were a third picture compared with a second
that goes, it would go too, though it may look little like the first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    Looks = NDArray[np.uint64]
    """A row a file: its frames, each of some words."""

BLOCK = 16
"""Files that are compared at once with the first ones before them."""
WINDOW = 8192
"""First ones at once: the work of a step stays in the processor's cache."""
FEW = 32
"""Where one pair in so many is left, the others are not carried along any more."""


@dataclass(frozen=True, slots=True)
class Likeness:
    """The nearest first one, by its place, and by how many bits the frames differ at most."""

    first: int
    distance: int


def likenesses(
    looks: Sequence[Sequence[bytes]], distance: int, may_be_first: Sequence[bool]
) -> list[Likeness | None]:
    """For each, in their order, the nearest first one before it that is within `distance` bits.

    Of equally near ones the earliest. All have equally many frames. Needs numpy.
    """
    import numpy as np  # noqa: PLC0415 - comes with the extra, as near duplicates do

    if not looks:
        return []
    flat = np.frombuffer(b"".join(b"".join(one) for one in looks), dtype="<u8")
    rows = flat.reshape(len(looks), len(looks[0]), -1)
    found: list[Likeness | None] = []
    firsts = _Firsts(rows, distance)
    for start in range(0, len(rows), BLOCK):
        block = rows[start : start + BLOCK]
        best = firsts.nearest(block)
        within = _bits(block[:, None] ^ block[None, :]) if len(block) > 1 else None
        for offset, likeness in enumerate(best):
            if likeness is None and may_be_first[start + offset]:
                firsts.add(start + offset)
                if within is not None:
                    _compare_rest(best, offset, start + offset, within[offset], distance)
        found += best
    return found


def _bits(different: Looks) -> NDArray[np.int64]:
    """Of the frame that differs most; frames and words are the last two axes."""
    import numpy as np  # noqa: PLC0415 - as above

    bits: NDArray[np.int64] = np.bitwise_count(different).sum(axis=-1, dtype=np.int64).max(axis=-1)
    return bits


def _compare_rest(
    best: list[Likeness | None], offset: int, first: int, bits: NDArray[np.int64], distance: int
) -> None:
    """Those behind a first one that was just found in their own block."""
    for place in (bits[offset + 1 :] <= distance).nonzero()[0] + offset + 1:
        best[place] = _nearer(best[place], Likeness(first, int(bits[place])))


def _nearer(known: Likeness | None, other: Likeness) -> Likeness:
    return other if known is None or other.distance < known.distance else known


class _Firsts:
    """Those that stay; word by word of their first frames, since most pairs part at one word."""

    def __init__(self, rows: Looks, distance: int) -> None:
        import numpy as np  # noqa: PLC0415 - as above

        self._rows = rows
        self._distance = distance
        self._places = np.empty(len(rows), dtype=np.int64)
        self._words = np.empty((rows.shape[2], len(rows)), dtype=np.uint64)
        self._count = 0
        # Used again and again: to ask the system for fresh memory takes longer than to compare.
        self._different = np.empty((BLOCK, WINDOW), dtype=np.uint64)
        self._coarse = np.empty((BLOCK, WINDOW), dtype=np.uint8)
        self._near = np.empty((BLOCK, WINDOW), dtype=np.bool_)

    def add(self, place: int) -> None:
        self._places[self._count] = place
        self._words[:, self._count] = self._rows[place, 0]
        self._count += 1

    def nearest(self, block: Looks) -> list[Likeness | None]:
        """For each row of the block, of those added so far."""
        best: list[Likeness | None] = [None] * len(block)
        for at in range(0, self._count, WINDOW):
            near = self._candidates(block, at, min(at + WINDOW, self._count))
            # Flat: NumPy looks through one dimension ten times as fast as through two.
            (pairs,) = near.ravel().nonzero()
            if not len(pairs):
                continue
            rows, columns = divmod(pairs, near.shape[1])
            firsts = self._places[at + columns]
            bits = _bits(block[rows] ^ self._rows[firsts])
            hits = bits <= self._distance
            for row, first, count in zip(rows[hits], firsts[hits], bits[hits], strict=True):
                best[row] = _nearer(best[row], Likeness(int(first), int(count)))
        return best

    def _candidates(self, block: Looks, at: int, until: int) -> NDArray[np.bool_]:
        """Which pairs may be within the distance: some bits never differ more than all do."""
        import numpy as np  # noqa: PLC0415 - as above

        different = self._different[: len(block), : until - at]
        coarse = self._coarse[: len(block), : until - at]
        np.bitwise_xor(block[:, 0, 0, None], self._words[0, at:until], out=different)
        np.bitwise_count(different, out=coarse)
        near = self._near[: len(block), : until - at]
        np.less_equal(coarse, self._distance, out=near)
        # One byte a pair is enough for one word, which is mostly all that is asked.
        bits = coarse.astype(np.uint16) if _are_many(near) else None
        for number in range(1, len(self._words)):
            if bits is None or not _are_many(near):
                break
            bits += np.bitwise_count(block[:, 0, number, None] ^ self._words[number, at:until])
            np.less_equal(bits, self._distance, out=near)
        return near


def _are_many(near: NDArray[np.bool_]) -> bool:
    import numpy as np  # noqa: PLC0415 - as above

    return bool(np.count_nonzero(near) * FEW >= near.size)
