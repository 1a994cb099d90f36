"""An item → its cells: rows outermost, then the matrix, then repeats.

A cell's index is its place in the full product, so that `where`, `offset`, `limit` and `exclude` do
not change a seed that is made from it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, NamedTuple

from batchgen.errors import InputError, MissingFileError
from batchgen.manifest.matrix import (
    Combination,
    Matrix,
    are_distinguished,
    axis_names,
    matrix_problems,
    suffix,
)
from batchgen.manifest.parsing.nodes import place_of
from batchgen.manifest.problems import SKIPPED
from batchgen.manifest.rows import BadRow, FilteredRows, Row, Rows, open_source, where_problems
from batchgen.manifest.scope import SweepHead
from batchgen.models.messages import InputProblem, format_value

if TYPE_CHECKING:
    from collections.abc import Iterable

    from batchgen.jobs import JsonValue
    from batchgen.manifest.items import Item
    from batchgen.manifest.parsing.nodes import Node, Place
    from batchgen.manifest.problems import Reporter
    from batchgen.manifest.rows import RowSource

KEPT_COMBINATIONS = 10_000
"""Up to this size the combinations are kept; a larger matrix is expanded again for each row."""


# Made a million times: a named tuple takes half as long as a dataclass.
class Cell(NamedTuple):
    """The variables of one job. `row`, `number` and `line` come from a data file.

    If its row is a file, that is `file`, and ids call it `slug`.
    """

    variables: Mapping[str, JsonValue]
    axes: Mapping[str, JsonValue]
    repeat: int = 1
    row: Mapping[str, JsonValue] | None = None
    number: int = 0
    line: int = 0
    file: str = ""
    slug: str = ""

    @property
    def label(self) -> str:
        """The axis values and the repeat, for messages."""
        parts = [f"{name}: {format_value(value)}" for name, value in self.axes.items()]
        parts += [f"repeat {self.repeat}"] if self.repeat > 1 else []
        return ", ".join(parts)


class Sweep:
    """Yields the cells of any item; a single job is one cell."""

    def __init__(self, item: Item, reporter: Reporter) -> None:
        value = item.node.value
        assert isinstance(value, Mapping)
        self._item = item
        self._value: dict[str, Any] = dict(value)
        self._reporter = reporter
        self._repeats = int(self._value.get("repeat", 1))
        # Of files there may be more tomorrow, which must not rename the job of the first one.
        self._may_have_several_rows = item.are_rows_files

    @property
    def whole_head(self) -> SweepHead:
        """All that its cells differ in."""
        axes = axis_names(self._value.get("matrix", {}))
        part, place = self._item.part, self._item.node.place
        return SweepHead("", part.path, place, axes, self._item.rows, self._repeats)

    def suffix_head(self, cell: Cell) -> SweepHead | None:
        """What a suffix must add to an id that is a template, so that no two jobs have the same id.

        Only what the cells differ in and the template does not name: a single value or a single row
        needs no suffix, and ids that are distinct without one never change.
        """
        template = self._item.id
        if template is None or template.is_literal or "index" in template.names:
            return None
        names, matrix = template.names, self._value.get("matrix", {})
        axes: tuple[str, ...] = ()
        if matrix and not are_distinguished(matrix, names):
            axes = tuple(axis for axis in axis_names(matrix) if axis not in names)
        rows = None
        if cell.row is not None and self._may_have_several_rows and not names & {"row", *cell.row}:
            rows = self._item.rows
        repeats = 1 if "repeat" in names else self._repeats
        if not axes and rows is None and repeats == 1:
            # The usual case: a million cells need not each build an empty suffix.
            return None
        return SweepHead("", self._item.part.path, self._item.node.place, axes, rows, repeats)

    def cells(self) -> Iterator[Cell]:
        """Yield the cells; report problems of the matrix and of rows."""
        constants = self._item.part.constants
        if not self._item.is_sweep:
            yield Cell(constants, {})
            return
        if problems := matrix_problems(self._value["matrix"]) if "matrix" in self._value else []:
            self._reporter.below(self._item.node, problems, ("matrix",))
            return
        grid = _Grid(self._value.get("matrix"), self._repeats)
        if self._item.rows is None:
            yield from grid.cells(constants)
            return
        env = constants["env"]
        rows = self._rows(self._item.rows)
        first = list(islice(rows, 2))
        self._may_have_several_rows |= len(first) > 1
        for row in chain(first, rows):
            # A column called `row` or `env` must not hide ours.
            named = {**constants, **row.values, "row": row.values, "env": env}
            yield from grid.cells(named, row)

    def _rows(self, source: RowSource) -> Iterator[Row]:
        at = place_of(self._item.node, ("from",))
        try:
            with open_source(source) as rows:
                yield from self._chosen(rows, source, at)
        except (InputError, MissingFileError) as exc:
            self._reporter.at(at, f"{exc.where or source.path}: {exc.what}", exc.next_step)

    def _chosen(self, rows: Rows, source: RowSource, at: Place) -> Iterator[Row]:
        """Yield the chosen rows; a bad one is reported at its line, or at the file that it is."""
        where = self._value.get("where", {})
        wrong, clashes = where_problems(rows, where), self._clashes(rows, source)
        self._reporter.below(self._item.node, wrong, ("where",))
        self._reporter.below(self._item.node, clashes)
        if wrong or clashes:
            return
        picked = FilteredRows(rows, where, self._value.get("offset", 0), self._value.get("limit"))
        refused, skipped = False, 0
        for row in picked:
            if isinstance(row, Row):
                yield row
            elif self._item.skips_bad_rows and not row.hides_rows:
                skipped += 1
                self._report(source, row, warn=True)
            else:
                refused = True
                self._report(source, row)
        wrong = picked.problems()
        self._reporter.below(self._item.node, wrong, ("where",))
        if not (picked.count or refused or wrong):
            self._reporter.at(at, *self._why_nothing(picked, source, skipped))

    def _report(self, source: RowSource, row: BadRow, *, warn: bool = False) -> None:
        message = f"{SKIPPED}{row.message}" if warn else row.message
        self._reporter.of(source.path).row(row.line, message, row.hint, file=row.file, warn=warn)

    def _why_nothing(
        self, picked: FilteredRows, source: RowSource, skipped: int
    ) -> tuple[str, str]:
        kind, name = "file" if source.are_files else "row", source.label
        if not picked.seen:
            if skipped:
                return f"no {kind} of {name} can be read: all were skipped", "fix some of them"
            return f"{name} has no rows", "each row makes a job: the file needs at least one"
        read = None if picked.matching else misread_number(self._item.node.child("where"))
        hint = f"{picked.matching} {kind}s match 'where'; see offset and limit"
        return f"no {kind} of {name} is chosen", read or hint

    def _clashes(self, rows: Rows, source: RowSource) -> list[InputProblem]:
        column = "variable of a file" if source.are_files else f"column of {source.label}"
        axes = self._value.get("matrix", {})
        return [
            InputProblem(
                ("matrix", axis),
                f"the axis '{axis}' is also a {column}",
                "rename the axis",
                at_key=True,
            )
            for axis in axes
            if axis in (rows.columns or ())
        ]


class _Grid:
    """The combinations of an item's matrix, each one repeated."""

    def __init__(self, matrix: Mapping[str, JsonValue] | None, repeats: int) -> None:
        self._repeats = repeats
        self._matrix: Matrix | None = None if matrix is None else Matrix(matrix)
        self._width = 1 if self._matrix is None else self._matrix.width
        self._kept: tuple[Combination, ...] = (Combination({}, 1),)
        if self._matrix is not None:
            small = self._width <= KEPT_COMBINATIONS
            self._kept = tuple(self._matrix.combinations()) if small else ()

    def cells(self, named: Mapping[str, JsonValue], row: Row | None = None) -> Iterator[Cell]:
        """Yield the cells of one row, or without a row. Variables in `named` win over ours."""
        values, number, line, file, slug = row or (None, 1, 0, "", "")
        before = (number - 1) * self._width
        for one in self._combinations():
            first = (before + one.number - 1) * self._repeats
            for repeat in range(1, self._repeats + 1):
                known = {"index": first + repeat, "repeat": repeat, **named}
                variables = {**known, **one.values} if one.values else known
                yield Cell(variables, one.values, repeat, values, number, line, file, slug)

    def _combinations(self) -> Iterable[Combination]:
        if self._kept or self._matrix is None:
            return self._kept
        return self._matrix.combinations()


def misread_number(node: Node | None) -> str | None:
    """Find a number that YAML reads differently: `007` is 7 to YAML, and rows have `007`."""
    if node is None:
        return None
    for child in node.children.values():
        if isinstance(child.value, list | Mapping):
            if found := misread_number(child):
                return found
        elif (
            type(child.value) in (int, float) and (read := format_value(child.value)) != child.text
        ):
            return f"YAML reads {child.text} as {read}: put it in quotes"
    return None


def cell_suffix(head: SweepHead, cell: Cell) -> str:
    """What distinguishes the jobs of a sweep.

    A row is identified by its number, not its content: adding a column renames nothing, and an
    inserted row shows up as changed inputs, which a run refuses, not as new jobs to pay for. A file
    is identified by its name: a changed picture is a changed job.
    """
    repeat = cell.repeat if head.repeats > 1 else 1
    axes = suffix(head.axes, cell.variables, repeat)
    if head.rows is None or cell.row is None:
        return axes
    own = cell.slug or str(cell.number)
    return f"{own}-{axes}" if axes else own
