"""Collects the problems of a manifest, and warnings about likely mistakes.

Each has a file, a line and a column. A problem that many rows or jobs share is reported once, with
its first places and a count.
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
"""Begins the warning about a row that `bad_rows: skip` leaves out."""
KEPT = 1000
"""Problems in memory: a million of them are counted, not kept."""
SPOTS = 5
"""Rows or jobs that are named if many have the same problem."""

_VALUES = re.compile(
    r"(?:; got|cannot use|not on|its values:) .*|.*(?= has no caption: ).*|\d+(?:[.,]\d+)*",
    re.DOTALL,
)


def kind_of(message: str) -> str:
    """Return the message without its values: messages of one kind differ only in these."""
    return _VALUES.sub("#", message)


@dataclass(slots=True)
class Tally:
    """How many rows have been checked so far, to know whether more than half of them are wrong."""

    checked: int = 0


@dataclass(slots=True)
class _Group:
    """The same problem of several rows or jobs.

    `first` is the problem of the first one; `common`, if given, is the problem at the place that
    is to blame if most of them have it. `within` describes what they belong to.
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
        # The jobs of one row follow each other, and count as one.
        if spot == self.last:
            return
        self.last = spot
        self.count += 1
        if len(self.spots) < SPOTS:
            self.spots.append(spot)

    def problem(self) -> Problem:
        if self.count == 1:
            return self._with(self.first, self.within)
        problem = self.common if self.common is not None and self._is_of_most() else self.first
        within = "" if problem is self.common else self.within
        places = f"in {self.count:,} {self.noun}: {self._format_spots(problem)}"
        note = ", ".join(filter(None, (within, places)))
        return replace(self._with(problem, note), count=self.count, spots=tuple(self.spots))

    def _is_of_most(self) -> bool:
        return self.tally is None or 2 * self.count > self.tally.checked

    def _format_spots(self, problem: Problem) -> str:
        more = ["…"] if self.count > len(self.spots) else []
        first = self.spots[0]
        if not first.line:
            labels = (spot.label or spot.file for spot in self.spots)
            return (", " if first.file else "; ").join([*labels, *more])
        file = "" if first.file == problem.file else f"{PurePath(first.file).name} "
        return f"{file}lines {', '.join([*(str(spot.line) for spot in self.spots), *more])}"

    @staticmethod
    def _with(problem: Problem, note: str) -> Problem:
        return replace(problem, message=f"{problem.message} ({note})") if note else problem


class _Findings:
    """Keeps the first problems and counts all of them, without duplicates."""

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
    """All problems and warnings. If `strict`, a warning is as bad as a problem."""

    def __init__(self, *, strict: bool = False) -> None:
        self._strict = strict
        self._problems = _Findings()
        self._warnings = _Findings()
        self.has_unread = False
        """Whether something could not be read, which may contain jobs."""
        self.unknown_models: set[str] = set()
        """Names of models that no catalog has; the vendor may have them."""

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
        """Add a problem of one row or job; the same problem of others becomes one with it.

        `common` is reported instead if more than half of the rows that `tally` counts have the
        problem, or if there is no tally. `within` describes what the row belongs to. Problems with
        the same `key` are the same; its default is the file and the message without values.
        """
        if key is None:
            key = problem.file, kind_of(problem.message)
        group = _Group(problem, common, tally, within, noun)
        self._of(problem).add_alike(key, group, spot)

    def _of(self, problem: Problem) -> _Findings:
        return self._warnings if problem.is_warning else self._problems

    def __bool__(self) -> bool:
        """Whether anything is wrong, so that nothing may be sent."""
        return self.total > 0 or (self._strict and self._warnings.total > 0)

    @property
    def total(self) -> int:
        return self._problems.total

    @property
    def problems(self) -> tuple[Problem, ...]:
        """The kept problems, by file, line and column."""
        return self._problems.in_order()

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """The kept warnings, by file, line and column."""
        return self._warnings.in_order()

    def error(self) -> ManifestError:
        unknown = tuple(sorted(self.unknown_models))
        return ManifestError(
            self.problems, self.total, warnings=self.warnings, unknown_models=unknown
        )

    def raise_if_any(self) -> None:
        """Raise ManifestError if anything is wrong."""
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
        """Report a likely mistake; it does not stop a run."""
        self.log.add(Problem(str(self.path), *place, message, hint, job_id, is_warning=True))

    def row(
        self,
        line: int,
        message: str,
        hint: str | None = None,
        *,
        file: str = "",
        warn: bool = False,
    ) -> None:
        """Report a problem of a row of this data file; the same one in many rows only once.

        With `file`, the row is this file of those that the path of this reporter matches.
        """
        spot = Spot(file or str(self.path), line)
        problem = Problem(spot.file, line, 1 if line else 0, message, hint, is_warning=warn)
        key = str(self.path), kind_of(message)
        self.log.add_alike(problem, spot, noun="files" if file else "rows", key=key)

    def of(self, path: Path) -> Reporter:
        """A reporter for another file, with the same log."""
        return Reporter(path, self.log)

    def whole(self, message: str, hint: str | None = None) -> None:
        """Report a problem of the file as a whole."""
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
