"""Which jobs a cell needs, by id or by sweep, and `{{ jobs.still.image }}` in templates.

Needing a sweep means needing its cell with the same values. `jobs` in a template becomes a
reference to another job's result.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from batchgen.manifest.sweeps import cell_suffix
from batchgen.manifest.templates.problems import TemplateProblem
from batchgen.manifest.templates.texts import is_literal
from batchgen.manifest.templates.values import Namespace
from batchgen.models.messages import InputProblem, format_value
from batchgen.references import reference_url
from batchgen.text import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from batchgen.manifest.items import Item
    from batchgen.manifest.parsing.nodes import Path
    from batchgen.manifest.scope import SweepHead
    from batchgen.manifest.sweeps import Cell
    from batchgen.references import Kind


_NOT_WORD = re.compile(r"[^A-Za-z0-9]+")


class Needs:
    """Finds the jobs that the cells of one item need. `names`: what the item calls them."""

    def __init__(
        self, item: Item, sweeps: Mapping[str, SweepHead], referred: Iterable[str]
    ) -> None:
        self._item = item
        self._sweeps = sweeps
        self.names = tuple(dict.fromkeys((*item.needs, *referred)))

    def ids_for(self, cell: Cell) -> dict[str, str]:
        """Name → id of the job that this cell needs. Raises TemplateProblem."""
        return {name: self._job_id(name, cell) for name in self.names}

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
        """Raise TemplateProblem if it is unclear which job of the sweep is meant."""
        one_job = f"needs: {{{head.id}: '{head.id}-…'}}"
        hint = f"use the same axes and repeats here, or name one job: {one_job}"
        missing = [axis for axis in head.axes if axis not in cell.variables]
        if missing:
            what = f"'{head.id}' sweeps over '{missing[0]}', and this job does not"
            raise TemplateProblem(what, hint)
        if head.rows is not None and not self._has_rows_of(head, cell):
            kind = "file" if head.rows.are_files else "row"
            what = f"'{head.id}' has one job for each {kind} of {head.rows.label}"
            hint = f"add 'from: {head.rows.label}' here"
            raise TemplateProblem(f"{what}, and this job does not", hint)
        if head.repeats > 1 and "repeat" not in self._item.node.children:
            what = f"'{head.id}' is repeated {head.repeats} times, and this job is not"
            raise TemplateProblem(what, hint)

    def _has_rows_of(self, head: SweepHead, cell: Cell) -> bool:
        assert head.rows is not None
        own = self._item.rows
        return cell.row is not None and own is not None and own.is_same_as(head.rows)


def references(ids: Mapping[str, str]) -> JobReferences:
    """The value of `jobs` in the templates of one cell."""
    return JobReferences(lambda name: ids[name])


def job_name_problem(
    path: Path, name: str, item: Item, sweeps: Mapping[str, SweepHead]
) -> InputProblem | None:
    """Find a `jobs.NAME` that fits no need, though a need whose id is a template was meant."""
    if name in item.needs or name in sweeps:
        return None
    if not is_literal(name):
        return InputProblem(
            path, f"{format_value(name)} names no job: it is not read as a template", _alias(name)
        )
    meant = next((text for text in item.needs if _stem(text) == name), None)
    if meant is None or is_literal(meant):
        return None
    what = f"no need is called '{name}', which jobs.{name} names"
    return InputProblem(path, what, _alias(meant))


def _stem(template: str) -> str:
    return template.partition("{")[0].rstrip("-_./ ")


def _alias(template: str) -> str:
    name = _NOT_WORD.sub("_", _stem(template)).strip("_") or "it"
    return f'write needs: {{{name}: "{template}"}}, and jobs.{name}.image'


_OUTPUTS: dict[str, Kind] = {
    "image": "image",
    "images": "image",
    "video": "video",
    "videos": "video",
    "audio": "audio",
    "audios": "audio",
}


class JobReferences(Namespace):
    """The jobs that this one needs. `lookup` returns the id of a job by its name.

    Whether a job makes an image, a video or a sound is known only once all jobs are.
    """

    __slots__ = ("_lookup",)

    def __init__(self, lookup: Callable[[str], str]) -> None:
        self._lookup = lookup

    def __getitem__(self, key: object) -> _Outputs:
        name = str(key)
        return _Outputs(name, self._lookup(name))

    @property
    def misuse(self) -> str:
        return "name one of the jobs and its output: jobs.NAME.image"


class _Outputs(Namespace):
    """The outputs of one job, by kind."""

    __slots__ = ("_job_id", "_name")

    def __init__(self, name: str, job_id: str) -> None:
        self._name = name
        self._job_id = job_id

    def __getitem__(self, key: object) -> str | _Files:
        kind = _OUTPUTS.get(key) if isinstance(key, str) else None
        if kind is None:
            hint = did_you_mean(str(key), _OUTPUTS)
            raise TemplateProblem(f"{_written(self._name)} has no '{key}'", hint)
        files = _Files(self._name, self._job_id, kind)
        return files[0] if key == kind else files

    @property
    def misuse(self) -> str:
        written = _written(self._name)
        return f"{written} is a job: name its output: {written}.image"


class _Files(Namespace):
    """The images, videos or sounds of one job, in the vendor's order."""

    __slots__ = ("_job_id", "_kind", "_name")

    def __init__(self, name: str, job_id: str, kind: Kind) -> None:
        self._name = name
        self._job_id = job_id
        self._kind: Kind = kind

    def __getitem__(self, key: object) -> str:
        if type(key) is not int or key < 0:
            what = f"{self._written()}[{key!r}] is not an output: they are counted from 0"
            raise TemplateProblem(what, f"the first is {self._written()}[0]")
        return reference_url(self._job_id, self._kind, key)

    @property
    def misuse(self) -> str:
        return f"name one of them: {self._written()}[0]"

    def _written(self) -> str:
        return f"{_written(self._name)}.{self._kind}s"


def _written(name: str) -> str:
    return f"jobs.{name}" if name.isidentifier() else f"jobs[{name!r}]"
