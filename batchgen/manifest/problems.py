"""The collector of everything that is wrong with a manifest."""

from __future__ import annotations

from batchgen.errors import ManifestError, Problem

KEPT = 1000
"""A manifest of a million wrong jobs is counted, not kept."""


class ProblemLog:
    """Keeps the first problems, counts all of them, and shows none twice."""

    def __init__(self) -> None:
        self._kept: dict[Problem, None] = {}
        self.total = 0

    def add(self, problem: Problem) -> None:
        if problem in self._kept:
            return
        self.total += 1
        if len(self._kept) < KEPT:
            self._kept[problem] = None

    def __bool__(self) -> bool:
        return self.total > 0

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Those that are kept, in the order of the file."""
        return tuple(sorted(self._kept, key=lambda one: (one.file, one.line, one.column)))

    def raise_if_any(self) -> None:
        """Raise ManifestError unless nothing was found."""
        if self:
            raise ManifestError(self.problems, self.total)
