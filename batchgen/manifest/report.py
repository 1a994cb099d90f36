"""Findings of any stage → problems with file, line and column."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from batchgen.errors import Problem, Spot
from batchgen.manifest.parsing.nodes import Node, Place, place_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from batchgen.manifest.parsing.source import UnreadableYamlError
    from batchgen.manifest.problems import ProblemLog
    from batchgen.models.wording import InputProblem


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
        """Tell something that is most likely not meant, but may be: it stops nothing."""
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
