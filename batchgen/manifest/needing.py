"""Which jobs a cell needs: by their ids, or by a sweep's: then its cell with the same values."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from batchgen.manifest.sweeps import cell_suffix, data_file
from batchgen.manifest.templates.job_references import JobReferences
from batchgen.manifest.templates.problems import TemplateProblem
from batchgen.manifest.templates.texts import is_literal
from batchgen.models.wording import InputProblem, shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from batchgen.manifest.items import Item
    from batchgen.manifest.parsing.nodes import Path
    from batchgen.manifest.scope import SweepHead
    from batchgen.manifest.sweeps import Cell

_NOT_WORD = re.compile(r"[^A-Za-z0-9]+")


class Needs:
    """Finds the jobs that the cells of one item need. `names`: what its templates refer to."""

    def __init__(
        self, item: Item, sweeps: Mapping[str, SweepHead], referred: Iterable[str]
    ) -> None:
        self._item = item
        self._sweeps = sweeps
        self._names = tuple(dict.fromkeys((*item.needs, *referred)))
        self.any = bool(self._names)

    def of(self, cell: Cell) -> dict[str, str]:
        """Name → id of the job, for this cell. Raises TemplateProblem."""
        return {name: self._job_id(name, cell) for name in self._names}

    def _job_id(self, name: str, cell: Cell) -> str:
        template = self._item.needs.get(name)
        wanted = name if template is None else str(template.render(cell.variables))
        head = self._sweeps.get(wanted)
        if head is None:
            return wanted
        self._require_same_axes(head, cell)
        suffix = cell_suffix(head, cell)
        return f"{wanted}-{suffix}" if suffix else wanted

    def _require_same_axes(self, head: SweepHead, cell: Cell) -> None:
        """Else nobody could tell which of its jobs is meant."""
        hint = f"sweep over the same here, or name one job: needs: {{{head.id}: '{head.id}-…'}}"
        missing = [axis for axis in head.axes if axis not in cell.variables]
        if missing:
            what = f"'{head.id}' sweeps over '{missing[0]}', and this job does not"
            raise TemplateProblem(what, hint)
        if head.rows is not None and not self._has_rows_of(head, cell):
            what = f"'{head.id}' has one job for each row of {head.rows.name}, and this one has not"
            raise TemplateProblem(what, f"add 'from: {head.rows.name}' here")
        if head.repeats > 1 and "repeat" not in self._item.node.children:
            what = f"'{head.id}' is repeated {head.repeats} times, and this job is not"
            raise TemplateProblem(what, hint)

    def _has_rows_of(self, head: SweepHead, cell: Cell) -> bool:
        assert head.rows is not None
        return cell.row is not None and data_file(self._item).resolve() == head.rows.resolve()


def references(ids: Mapping[str, str]) -> JobReferences:
    """What `{{ jobs.… }}` means in the templates of one cell."""
    return JobReferences(lambda name: ids[name])


def misnamed(
    path: Path, name: str, item: Item, sweeps: Mapping[str, SweepHead]
) -> InputProblem | None:
    """Say how to name a job whose id is a template: `jobs.NAME` itself is none."""
    if name in item.needs or name in sweeps:
        return None
    if not is_literal(name):
        return InputProblem(
            path, f"{shown(name)} names no job: it is not read as a template", _alias(name)
        )
    meant = next((text for text in item.needs if _stem(text) == name), None)
    if meant is None or is_literal(meant):
        return None
    what = f"no need is called '{name}', which jobs.{name} names"
    return InputProblem(path, what, _alias(meant))


def _stem(template: str) -> str:
    return template.partition("{")[0].rstrip("-_./ ")


def _alias(template: str) -> str:
    word = _NOT_WORD.sub("_", _stem(template)).strip("_") or "it"
    return f'write needs: {{{word}: "{template}"}}, and jobs.{word}.image'
