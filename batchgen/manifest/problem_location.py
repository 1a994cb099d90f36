"""Where a problem of a cell is reported: in the job, in the defaults, or in its data row."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from batchgen.errors import Problem, Spot
from batchgen.manifest.items import id_of
from batchgen.manifest.parsing.nodes import Place, place_of
from batchgen.manifest.problems import Tally, kind_of
from batchgen.manifest.templates.problems import TemplateProblem
from batchgen.models.messages import InputProblem

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from pathlib import Path as FilePath

    from batchgen.manifest.header import Manifest
    from batchgen.manifest.items import Item
    from batchgen.manifest.problems import Reporter
    from batchgen.manifest.scope import DefaultText
    from batchgen.manifest.sweeps import Cell


A = TypeVar("A")
T = TypeVar("T")

ProblemPath: TypeAlias = tuple[str | int, ...]
WrittenAt: TypeAlias = "Mapping[ProblemPath, list[int]]"
"""For each list that items were left out of, the original indices of the others."""
MOST_WRONG = 50_000
"""After so many wrong cells of an item the rest is not checked: it would take too long."""


class CellError(Exception):
    """Problems of a cell. Not in the tree of errors, since it never leaves this room.

    The problems have paths in the item. `item_wide`: every other cell has them too. `rendered` are
    the paths of templates.
    """

    def __init__(
        self,
        problems: Sequence[InputProblem],
        from_defaults: Collection[str] = (),
        rendered: Collection[ProblemPath] = (),
        *,
        item_wide: bool = False,
        job_id: str | None = None,
    ) -> None:
        super().__init__()
        self.problems = problems
        self.from_defaults = from_defaults
        self.rendered = rendered
        self.item_wide = item_wide
        self.job_id = job_id

    def is_from_row(self, cell: Cell) -> bool:
        """Whether the cell's row may have caused all of the problems."""
        return (
            cell.row is not None
            and not self.item_wide
            and all(_is_rendered(one.path, self.rendered) for one in self.problems)
        )

    def with_job(self, job_id: str | None) -> CellError:
        self.job_id = job_id
        return self


def located(path: ProblemPath, act: Callable[[A], T], value: A) -> T:
    """Call `act`. Turns a TemplateProblem into a CellError with the path in the item."""
    try:
        return act(value)
    except TemplateProblem as exc:
        problem = InputProblem((*path, *exc.path), exc.what, exc.next_step)
        raise CellError([problem], rendered=[problem.path]) from exc


def as_written(path: ProblemPath, written_at: WrittenAt) -> ProblemPath:
    """Correct the index of a list item if items before it were left out."""
    if path and isinstance(path[-1], int) and path[:-1] in written_at:
        return (*path[:-1], written_at[path[:-1]][path[-1]])
    return path


class ProblemLocator:
    """Reports the problems of one item's cells."""

    def __init__(self, item: Item, reporter: Reporter, manifest: Manifest) -> None:
        self._item = item
        self._reporter = reporter
        self._manifest = manifest
        self._wrong_cells = 0
        self._rows = Tally()
        self._number = 0
        self._data_file = "" if item.rows is None else str(item.rows.path)
        self.item_is_wrong = False

    def report(self, error: CellError, cell: Cell) -> None:
        self.item_is_wrong = self.item_is_wrong or error.item_wide
        for problem in error.problems:
            # A value that no template made is wrong in every cell: report it once.
            of_cell = not error.item_wide and _is_rendered(problem.path, error.rendered)
            if of_cell and self._item.is_sweep:
                self._report_cell(problem, cell, error)
            else:
                self._reporter.log.add(self._in_manifest(problem, error, of_cell=of_cell))
        self._wrong_cells += 1
        if self._wrong_cells == MOST_WRONG and not self.item_is_wrong:
            self._give_up()

    def warn(self, found: CellError, cell: Cell) -> None:
        """Warn about a likely mistake; the same one in several jobs is reported once."""
        for problem in found.problems:
            if self._item.is_sweep and _is_rendered(problem.path, found.rendered):
                self._report_cell(problem, cell, found, is_warning=True)
                continue
            warning = replace(self._in_manifest(problem, found, of_cell=False), is_warning=True)
            key = warning.file, kind_of(warning.message)
            self._reporter.log.add_alike(
                warning, Spot(warning.file, warning.line), noun="jobs", key=key
            )

    def _report_cell(
        self, problem: InputProblem, cell: Cell, error: CellError, *, is_warning: bool = False
    ) -> None:
        """Report a problem once for all cells that have it: of the template, or of the rows."""
        common = self._in_manifest(problem, error, of_cell=False)
        common = replace(common, is_warning=is_warning) if is_warning else common
        key = common.place, kind_of(problem.message)
        log = self._reporter.log
        if cell.row is None:
            alone = replace(common, job_id=error.job_id or common.job_id)
            spot = Spot(label=cell.label or "the first")
            log.add_alike(alone, spot, common=common, within=cell.label, noun="jobs", key=key)
            return
        spot = Spot(cell.file or self._data_file, cell.line)
        column = 1 if cell.line else 0
        alone = replace(common, file=spot.file, line=spot.line, column=column, job_id=error.job_id)
        log.add_alike(
            alone,
            spot,
            common=common,
            tally=self._rows,
            within=f"in the job of {self._reporter.path.name}:{self._item.node.place.line}",
            noun="files" if cell.file else "rows",
            key=key,
        )

    def count_row(self, number: int) -> None:
        """Count the row with this number, once for all of its cells."""
        if number != self._number:
            self._number = number
            self._rows.checked += 1

    def _in_manifest(self, problem: InputProblem, error: CellError, *, of_cell: bool) -> Problem:
        """The problem at its cause in the manifest, so that it is reported once and not per job."""
        item, job_id = self._item, None
        source = self._inherited(problem, error.from_defaults)
        if source is None:
            job_id = (error.job_id if of_cell else None) or id_of(item.node)
            place = place_of(item.node, problem.path, at_key=problem.at_key)
            source = self._reporter.path, place
        return Problem(str(source[0]), *source[1], problem.message, problem.hint, job_id)

    def _inherited(
        self, problem: InputProblem, from_defaults: Collection[str]
    ) -> tuple[FilePath, Place] | None:
        """The file and place of a text that the item inherits; None if the text is its own."""
        item, path = self._item, problem.path
        defaults = item.part.defaults
        text: DefaultText | None = None
        match path:
            case ("input", str(key), *_) if key in from_defaults:
                source = defaults.source_of(key)
                assert source is not None, "every default has a source"
                return source.path, place_of(source.node, path[1:], at_key=problem.at_key)
            case ("defaults", "tags", int(number)):
                text = defaults.tags[number]
            case ("model",) if item.node.child("model") is None:
                text = defaults.model
            case ("name",) if item.name is None and self._manifest.name_at is not None:
                return self._manifest.path, self._manifest.name_at
        return None if text is None else (text.path, text.place)

    def _give_up(self) -> None:
        self.item_is_wrong = True
        message = f"{MOST_WRONG:,} of its jobs are wrong; the others are not checked"
        hint = "fix these first"
        self._reporter.at(self._item.node.place, message, hint, id_of(self._item.node))


def _is_rendered(path: ProblemPath, rendered: Collection[ProblemPath]) -> bool:
    """Whether a template is at the path, above or below it."""
    return any(path[: len(one)] == one or one[: len(path)] == path for one in rendered)
