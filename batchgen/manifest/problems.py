"""The collector of everything that is wrong with a manifest, and of what merely looks wrong.

Each problem has a file, a line and a column. What many rows or jobs have in common is one problem,
with its first places and a count.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from pathlib import PurePath
from typing import TYPE_CHECKING

from batchgen.errors import ManifestError, Problem, Spot
from batchgen.manifest.parsing.nodes import Node, Place, place_of

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable
    from pathlib import Path

    from batchgen.manifest.parsing.source import UnreadableYamlError
    from batchgen.models.messages import InputProblem


SKIPPED = "skipped: "
"""Begins the warning of a row that `bad_rows: skip` passes over."""
KEPT = 1000
"""A manifest of a million wrong jobs is counted, not kept."""
SPOTS = 5
"""Rows or jobs that are named of all that have the same problem."""

_VALUES = re.compile(r"(?:; got|cannot use|not on|its values:) .*|\d+(?:[.,]\d+)*", re.DOTALL)


def kind_of(message: str) -> str:
    """Whether two messages differ only in their values."""
    return _VALUES.sub("#", message)


@dataclass(slots=True)
class Tally:
    """How many jobs, or rows, were looked at so far: of these, more or less than half are wrong."""

    looked_at: int = 0


@dataclass(slots=True)
class _Group:
    """The same problem of several rows or jobs.

    `first` is the problem of the first one alone, `common` where the cause would be, if most have
    it; None: it is theirs. `within` says what they are part of.
    """

    first: Problem
    common: Problem | None
    tally: Tally | None
    within: str
    noun: str
    count: int = 0
    spots: list[Spot] = field(default_factory=list)
    last: Spot | None = None

    def add(self, spot: Spot) -> None:
        # The jobs of one row come one after the other: it counts once.
        if spot == self.last:
            return
        self.last = spot
        self.count += 1
        if len(self.spots) < SPOTS:
            self.spots.append(spot)

    def problem(self) -> Problem:
        if self.count == 1:
            return self._with(self.first, self.within)
        blamed = self.common if self.common is not None and self._is_of_most() else self.first
        within = "" if blamed is self.common else self.within
        of = f"in {self.count:,} {self.noun}: {self._spot_labels(blamed)}"
        words = ", ".join(filter(None, (within, of)))
        return replace(self._with(blamed, words), count=self.count, spots=tuple(self.spots))

    def _is_of_most(self) -> bool:
        return self.tally is None or 2 * self.count > self.tally.looked_at

    def _spot_labels(self, blamed: Problem) -> str:
        more = ["…"] if self.count > len(self.spots) else []
        first = self.spots[0]
        if not first.line:
            return "; ".join([*(spot.label for spot in self.spots), *more])
        file = "" if first.file == blamed.file else f"{PurePath(first.file).name} "
        return f"{file}lines {', '.join([*(str(spot.line) for spot in self.spots), *more])}"

    @staticmethod
    def _with(problem: Problem, words: str) -> Problem:
        return replace(problem, message=f"{problem.message} ({words})") if words else problem


class _Findings:
    """Keeps the first ones, counts all of them, and has none twice."""

    def __init__(self) -> None:
        self._kept: dict[Hashable, Problem | _Group] = {}
        self.total = 0

    def add(self, problem: Problem) -> None:
        self._keep(problem, problem)

    def add_alike(self, key: Hashable, group: _Group, spot: Spot) -> None:
        kept = self._kept.get(key) or self._keep(key, group)
        if isinstance(kept, _Group):
            kept.add(spot)

    def _keep(self, key: Hashable, one: Problem | _Group) -> Problem | _Group | None:
        if key in self._kept:
            return self._kept[key]
        self.total += 1
        if len(self._kept) < KEPT:
            self._kept[key] = one
        return self._kept.get(key)

    def in_order(self) -> tuple[Problem, ...]:
        found = (one.problem() if isinstance(one, _Group) else one for one in self._kept.values())
        return tuple(sorted(found, key=lambda one: one.place))


class ProblemLog:
    """Everything that was found. Where it is `strict`, a warning is as bad as a problem."""

    def __init__(self, *, strict: bool = False) -> None:
        self._strict = strict
        self._problems = _Findings()
        self._warnings = _Findings()
        self.has_unread = False
        """Whether there may be jobs where nothing could be read."""

    def add(self, problem: Problem) -> None:
        self._of(problem).add(problem)

    def add_alike(
        self,
        problem: Problem,
        spot: Spot,
        *,
        common: Problem | None = None,
        tally: Tally | None = None,
        within: str = "",
        noun: str = "rows",
        key: Hashable | None = None,
    ) -> None:
        """Add a problem of one row or job; those that others have alike become one.

        `common` is what is said instead, at the place of the cause, where more than half of those
        that `tally` counts have it. `within` says what the row is part of. `key` tells apart what
        is alike; without it, the file and the message without its values do.
        """
        if key is None:
            key = problem.file, kind_of(problem.message)
        group = _Group(problem, common, tally, within, noun)
        self._of(problem).add_alike(key, group, spot)

    def _of(self, problem: Problem) -> _Findings:
        return self._warnings if problem.is_warning else self._problems

    def __bool__(self) -> bool:
        """Whether something is wrong, so that nothing may be sent."""
        return self.total > 0 or (self._strict and self._warnings.total > 0)

    @property
    def total(self) -> int:
        return self._problems.total

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Those that are kept, in the order of the file."""
        return self._problems.in_order()

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """Those that are kept, in the order of the file."""
        return self._warnings.in_order()

    def error(self) -> ManifestError:
        return ManifestError(self.problems, self.total, warnings=self.warnings)

    def raise_if_any(self) -> None:
        """Raise ManifestError unless nothing is wrong."""
        if self:
            raise self.error()


@dataclass(frozen=True, slots=True)
class Reporter:
    """Writes the problems of one file into the log."""

    path: Path
    log: ProblemLog

    def at(
        self, place: Place, message: str, hint: str | None = None, job_id: str | None = None
    ) -> None:
        self.log.add(Problem(str(self.path), *place, message, hint, job_id))

    def warn(
        self, place: Place, message: str, hint: str | None = None, job_id: str | None = None
    ) -> None:
        """Report a likely mistake; it stops nothing."""
        self.log.add(Problem(str(self.path), *place, message, hint, job_id, is_warning=True))

    def row(self, line: int, message: str, hint: str | None = None, *, warn: bool = False) -> None:
        """Report what is wrong with a row of this data file; with many alike, once."""
        problem = Problem(str(self.path), line, 1, message, hint, is_warning=warn)
        self.log.add_alike(problem, Spot(str(self.path), line))

    def of(self, path: Path) -> Reporter:
        """The same log, for another file."""
        return Reporter(path, self.log)

    def whole(self, message: str, hint: str | None = None) -> None:
        """Report what is wrong with the file as such."""
        self.log.has_unread = True
        self.at(Place(0, 0), message, hint)

    def unreadable(self, error: UnreadableYamlError) -> None:
        self.log.has_unread = True
        self.at(Place(error.line, error.column), error.what, error.next_step)

    def below(
        self,
        node: Node,
        problems: Iterable[InputProblem],
        under: tuple[str | int, ...] = (),
        job_id: str | None = None,
    ) -> None:
        """Report problems whose paths begin at `under` in `node`."""
        for problem in problems:
            place = place_of(node, (*under, *problem.path), at_key=problem.at_key)
            self.at(place, problem.message, problem.hint, job_id)
