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

BLOCK = 128
"""Files that are compared at once with the first ones before them."""
WINDOW = 4096
"""First ones at once: the work of a step stays in the processor's cache."""


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
        best = firsts.nearest(start, min(start + BLOCK, len(rows)))
        for offset, likeness in enumerate(best):
            place = start + offset
            if likeness is None and may_be_first[place]:
                firsts.add(place)
                _compare_rest(rows, place, best, offset, distance)
        found += best
    return found


def _compare_rest(
    rows: Looks, first: int, best: list[Likeness | None], offset: int, distance: int
) -> None:
    """Compare a first one that was just found with those behind it in its block."""
    import numpy as np  # noqa: PLC0415 - as above

    behind = rows[first + 1 : first + len(best) - offset]
    bits = np.bitwise_count(behind ^ rows[first]).sum(axis=2, dtype=np.int64).max(axis=1)
    for near in np.flatnonzero(bits <= distance):
        place = offset + 1 + int(near)
        best[place] = _nearer(best[place], Likeness(first, int(bits[near])))


def _nearer(known: Likeness | None, other: Likeness) -> Likeness:
    return other if known is None or other.distance < known.distance else known


class _Firsts:
    """Those that stay, and what of them is compared first."""

    def __init__(self, rows: Looks, distance: int) -> None:
        import numpy as np  # noqa: PLC0415 - as above

        self._rows = rows
        self._distance = distance
        self._places = np.empty(len(rows), dtype=np.int64)
        self._coarse = np.empty(len(rows), dtype=np.uint64)
        self._count = 0

    def add(self, place: int) -> None:
        self._places[self._count] = place
        self._coarse[self._count] = self._rows[place, 0, 0]
        self._count += 1

    def nearest(self, start: int, end: int) -> list[Likeness | None]:
        """For each of the rows from `start` to `end`, of those added so far."""
        best: list[Likeness | None] = [None] * (end - start)
        for at in range(0, self._count, WINDOW):
            until = min(at + WINDOW, self._count)
            for row, first, bits in self._near(start, end, at, until):
                best[row] = _nearer(best[row], Likeness(first, bits))
        return best

    def _near(self, start: int, end: int, at: int, until: int) -> list[tuple[int, int, int]]:
        """Pairs within the distance: the row's offset, the first one's place, the bits."""
        import numpy as np  # noqa: PLC0415 - as above

        # A part of the bits never differs by more than all of them: most pairs are dropped by it.
        coarse = self._rows[start:end, 0, 0]
        parts = np.bitwise_count(coarse[:, None] ^ self._coarse[None, at:until])
        rows, columns = np.nonzero(parts <= self._distance)
        if not len(rows):
            return []
        firsts = self._places[at + columns]
        different = np.bitwise_count(self._rows[start + rows] ^ self._rows[firsts])
        bits = different.sum(axis=2, dtype=np.int64).max(axis=1)
        near = bits <= self._distance
        pairs = zip(rows[near], firsts[near], bits[near], strict=True)
        return [(int(row), int(first), int(count)) for row, first, count in pairs]
