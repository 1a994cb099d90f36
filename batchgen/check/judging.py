"""What measures say of each file, and of files that are alike. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from batchgen.check.kinds import ALIKE, LOOK_BITS, Kind
from batchgen.check.measures import LEVELS
from batchgen.check.similar import likenesses
from batchgen.state.marks import Pick

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from batchgen.check.kinds import Asked
    from batchgen.check.measures import Measure

BLANK_SPREAD = 8
"""Levels: a JPEG of one colour varies by a few."""
FROZEN = 3
"""Levels of a cell of the grid: H.264 of any quality alone changes one by two at most."""
_EMPTY = frozenset({Kind.BLANK, Kind.NEAR_BLANK})


@dataclass(slots=True)
class Checked:
    """One verified file. `path` is relative to the run's folder; `known`: flaws in the state.

    `is_chosen`: to be judged; others only stand beside it. `promises`: what the contract says.
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
    flaws: dict[Kind, str] = field(default_factory=dict)

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


def judge(files: Sequence[Checked], found: Mapping[str, Found], asked: Asked) -> None:
    """Fill in the flaws of all files, which stand in the manifest's order. `found`: by path."""
    for file in files:
        flaws = {**own_flaws(found[file.path], asked.blank), **file.promises}
        file.flaws = {kind: words for kind, words in flaws.items() if kind in asked.kinds}
    sound = [file for file in files if not found[file.path].trouble]
    if Kind.DUPLICATE in asked.kinds:
        _find_duplicates(sound, asked)
    if Kind.NEAR_DUPLICATE in asked.kinds:
        _find_near_duplicates(sound, found, asked)


def own_flaws(found: Found, blank: float) -> dict[Kind, str]:
    """Of the file by itself; of a blank video it goes without saying that it stands still."""
    measure = found.measure
    trouble = found.trouble or (measure.trouble if measure else "")
    if trouble or measure is None:
        return {Kind.UNREADABLE: trouble} if trouble else {}
    if measure.spread <= BLANK_SPREAD:
        return {Kind.BLANK: f"one colour: no more than {measure.spread} of {LEVELS} levels"}
    flaws = {}
    if measure.share >= blank:
        # Rounded down: 99.99 % is not all of it.
        flaws[Kind.NEAR_BLANK] = f"{int(measure.share * 1000) / 10} % of it has one colour"
    if measure.motion is not None and measure.motion <= FROZEN:
        flaws[Kind.FROZEN] = "its frames are all alike"
    return flaws


def _find_duplicates(files: Sequence[Checked], asked: Asked) -> None:
    firsts: dict[str, Checked] = {}
    for file in files:
        first = firsts.get(file.sha256)
        if first is not None:
            file.flaws[Kind.DUPLICATE] = f"the same file as {first.name}"
        elif not file.is_rejected(asked):
            firsts[file.sha256] = file


def _find_near_duplicates(
    files: Sequence[Checked], found: Mapping[str, Found], asked: Asked
) -> None:
    """Among pictures, and among videos. Equal files are told of once, and empty ones look alike."""
    groups: dict[int, list[tuple[Checked, Sequence[bytes]]]] = {}
    for file in files:
        one = found[file.path]
        is_told = Kind.DUPLICATE in file.flaws or _EMPTY & own_flaws(one, asked.blank).keys()
        if one.measure is not None and one.measure.looks and not is_told:
            groups.setdefault(len(one.measure.looks), []).append((file, one.measure.looks))
    for group in groups.values():
        _compare(group, asked)


def _compare(group: Sequence[tuple[Checked, Sequence[bytes]]], asked: Asked) -> None:
    may_be_first = [not file.is_rejected(asked) for file, _ in group]
    alike = likenesses([looks for _, looks in group], asked.distance, may_be_first)
    for (file, _), likeness in zip(group, alike, strict=True):
        if likeness is not None:
            first = group[likeness.first][0].name
            bits = f"{likeness.distance} of {LOOK_BITS} bits differ"
            file.flaws[Kind.NEAR_DUPLICATE] = f"looks like {first}: {bits}"
