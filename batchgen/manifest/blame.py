"""Where a cell's problem is told: in the job, in the defaults, or in the row that brought it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

from batchgen.manifest.items import id_of
from batchgen.manifest.parsing.nodes import Place
from batchgen.manifest.sweeps import data_file

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from batchgen.manifest.items import Item
    from batchgen.manifest.report import Reporter
    from batchgen.manifest.sweeps import Cell
    from batchgen.models.wording import InputProblem

ProblemPath: TypeAlias = tuple[str | int, ...]
INPUT = "input"


class CellError(Exception):
    """Something is wrong with a cell: no error of the tree, since it never leaves this room.

    The problems have paths in the item. `of_item`: no other cell would fare better. `rendered` are
    the paths where templates stand.
    """

    def __init__(
        self,
        problems: Sequence[InputProblem],
        from_defaults: Collection[str] = (),
        rendered: Collection[ProblemPath] = (),
        *,
        of_item: bool = False,
        job_id: str | None = None,
    ) -> None:
        super().__init__()
        self.problems = problems
        self.from_defaults = from_defaults
        self.rendered = rendered
        self.of_item = of_item
        self.job_id = job_id

    def of_job(self, job_id: str | None) -> CellError:
        self.job_id = job_id
        return self


class Blame:
    """Reports the problems of one item's cells."""

    def __init__(self, item: Item, reporter: Reporter) -> None:
        self._item = item
        self._reporter = reporter
        self.item_is_wrong = False

    def tell(self, error: CellError, cell: Cell) -> None:
        self.item_is_wrong = self.item_is_wrong or error.of_item
        for problem in error.problems:
            path = problem.path
            if path[:1] == (INPUT,) and path[1:2] and path[1] in error.from_defaults:
                self._tell_default(problem)
            elif cell.row is not None and not error.of_item and _is_rendered(path, error.rendered):
                self._tell_row(problem, cell, error)
            else:
                self._tell_item(problem, cell, error)

    def _tell_default(self, problem: InputProblem) -> None:
        """Once, where the default stands: not for each job that has it."""
        source = self._item.part.defaults.source_of(str(problem.path[1]))
        assert source is not None, "a default stands somewhere"
        own = replace(problem, path=problem.path[1:])
        self._reporter.of(source.path).below(source.node, [own])

    def _tell_row(self, problem: InputProblem, cell: Cell, error: CellError) -> None:
        at = self._item.node.place.line
        message = f"{problem.message} (in the job of {self._reporter.path.name}:{at})"
        row = self._reporter.of(data_file(self._item))
        row.at(Place(cell.line, 1), message, problem.hint, error.job_id)

    def _tell_item(self, problem: InputProblem, cell: Cell, error: CellError) -> None:
        job_id = error.job_id or id_of(self._item.node)
        # What no template brought is wrong with every cell alike: it is told once.
        if cell.label and not error.of_item and _is_rendered(problem.path, error.rendered):
            problem = replace(problem, message=f"{problem.message} ({cell.label})")
        self._reporter.below(self._item.node, [problem], job_id=job_id)


def _is_rendered(path: ProblemPath, rendered: Collection[ProblemPath]) -> bool:
    """Whether a template is at the path, above or below it."""
    return any(path[: len(one)] == one or one[: len(path)] == path for one in rendered)
