"""What measures say of each file, and of files that are alike. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
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
        # Equal files are told of once.
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
