"""Measures → flaws of each file, and which files are duplicates. Pure.

Files are compared with *originals* only, which are no duplicates themselves. If a third picture
were compared with a second that is a duplicate, it would be one as well, although it may hardly
look like the first.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from batchgen.check.kinds import DUPLICATES, HASH_BITS, Kind
from batchgen.check.measures import LEVELS
from batchgen.state.reviews import Pick

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from batchgen.check.kinds import CheckOptions
    from batchgen.check.measures import Measure


if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    Hashes = NDArray[np.uint64]
    """A row per file: its frames, each of several 64-bit words."""

BLOCK = 16
"""Files that are compared at once with the originals before them."""
WINDOW = 8192
"""Originals per step, so that a step's data stays in the processor's cache."""
FEW = 32
"""Once fewer than one pair in so many is left, only those are compared further."""


@dataclass(frozen=True, slots=True)
class Match:
    """The nearest original, by index, and by how many bits the frames differ at most."""

    original: int
    distance: int


def find_matches(
    hashes: Sequence[Sequence[bytes]], distance: int, may_be_original: Sequence[bool]
) -> list[Match | None]:
    """For each file, in order, find the nearest original before it within `distance` bits.

    Of equally near ones, the earliest. All files have the same number of frames. Needs numpy.
    """
    import numpy as np  # noqa: PLC0415 - part of the extra `check`

    if not hashes:
        return []
    flat = np.frombuffer(b"".join(b"".join(one) for one in hashes), dtype="<u8")
    rows = flat.reshape(len(hashes), len(hashes[0]), -1)
    found: list[Match | None] = []
    originals = _Originals(rows, distance)
    for start in range(0, len(rows), BLOCK):
        block = rows[start : start + BLOCK]
        best = originals.nearest(block)
        within = _bits(block[:, None] ^ block[None, :]) if len(block) > 1 else None
        for offset, match in enumerate(best):
            if match is None and may_be_original[start + offset]:
                originals.add(start + offset)
                if within is not None:
                    _compare_rest(best, offset, start + offset, within[offset], distance)
        found += best
    return found


def _bits(different: Hashes) -> NDArray[np.int64]:
    """Count bits of the frame that differs most; the last axes are frames and words."""
    import numpy as np  # noqa: PLC0415 - as above

    bits: NDArray[np.int64] = np.bitwise_count(different).sum(axis=-1, dtype=np.int64).max(axis=-1)
    return bits


def _compare_rest(
    best: list[Match | None], offset: int, original: int, bits: NDArray[np.int64], distance: int
) -> None:
    """Compare the rest of a block with an original that was just found in it."""
    for place in (bits[offset + 1 :] <= distance).nonzero()[0] + offset + 1:
        best[place] = _nearer(best[place], Match(original, int(bits[place])))


def _nearer(known: Match | None, other: Match) -> Match:
    return other if known is None or other.distance < known.distance else known


class _Originals:
    """The originals, stored by word of their first frames: one word tells most pairs apart."""

    def __init__(self, rows: Hashes, distance: int) -> None:
        import numpy as np  # noqa: PLC0415 - as above

        self._rows = rows
        self._distance = distance
        self._indexes = np.empty(len(rows), dtype=np.int64)
        self._words = np.empty((rows.shape[2], len(rows)), dtype=np.uint64)
        self._count = 0
        # Reused: allocating memory takes longer than comparing.
        self._different = np.empty((BLOCK, WINDOW), dtype=np.uint64)
        self._coarse = np.empty((BLOCK, WINDOW), dtype=np.uint8)
        self._near = np.empty((BLOCK, WINDOW), dtype=np.bool_)

    def add(self, place: int) -> None:
        self._indexes[self._count] = place
        self._words[:, self._count] = self._rows[place, 0]
        self._count += 1

    def nearest(self, block: Hashes) -> list[Match | None]:
        """For each row of the block, find the nearest original added so far."""
        best: list[Match | None] = [None] * len(block)
        for at in range(0, self._count, WINDOW):
            near = self._candidates(block, at, min(at + WINDOW, self._count))
            # Flat: NumPy searches one dimension ten times as fast as two.
            (pairs,) = near.ravel().nonzero()
            if not len(pairs):
                continue
            rows, columns = divmod(pairs, near.shape[1])
            originals = self._indexes[at + columns]
            bits = _bits(block[rows] ^ self._rows[originals])
            hits = bits <= self._distance
            for row, original, count in zip(rows[hits], originals[hits], bits[hits], strict=True):
                best[row] = _nearer(best[row], Match(int(original), int(count)))
        return best

    def _candidates(self, block: Hashes, at: int, until: int) -> NDArray[np.bool_]:
        """Find pairs that may be within the distance: a part differs in no more bits than all."""
        import numpy as np  # noqa: PLC0415 - as above

        different = self._different[: len(block), : until - at]
        coarse = self._coarse[: len(block), : until - at]
        np.bitwise_xor(block[:, 0, 0, None], self._words[0, at:until], out=different)
        np.bitwise_count(different, out=coarse)
        near = self._near[: len(block), : until - at]
        np.less_equal(coarse, self._distance, out=near)
        # One byte per pair is enough for one word, and one word mostly decides.
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
"""In levels: a JPEG of one colour varies by a few."""
FROZEN = 3
"""In levels of a grid cell: H.264 at any quality changes one by two at most."""
_EMPTY = frozenset({Kind.BLANK, Kind.NEAR_BLANK})


@dataclass(frozen=True, slots=True)
class Checked:
    """One verified file. `path` is relative to the run's folder; `known`: its flaws in the state.

    `is_chosen`: it is reported; other files are only compared with it. `violations` of the contract
    become flaws; `judge` sets `flaws`.
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
    violations: Mapping[Kind, str]
    flaws: Mapping[Kind, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.job_id if self.position == 1 else f"{self.job_id} ({self.position})"

    def is_rejected(self, options: CheckOptions) -> bool:
        """Rejected by the user, or by this check for a flaw of the file itself."""
        if self.pick is Pick.REJECT:
            return True
        own = options.rejected - DUPLICATES
        return self.pick is not Pick.KEEP and any(kind in own for kind in self.flaws)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known about a file; `trouble`: why it is not what the state has."""

    trouble: str
    measure: Measure | None


def judge(
    files: Sequence[Checked], found: Mapping[str, Evidence], options: CheckOptions
) -> list[Checked]:
    """Return the files, in the manifest's order, with their flaws. `found` is by path."""
    own = [_with_own_flaws(file, found[file.path], options) for file in files]
    sound = [place for place, file in enumerate(own) if not found[file.path].trouble]
    flaws: dict[int, dict[Kind, str]] = {}
    if Kind.DUPLICATE in options.kinds:
        flaws |= _duplicates(own, sound, options)
    if Kind.NEAR_DUPLICATE in options.kinds:
        # Equal files are reported once.
        flaws |= _near_duplicates(own, [one for one in sound if one not in flaws], found, options)
    for place, more in flaws.items():
        own[place] = replace(own[place], flaws={**own[place].flaws, **more})
    return own


def _with_own_flaws(file: Checked, found: Evidence, options: CheckOptions) -> Checked:
    flaws = {**own_flaws(found, options.blank), **file.violations}
    return replace(
        file, flaws={kind: text for kind, text in flaws.items() if kind in options.kinds}
    )


def own_flaws(found: Evidence, blank: float) -> dict[Kind, str]:
    """Return flaws of the file itself. A blank video is not also reported as frozen."""
    measure = found.measure
    trouble = found.trouble or (measure.trouble if measure else "")
    if trouble or measure is None:
        return {Kind.UNREADABLE: trouble} if trouble else {}
    if measure.spread <= BLANK_SPREAD:
        noise = (
            f", apart from noise of {measure.spread} of {LEVELS} levels" if measure.spread else ""
        )
        return {Kind.BLANK: f"one colour{noise}"}
    flaws = {}
    if measure.share >= blank:
        # Rounded down: 99.99 % must not read as 100 %.
        flaws[Kind.NEAR_BLANK] = f"{int(measure.share * 1000) / 10} % of it has one colour"
    if measure.motion is not None and measure.motion <= FROZEN:
        flaws[Kind.FROZEN] = "its frames are all alike"
    return flaws


def _duplicates(
    files: Sequence[Checked], places: Sequence[int], options: CheckOptions
) -> dict[int, dict[Kind, str]]:
    """Return flaws by index of the file."""
    flaws: dict[int, dict[Kind, str]] = {}
    originals: dict[str, Checked] = {}
    for place in places:
        file = files[place]
        original = originals.get(file.sha256)
        if original is not None:
            flaws[place] = {Kind.DUPLICATE: f"the same file as {original.name}"}
        elif not file.is_rejected(options):
            originals[file.sha256] = file
    return flaws


def _near_duplicates(
    files: Sequence[Checked],
    places: Sequence[int],
    found: Mapping[str, Evidence],
    options: CheckOptions,
) -> dict[int, dict[Kind, str]]:
    """Compare pictures and videos among themselves; not blank ones, which all look alike."""
    groups: dict[int, list[tuple[int, Sequence[bytes]]]] = {}
    for place in places:
        one = found[files[place].path]
        is_empty = _EMPTY & own_flaws(one, options.blank).keys()
        if one.measure is not None and one.measure.hashes and not is_empty:
            groups.setdefault(len(one.measure.hashes), []).append((place, one.measure.hashes))
    flaws: dict[int, dict[Kind, str]] = {}
    for group in groups.values():
        may_be_original = [not files[place].is_rejected(options) for place, _ in group]
        alike = find_matches([hashes for _, hashes in group], options.distance, may_be_original)
        for (place, _), match in zip(group, alike, strict=True):
            if match is not None:
                original = files[group[match.original][0]].name
                bits = f"{match.distance} of {HASH_BITS} bits differ"
                flaws[place] = {Kind.NEAR_DUPLICATE: f"looks like {original}: {bits}"}
    return flaws
