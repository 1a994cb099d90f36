"""A cell of an item → a checked job."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from batchgen.jobs import (
    NO_AXES,
    Job,
    JsonObject,
    JsonValue,
    RejectedJob,
    canonical_json,
    content_id,
)
from batchgen.manifest.compiled_input import build_recipe
from batchgen.manifest.dependencies import references
from batchgen.manifest.header_checks import unknown_model
from batchgen.manifest.naming import NameValues, render_name
from batchgen.manifest.parsing.nodes import place_of
from batchgen.manifest.policy import DEFAULT_NAME
from batchgen.manifest.problem_location import CellError, ProblemLocator
from batchgen.manifest.problems import SKIPPED
from batchgen.manifest.schema_validation import with_homes
from batchgen.manifest.stray_templates import foreign_marks, may_be_odd, odd_text
from batchgen.manifest.sweeps import cell_suffix, data_file
from batchgen.manifest.templates.problems import TemplateProblem
from batchgen.manifest.templates.typed import coerce
from batchgen.models.catalog import named_model
from batchgen.models.fields import SHORT_KEY, SIZE_KEY, short_size
from batchgen.models.inputs import CheckedInput, check_input
from batchgen.models.messages import InputProblem, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from batchgen.manifest.compiled_input import Recipe
    from batchgen.manifest.header import Manifest
    from batchgen.manifest.items import Item
    from batchgen.manifest.problem_location import ProblemPath
    from batchgen.manifest.problems import Reporter
    from batchgen.manifest.sweeps import Cell, Sweep
    from batchgen.manifest.templates.texts import CompiledText, Variables
    from batchgen.models.catalog import Model


# ASCII, so that whatever a manifest holds can be stored; in the manifest's order, for people.
_AXES = json.JSONEncoder(separators=(",", ":"))

A = TypeVar("A")
T = TypeVar("T")

LONGEST_ID = 200
LONGEST_TAG = 100
_BLANK_HINT = "fill it in, or leave the job out"
_ONE_NAME = re.compile(r"\{\{\s*(\w+)\s*\}\}")
_UNUSABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_TURNS_TEXT = re.compile("[\u202a-\u202e\u2066-\u2069]")
"""Controls of the writing direction: an id is printed in lines of ours, and would reorder them."""


Refuse: TypeAlias = "Callable[[RejectedJob], None]"
"""Takes what is known of a job that is not sound."""


class JobMaker:
    """Makes the jobs of one item; what is wrong with a cell is reported, and it gives no job."""

    def __init__(
        self,
        item: Item,
        manifest: Manifest,
        reporter: Reporter,
        refuse: Refuse,
        sweep: Sweep,
    ) -> None:
        self._item = item
        self._refuse = refuse
        self._manifest = manifest
        self._reporter = reporter
        self._made = self._skipped = 0
        self._locator = ProblemLocator(item, reporter, manifest)
        self._recipes: dict[str, Recipe] = {}
        self._name_template = item.name or manifest.output.name
        self._head = manifest.sweeps.get(item.literal_id or "") if item.is_sweep else None
        # Of an id that is a template, `_own_id` finds out what it leaves open.
        self._is_second = self._head is not None and not self._head.stands_at(
            item.node.place, item.part.path
        )
        self._whole_sweep = sweep
        self._has_unnamed = item.is_sweep and item.literal_id is None
        self._file = str(data_file(item) if item.has_rows else reporter.path)
        self._sweep = item.sweep_name
        self._is_repeated = item.is_repeated

    def make(self, cell: Cell) -> Job | None:
        self._locator.see_row(cell.line)
        try:
            job = self._make(cell)
        except CellError as exc:
            if self._item.skips_bad_rows and exc.is_of_row(cell):
                self._skip(exc.problems[0], cell)
            else:
                self._locator.report(exc.of_job(exc.job_id or self._id_of(cell)), cell)
                if not self.is_hopeless:
                    self._note_refused(cell)
            return None
        self._made += 1
        return job

    def _skip(self, problem: InputProblem, cell: Cell) -> None:
        self._skipped += 1
        rows = self._reporter.of(data_file(self._item))
        rows.row(cell.line, f"{SKIPPED}{problem.message}", problem.hint, warn=True)

    def tell_if_none_is_left(self) -> None:
        """Refuse an item of which every job was skipped: that is a mistake."""
        if self._skipped and not self._made and not self.is_hopeless:
            place = place_of(self._item.node, ("bad_rows",))
            self._reporter.at(place, "every job of this item was skipped", "mend some of its rows")

    def _note_refused(self, cell: Cell) -> None:
        """Others may have its id, or need it."""
        if self._item.id is None:
            return
        try:
            job_id = self._own_id(self._item.id, cell)
        except CellError:
            return
        self._refuse(RejectedJob(job_id, self._file, self._line_of(cell), self._needs_of(cell)))

    def _needs_of(self, cell: Cell) -> tuple[str, ...]:
        try:
            needs = _at(("needs",), self._recipe_of(cell).needs.of, cell)
        except CellError:
            return ()
        return tuple(dict.fromkeys(needs.values()))

    def _line_of(self, cell: Cell) -> int:
        return cell.line or self._item.node.place.line

    @property
    def is_hopeless(self) -> bool:
        """Whether the item itself is wrong, so that no cell can be made.

        A second sweep with the same id has been reported with the header.
        """
        return self._is_second or self._locator.item_is_wrong

    def _make(self, cell: Cell) -> Job:
        item = self._item
        recipe = self._recipe_of(cell)
        needs: dict[str, str] = {}
        variables: Variables = cell.variables
        if recipe.needs.any:
            needs = _at(("needs",), recipe.needs.of, cell)
            variables = {**variables, "jobs": references(needs)}
        sound = self._checked(recipe, variables, "in this row" if cell.row else "here")
        self._warn_of_texts(recipe, sound.values, variables, cell)
        job_id = self._job_id(recipe.model, sound, cell)
        tags = self._tags(job_id, variables)
        return Job(
            job_id,
            recipe.model.id,
            sound.body,
            self._name(job_id, recipe.model, sound, tags, variables),
            tags,
            self._line_of(cell),
            self._file,
            item.priority,
            self._sweep,
            item.gate,
            tuple(dict.fromkeys(needs.values())),
            self._axes(cell),
        )

    def _axes(self, cell: Cell) -> str:
        if self._is_repeated:
            # As in templates, what the user calls so wins over our own.
            return _AXES.encode({**cell.axes, "repeat": cell.axes.get("repeat", cell.repeat)})
        return _AXES.encode(cell.axes) if cell.axes else NO_AXES

    def _recipe_of(self, cell: Cell) -> Recipe:
        template = self._item.model
        if template is None:
            raise self._without_model()
        name = template.source
        if not template.is_literal:
            if not self._recipes:
                self._check_model(template, cell)
            name = str(_at(("model",), template.render, cell.variables))
        return self._recipes.get(name) or self._build_recipe(name, cell)

    def _check_model(self, template: CompiledText, cell: Cell) -> None:
        """Once, and not for each cell: of all other texts the recipe says it."""
        if self._item.has_open_rows:
            return
        try:
            template.check_names({*cell.variables, *self._item.include_keys})
        except TemplateProblem as exc:
            problem = InputProblem(("model",), exc.what, exc.next_step)
            raise CellError([problem], of_item=True) from exc

    def _without_model(self) -> CellError:
        if self._item.part.defaults.model_is_wrong:
            return CellError([], of_item=True)
        hint = "name it in the job, or for all jobs under defaults"
        return CellError([InputProblem(("model",), "model is required", hint)], of_item=True)

    def _build_recipe(self, name: str, cell: Cell) -> Recipe:
        model = named_model(name)
        if model is None:
            assert self._item.model is not None
            literal = self._item.model.is_literal
            problem = unknown_model(("model",), name)
            raise CellError([problem], rendered=[problem.path], of_item=literal)
        known, sweeps = cell.variables.keys(), self._manifest.sweeps
        policy = self._manifest.policy.models.get(model.id)
        model = model.accepting(policy.accept_fields if policy else ())
        recipe = build_recipe(self._item, model, sweeps, known, self._name_template)
        self._recipes[name] = recipe
        for key, text in recipe.written_texts:
            for message, hint in foreign_marks(text):
                problem = InputProblem(("input", key), f"{key}: {message}", hint)
                self._locator.warn(CellError([problem], recipe.from_defaults), cell)
        return recipe

    def _warn_of_texts(
        self, recipe: Recipe, values: JsonObject, variables: Variables, cell: Cell
    ) -> None:
        """Warn about text from templates that looks like a mistake; it is sent all the same."""
        for key, template in recipe.filled_texts:
            text = values.get(key)
            if isinstance(text, str) and may_be_odd(text, template, variables):
                path = ("input", key)
                odd = odd_text(text, template, variables)
                problems = [InputProblem(path, f"{key}: {what}", hint) for what, hint in odd]
                self._locator.warn(CellError(problems, recipe.from_defaults, [path]), cell)

    def _checked(self, recipe: Recipe, variables: Variables, where: str) -> CheckedInput:
        rendered = self._rendered(recipe, variables, where)
        values = rendered
        written_at: Mapping[ProblemPath, list[int]] = {}
        if not recipe.input.is_literal:
            values = coerce(recipe.model.schema, rendered, recipe.input.rendered_paths)
            written_at = recipe.input.leave_out(values)
        answer = check_input(recipe.model, values, rehearsal=self._manifest.rehearsal)
        if isinstance(answer, CheckedInput):
            return answer
        problems = [
            InputProblem(
                ("input", *_as_written(one.path, written_at)),
                one.message,
                one.hint or self._cut_hint(recipe, one.path, values),
                one.at_key,
            )
            for one in with_homes(answer, in_input=True)
        ]
        rendered_at = [("input", *path) for path in recipe.input.rendered_paths]
        raise CellError(problems, recipe.from_defaults, rendered_at)

    def _cut_hint(self, recipe: Recipe, path: ProblemPath, values: JsonObject) -> str | None:
        """Where a template makes a text too long, say how it cuts one."""
        template = recipe.input.texts.get(path)
        text = values.get(str(path[0])) if template is not None else None
        if template is None or not isinstance(text, str):
            return None
        most = recipe.model.schema["properties"].get(path[0], {}).get("maxLength", len(text))
        if len(text) <= most:
            return None
        name = _ONE_NAME.fullmatch(template.source)
        cut = f"{name[1]}[:{most}]" if name else f"{next(iter(sorted(template.names)), 'text')}[:N]"
        may_skip = self._item.has_rows and not self._item.skips_bad_rows
        skip = "; 'bad_rows: skip' leaves such rows out" if may_skip else ""
        return f"'{{{{ {cut} }}}}' cuts it{skip}"

    def _rendered(self, recipe: Recipe, variables: Variables, where: str) -> dict[str, JsonValue]:
        """Fill in the templates. Raises CellError, also where a text that is needed is blank."""
        try:
            rendered = _at(("input",), recipe.input.render, variables)
        except CellError as exc:
            exc.from_defaults = recipe.from_defaults
            raise
        assert isinstance(rendered, dict)
        for key in recipe.never_blank:
            text = rendered.get(key)
            if isinstance(text, str) and not text.strip():
                problem = InputProblem(("input", key), f"{key} is empty {where}", _BLANK_HINT)
                raise CellError([problem], recipe.from_defaults, [problem.path])
        return rendered

    def _id_of(self, cell: Cell) -> str | None:
        """The id of a job that is not made, for messages."""
        if self._item.id is None or self._item.id.is_literal:
            return None
        try:
            return self._own_id(self._item.id, cell)
        except CellError:
            return None

    def _job_id(self, model: Model, sound: CheckedInput, cell: Cell) -> str:
        if self._item.id is not None:
            return self._own_id(self._item.id, cell)
        made = content_id(model.id, sound.body)
        return f"{made}-{cell.repeat}" if cell.repeat > 1 else made

    def _own_id(self, template: CompiledText, cell: Cell) -> str:
        job_id = _text(("id",), template, cell.variables, LONGEST_ID)
        if self._has_unnamed and self._head is None:
            self._head = self._whole_sweep.unnamed(cell)
            self._has_unnamed = False
        if self._head is not None and (suffix := cell_suffix(self._head, cell)):
            job_id = f"{job_id}-{suffix}"
        _refuse_misleading(job_id, template)
        return job_id

    def _tags(self, job_id: str, variables: Variables) -> tuple[str, ...]:
        tags = self._item.tags
        if not tags:
            return ()
        try:
            found = [_text(path, tag, variables, LONGEST_TAG) for path, tag in tags]
        except CellError as exc:
            raise exc.of_job(job_id) from exc
        return tuple(dict.fromkeys(found))

    def _name(
        self,
        job_id: str,
        model: Model,
        sound: CheckedInput,
        tags: tuple[str, ...],
        variables: Variables,
    ) -> str:
        if self._name_template == DEFAULT_NAME:
            return job_id
        values = NameValues(job_id, model.alias, model.id, _nameable(sound.values), tags, variables)
        try:
            return render_name(self._name_template, values)
        except TemplateProblem as exc:
            raise CellError(
                [InputProblem(("name",), exc.what, exc.next_step)],
                rendered=[("name",)],
                job_id=job_id,
            ) from exc


def _as_written(path: ProblemPath, written_at: Mapping[ProblemPath, list[int]]) -> ProblemPath:
    """Find the place of an item in the manifest, where items before it were left out."""
    if path and isinstance(path[-1], int) and path[:-1] in written_at:
        return (*path[:-1], written_at[path[:-1]][path[-1]])
    return path


def _at(path: ProblemPath, act: Callable[[A], T], value: A) -> T:
    """Do it, and say where in the item it failed. Raises CellError."""
    try:
        return act(value)
    except TemplateProblem as exc:
        problem = InputProblem((*path, *exc.path), exc.what, exc.next_step)
        raise CellError([problem], rendered=[problem.path]) from exc


def _text(path: ProblemPath, template: CompiledText, variables: Variables, longest: int) -> str:
    """A rendered id or tag. Raises CellError where it cannot be one."""
    value = _at(path, template.render, variables)
    text = value if isinstance(value, str) else _as_text(value, path)
    if len(text) <= longest and not _UNUSABLE.search(text) and text.strip():
        return text
    word = next(step for step in reversed(path) if isinstance(step, str))
    hint = None
    if not text.strip():
        what, hint = f"{word} is empty here", "write one, or leave the key out"
    elif len(text) > longest:
        what = f"{word} has {len(text)} characters here; at most {longest} are allowed"
    else:
        what = f"{word} has line breaks or control characters here"
    raise CellError([InputProblem(path, what, hint)], rendered=[path])


def _refuse_misleading(job_id: str, template: CompiledText) -> None:
    """Raise CellError for an id that would mean something else in a command, or in a line."""
    if job_id.startswith("!"):
        what = f"id must not begin with !; got {shown(job_id)}"
        hint = "in a command, --job '!NAME' leaves NAME out: begin it with something else"
        problem = InputProblem(("id",), what, hint)
        raise CellError([problem], rendered=[problem.path], of_item=template.is_literal)
    if _TURNS_TEXT.search(job_id):
        what = "id has control characters here that turn the direction of writing"
        raise CellError([InputProblem(("id",), what, "leave them out")], rendered=[("id",)])


def _as_text(value: JsonValue, path: ProblemPath) -> str:
    if isinstance(value, bool | int | float):
        return canonical_json(value)
    raise CellError([InputProblem(path, f"{path[0]} must be text; got {shown(value)}")])


def _nameable(values: JsonObject) -> JsonObject:
    """Let templates say `input.size`, which is no key of the schema."""
    full = values.get(SIZE_KEY)
    return {**values, SHORT_KEY: short_size(full)} if isinstance(full, str) else values
