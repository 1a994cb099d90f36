"""A cell of an item → a checked job."""

from __future__ import annotations

import json
import re
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from batchgen.input_files import HOST
from batchgen.jobs import (
    NO_AXES,
    Job,
    JsonObject,
    JsonValue,
    RejectedJob,
    canonical_json,
)
from batchgen.manifest.compiled_input import compile_input
from batchgen.manifest.dependencies import references
from batchgen.manifest.header_checks import unknown_model
from batchgen.manifest.identifiers import render_tag
from batchgen.manifest.job_ids import JobIds
from batchgen.manifest.local_files import forged_problem
from batchgen.manifest.naming import NameValues, render_name, with_short_size
from batchgen.manifest.parsing.nodes import place_of
from batchgen.manifest.policy import DEFAULT_NAME
from batchgen.manifest.problem_location import CellError, ProblemLocator, as_written, located
from batchgen.manifest.problems import SKIPPED
from batchgen.manifest.prompts import WildcardError
from batchgen.manifest.schema_validation import with_key_hints
from batchgen.manifest.stray_templates import foreign_syntax, may_be_odd, odd_text
from batchgen.manifest.templates.problems import TemplateProblem
from batchgen.manifest.templates.typed import coerce
from batchgen.models.file_rules import has_only_urls
from batchgen.models.inputs import CheckedInput, check_input
from batchgen.models.messages import InputProblem

if TYPE_CHECKING:
    from collections.abc import Callable

    from batchgen.manifest.compiled_input import CompiledInput
    from batchgen.manifest.header import Manifest
    from batchgen.manifest.items import Item
    from batchgen.manifest.local_files import Filled, LocalFiles
    from batchgen.manifest.problem_location import ProblemPath, WrittenAt
    from batchgen.manifest.problems import Reporter
    from batchgen.manifest.sweeps import Cell, Sweep
    from batchgen.manifest.templates.texts import CompiledText, Variables
    from batchgen.models.catalog import Model


# ASCII, so that any text of a manifest can be stored; in the manifest's order, for display.
_AXES = json.JSONEncoder(separators=(",", ":"))


_BLANK_HINT = "fill it in, or leave the job out"
_ONE_NAME = re.compile(r"\{\{\s*(\w+)\s*\}\}")


Refuse: TypeAlias = "Callable[[RejectedJob], None]"
"""Called with what is known of a job that is not valid."""


class JobBuilder:
    """Builds the jobs of one item. A cell with problems gives no job; the problems are reported."""

    def __init__(
        self,
        item: Item,
        manifest: Manifest,
        reporter: Reporter,
        refuse: Refuse,
        sweep: Sweep,
        files: LocalFiles,
    ) -> None:
        self._item = item
        self._files = files
        self._refuse = refuse
        self._manifest = manifest
        self._reporter = reporter
        self._built = self._skipped = 0
        self._locator = ProblemLocator(item, reporter, manifest)
        self._compiled_inputs: dict[str, CompiledInput] = {}
        self._name_template = item.name or manifest.output.name
        head = manifest.sweeps.get(item.literal_id or "") if item.is_sweep else None
        self._is_duplicate_sweep = head is not None and not head.is_at(
            item.node.place, item.part.path
        )
        self._ids = JobIds(item, sweep, head)
        self._rows_at = reporter.path if item.rows is None else item.rows.path
        self._file = str(self._rows_at)
        self._line = item.node.place.line
        self._sweep_name = item.sweep_name
        self._is_repeated = item.is_repeated
        self._draws = manifest.prompts is not None

    def build(self, cell: Cell) -> Job | None:
        self._locator.count_row(cell.number)
        try:
            job = self._build(cell)
        except CellError as exc:
            if self._item.skips_bad_rows and exc.is_from_row(cell):
                self._skip(exc.problems[0], cell)
            else:
                self._locator.report(exc.with_job(exc.job_id or self._own_id_of(cell)), cell)
                if not self.item_is_wrong:
                    self._refuse_cell(cell)
            return None
        self._built += 1
        return job

    def _skip(self, problem: InputProblem, cell: Cell) -> None:
        self._skipped += 1
        rows = self._reporter.of(self._rows_at)
        message = f"{SKIPPED}{problem.message}"
        rows.row(cell.line, message, problem.hint, file=cell.file, warn=True)

    def report_if_all_skipped(self) -> None:
        """Refuse an item if all of its jobs were skipped: that is a mistake."""
        if self._skipped and not self._built and not self.item_is_wrong:
            place = place_of(self._item.node, ("bad_rows",))
            self._reporter.at(place, "every job of this item was skipped", "fix some of its rows")

    def _refuse_cell(self, cell: Cell) -> None:
        """Pass on the id and needs of an invalid job: others may have its id, or need it."""
        job_id = self._id_of(cell)
        if job_id is not None:
            file, line = cell.file or self._file, self._line_of(cell)
            self._refuse(RejectedJob(job_id, file, line, self._needs_of(cell)))

    def _needs_of(self, cell: Cell) -> tuple[str, ...]:
        try:
            needs = located(("needs",), self._compiled_input(cell).needs.ids_for, cell)
        except CellError:
            return ()
        return tuple(dict.fromkeys(needs.values()))

    def _line_of(self, cell: Cell) -> int:
        """A job that a file makes has none: its place is that file."""
        return 0 if cell.file else cell.line or self._line

    @property
    def item_is_wrong(self) -> bool:
        """Whether the item itself is wrong, so that no cell can become a job.

        A second sweep with the same id was reported with the header.
        """
        return self._is_duplicate_sweep or self._locator.item_is_wrong

    def _build(self, cell: Cell) -> Job:
        item = self._item
        compiled = self._compiled_input(cell)
        needs: dict[str, str] = {}
        variables: Variables = cell.variables
        if compiled.needs.names:
            needs = located(("needs",), compiled.needs.ids_for, cell)
            variables = {**variables, "jobs": references(needs)}
        values, written_at = self._values(compiled, variables, cell)
        filled = None
        # Most inputs name no files; asked here, as a million of them are checked.
        if compiled.file_keys and not has_only_urls(compiled.file_keys, values):
            filled = self._files.filled(item, compiled, values, written_at, cell)
        drawn_id, values = self._drawn(compiled, filled.values if filled else values, cell)
        checked = self._checked(compiled, values, written_at, filled)
        self._warn_of_texts(compiled, checked.values, variables, cell)
        job_id = drawn_id or self._ids.of(compiled.model, checked.body, cell)
        tags = self._tags(job_id, variables)
        given = {**checked.values, **filled.written} if filled else checked.values
        return Job(
            job_id,
            compiled.model.id,
            checked.body,
            self._name(job_id, compiled.model, given, tags, variables),
            tags,
            self._line_of(cell),
            cell.file or self._file,
            item.priority,
            self._sweep_name,
            item.gate,
            tuple(dict.fromkeys(needs.values())),
            self._axes(cell),
        )

    def _axes(self, cell: Cell) -> str:
        if self._is_repeated:
            # As in templates, an axis that is called `repeat` wins over ours.
            return _AXES.encode({**cell.axes, "repeat": cell.axes.get("repeat", cell.repeat)})
        return _AXES.encode(cell.axes) if cell.axes else NO_AXES

    def _compiled_input(self, cell: Cell) -> CompiledInput:
        template = self._item.model
        if template is None:
            raise self._without_model()
        name = template.source
        if not template.is_literal:
            if not self._compiled_inputs:
                self._check_model(template, cell)
            name = str(located(("model",), template.render, cell.variables))
        return self._compiled_inputs.get(name) or self._compile_input(name, cell)

    def _check_model(self, template: CompiledText, cell: Cell) -> None:
        """Check the template of the model once per item; `compile_input` checks all other texts."""
        if self._item.has_open_rows:
            return
        try:
            template.check_names({*cell.variables, *self._item.names_of_some})
        except TemplateProblem as exc:
            problem = InputProblem(("model",), exc.what, exc.next_step)
            raise CellError([problem], item_wide=True) from exc

    def _without_model(self) -> CellError:
        if self._item.part.defaults.model_is_wrong:
            return CellError([], item_wide=True)
        hint = "name it in the job, or for all jobs under defaults"
        return CellError([InputProblem(("model",), "model is required", hint)], item_wide=True)

    def _compile_input(self, name: str, cell: Cell) -> CompiledInput:
        model = self._item.part.catalog.named(name)
        if model is None:
            assert self._item.model is not None
            literal = self._item.model.is_literal
            problem = unknown_model(("model",), name, self._item.part.catalog)
            self._reporter.log.unknown_models.add(name)
            raise CellError([problem], rendered=[problem.path], item_wide=literal)
        known, sweeps = cell.variables.keys(), self._manifest.sweeps
        policy = self._manifest.policy.models.get(model.id)
        model = model.accepting(policy.accept_fields if policy else ())
        compiled = compile_input(self._item, model, sweeps, known, self._name_template)
        self._compiled_inputs[name] = compiled
        for key, text in compiled.written_texts:
            for message, hint in foreign_syntax(text, expanded=self._draws):
                problem = InputProblem(("input", key), f"{key}: {message}", hint)
                self._locator.warn(CellError([problem], compiled.from_defaults), cell)
        return compiled

    def _warn_of_texts(
        self, compiled: CompiledInput, values: JsonObject, variables: Variables, cell: Cell
    ) -> None:
        """Warn about text from templates that looks like a mistake; it is sent anyway."""
        for key, template in compiled.filled_texts:
            text = values.get(key)
            if isinstance(text, str) and may_be_odd(text, template, variables):
                path = ("input", key)
                odd = odd_text(text, template, variables, expanded=self._draws)
                problems = [InputProblem(path, f"{key}: {what}", hint) for what, hint in odd]
                self._locator.warn(CellError(problems, compiled.from_defaults, [path]), cell)

    def _values(
        self, compiled: CompiledInput, variables: Variables, cell: Cell
    ) -> tuple[JsonObject, WrittenAt]:
        """Fill in the templates; also return what `leave_out` does."""
        rendered = self._rendered(compiled, variables, cell)
        if compiled.tree.is_literal:
            return rendered, {}
        values = coerce(compiled.model.rules, rendered, compiled.tree.rendered_paths)
        return values, compiled.tree.leave_out(values)

    def _drawn(
        self, compiled: CompiledInput, values: JsonObject, cell: Cell
    ) -> tuple[str | None, JsonObject]:
        """Return the job's id, made from what was written, and the input with what was drawn."""
        prompts = self._manifest.prompts
        if prompts is None:
            return None, values
        try:
            job_id = self._ids.of(compiled.model, canonical_json(values), cell)
        except ValueError:
            return None, values  # checking the input reports it
        try:
            keys = self._item.part.catalog.free_texts
            draw = partial(prompts.draw, job_id=job_id, keys=keys)
            return job_id, located(("input",), draw, values)
        except CellError as exc:
            exc.from_defaults = compiled.from_defaults
            raise exc.with_job(job_id) from exc
        except WildcardError as exc:
            self._reporter.log.add(exc.problem)
            raise CellError([], item_wide=True) from exc

    def _checked(
        self,
        compiled: CompiledInput,
        values: JsonObject,
        written_at: WrittenAt,
        filled: Filled | None,
    ) -> CheckedInput:
        answer = check_input(compiled.model, values, rehearsal=self._manifest.rehearsal)
        if isinstance(answer, CheckedInput) and filled is None and HOST not in answer.body:
            return answer
        problems = [*filled.problems] if filled else []
        if isinstance(answer, CheckedInput):
            if forged := forged_problem(answer.body, filled):
                problems.append(forged)
            if not problems:
                return answer
        else:
            for one in with_key_hints(answer, in_input=True):
                path = ("input", *as_written(one.path, written_at))
                hint = one.hint or self._cut_hint(compiled, one.path, values)
                problems.append(InputProblem(path, one.message, hint, one.at_key))
        rendered_at = [("input", *path) for path in compiled.tree.rendered_paths]
        if self._draws:
            rendered_at += [("input", key) for key in self._item.part.catalog.free_texts]
        raise CellError(problems, compiled.from_defaults, rendered_at)

    def _cut_hint(
        self, compiled: CompiledInput, path: ProblemPath, values: JsonObject
    ) -> str | None:
        """If a template makes a text too long, show how to cut it."""
        template = compiled.tree.texts.get(path)
        text = values.get(str(path[0])) if template is not None else None
        if template is None or not isinstance(text, str):
            return None
        most = compiled.model.rules["properties"].get(path[0], {}).get("maxLength", len(text))
        if len(text) <= most:
            return None
        name = _ONE_NAME.fullmatch(template.source)
        cut = f"{name[1]}[:{most}]" if name else f"{next(iter(sorted(template.names)), 'text')}[:N]"
        may_skip = self._item.rows is not None and not self._item.skips_bad_rows
        skip = "; 'bad_rows: skip' leaves such rows out" if may_skip else ""
        return f"'{{{{ {cut} }}}}' cuts it{skip}"

    def _rendered(
        self, compiled: CompiledInput, variables: Variables, cell: Cell
    ) -> dict[str, JsonValue]:
        """Fill in the templates. Raises CellError, also if a required text is blank."""
        try:
            rendered = located(("input",), compiled.tree.render, variables)
        except CellError as exc:
            exc.from_defaults = compiled.from_defaults
            raise
        assert isinstance(rendered, dict)
        for key in compiled.never_blank:
            text = rendered.get(key)
            if isinstance(text, str) and not text.strip():
                problem = InputProblem(
                    ("input", key), f"{key} is empty {_where(cell)}", _BLANK_HINT
                )
                raise CellError([problem], compiled.from_defaults, [problem.path])
        return rendered

    def _own_id_of(self, cell: Cell) -> str | None:
        """As below, for messages: without it, they name the item."""
        is_literal = self._item.literal_id is not None and not cell.file
        return None if is_literal else self._id_of(cell)

    def _id_of(self, cell: Cell) -> str | None:
        """The id of a job that cannot be built; None if it is made from its content."""
        try:
            if self._item.id is not None:
                return self._ids.rendered(self._item.id, cell)
            return self._ids.of_file(self._compiled_input(cell).model, cell) if cell.file else None
        except CellError:
            return None

    def _tags(self, job_id: str, variables: Variables) -> tuple[str, ...]:
        tags = self._item.tags
        if not tags:
            return ()
        try:
            found = [render_tag(path, tag, variables) for path, tag in tags]
        except CellError as exc:
            raise exc.with_job(job_id) from exc
        return tuple(dict.fromkeys(found))

    def _name(
        self,
        job_id: str,
        model: Model,
        given: JsonObject,
        tags: tuple[str, ...],
        variables: Variables,
    ) -> str:
        if self._name_template == DEFAULT_NAME:
            return job_id
        values = NameValues(job_id, model.alias, model.id, with_short_size(given), tags, variables)
        try:
            return render_name(self._name_template, values)
        except TemplateProblem as exc:
            raise CellError(
                [InputProblem(("name",), exc.what, exc.next_step)],
                rendered=[("name",)],
                job_id=job_id,
            ) from exc


def _where(cell: Cell) -> str:
    if cell.file:
        return "for this file"
    return "in this row" if cell.row else "here"
