"""What measures say of each file, and which files look alike. Pure.

Duplicates are compared with the *first ones* only, those that stay. If a third picture were
compared with a second that goes, it would go as well, although it may hardly look like the first.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from batchgen.check.kinds import ALIKE, LOOK_BITS, Kind
from batchgen.check.measures import LEVELS
from batchgen.state.reviews import Pick

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from batchgen.check.kinds import Asked
    from batchgen.check.measures import Measure


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


BLANK_SPREAD = 8
"""Levels: a JPEG of one colour varies by a few."""
FROZEN = 3
"""Levels of a cell of the grid: H.264 of any quality alone changes one by two at most."""
_EMPTY = frozenset({Kind.BLANK, Kind.NEAR_BLANK})


@dataclass(frozen=True, slots=True)
class Checked:
    """One verified file. `path` is relative to the run's folder; `known`: flaws in the state.

    `is_chosen`: to be judged; others only stand beside it. `promises`: what the contract says;
    `flaws`: what `judge` says.
    """

    job_id: str
    attempt: int
    position: int
    path: str
    sha256: str
    bytes: int
    frames: int
    pick: Pick | None
    known: Mapping[str, str]
    is_chosen: bool
    promises: Mapping[Kind, str]
    flaws: Mapping[Kind, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.job_id if self.position == 1 else f"{self.job_id} ({self.position})"

    def is_rejected(self, asked: Asked) -> bool:
        """By a person, or by this check for what is wrong with the file itself."""
        if self.pick is Pick.REJECT:
            return True
        own = asked.rejected - ALIKE
        return self.pick is not Pick.KEEP and any(kind in own for kind in self.flaws)


@dataclass(frozen=True, slots=True)
class Found:
    """What was learnt of a file; `trouble` says why it is not what the state knows."""

    trouble: str
    measure: Measure | None


def judge(files: Sequence[Checked], found: Mapping[str, Found], asked: Asked) -> list[Checked]:
    """The same files with their flaws. They stand in the manifest's order; `found`: by path."""
    own = [_by_itself(file, found[file.path], asked) for file in files]
    sound = [place for place, file in enumerate(own) if not found[file.path].trouble]
    flaws: dict[int, dict[Kind, str]] = {}
    if Kind.DUPLICATE in asked.kinds:
        flaws |= _duplicates(own, sound, asked)
    if Kind.NEAR_DUPLICATE in asked.kinds:
        # Equal files are reported once.
        flaws |= _near_duplicates(own, [one for one in sound if one not in flaws], found, asked)
    for place, more in flaws.items():
        own[place] = replace(own[place], flaws={**own[place].flaws, **more})
    return own


def _by_itself(file: Checked, found: Found, asked: Asked) -> Checked:
    flaws = {**own_flaws(found, asked.blank), **file.promises}
    return replace(
        file, flaws={kind: words for kind, words in flaws.items() if kind in asked.kinds}
    )


def own_flaws(found: Found, blank: float) -> dict[Kind, str]:
    """Of the file by itself; of a blank video it goes without saying that it stands still."""
    measure = found.measure
    trouble = found.trouble or (measure.trouble if measure else "")
    if trouble or measure is None:
        return {Kind.UNREADABLE: trouble} if trouble else {}
    if measure.spread <= BLANK_SPREAD:
        noise = f", but for noise of {measure.spread} of {LEVELS} levels" if measure.spread else ""
        return {Kind.BLANK: f"one colour{noise}"}
    flaws = {}
    if measure.share >= blank:
        # Rounded down: 99.99 % is not all of it.
        flaws[Kind.NEAR_BLANK] = f"{int(measure.share * 1000) / 10} % of it has one colour"
    if measure.motion is not None and measure.motion <= FROZEN:
        flaws[Kind.FROZEN] = "its frames are all alike"
    return flaws


def _duplicates(
    files: Sequence[Checked], places: Sequence[int], asked: Asked
) -> dict[int, dict[Kind, str]]:
    """By place among the files."""
    flaws: dict[int, dict[Kind, str]] = {}
    firsts: dict[str, Checked] = {}
    for place in places:
        file = files[place]
        first = firsts.get(file.sha256)
        if first is not None:
            flaws[place] = {Kind.DUPLICATE: f"the same file as {first.name}"}
        elif not file.is_rejected(asked):
            firsts[file.sha256] = file
    return flaws


def _near_duplicates(
    files: Sequence[Checked], places: Sequence[int], found: Mapping[str, Found], asked: Asked
) -> dict[int, dict[Kind, str]]:
    """Among pictures, and among what moves. Empty ones all look alike: they are left aside."""
    groups: dict[int, list[tuple[int, Sequence[bytes]]]] = {}
    for place in places:
        one = found[files[place].path]
        is_empty = _EMPTY & own_flaws(one, asked.blank).keys()
        if one.measure is not None and one.measure.looks and not is_empty:
            groups.setdefault(len(one.measure.looks), []).append((place, one.measure.looks))
    flaws: dict[int, dict[Kind, str]] = {}
    for group in groups.values():
        may_be_first = [not files[place].is_rejected(asked) for place, _ in group]
        alike = likenesses([looks for _, looks in group], asked.distance, may_be_first)
        for (place, _), likeness in zip(group, alike, strict=True):
            if likeness is not None:
                first = files[group[likeness.first][0]].name
                bits = f"{likeness.distance} of {LOOK_BITS} bits differ"
                flaws[place] = {Kind.NEAR_DUPLICATE: f"looks like {first}: {bits}"}
    return flaws
