"""An item's input for one model: defaults applied, templates compiled, dependencies known.

Templates may be anywhere in the JSON value. They are compiled once and rendered for every cell;
everything else is shared.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from batchgen.manifest.dependencies import Needs, misnamed
from batchgen.manifest.naming import NameTemplateError, check_template
from batchgen.manifest.problem_location import CellError
from batchgen.manifest.stray_templates import half_template, texts_in
from batchgen.manifest.templates.problems import TemplateProblem
from batchgen.manifest.templates.syntax import JOBS
from batchgen.manifest.templates.texts import CompiledText, Render, Variables, compile_text
from batchgen.models.catalog import free_texts
from batchgen.models.fields import SHORT_KEY, SIZE_KEY
from batchgen.models.messages import InputProblem

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from batchgen.jobs import JsonObject, JsonValue
    from batchgen.manifest.items import Item
    from batchgen.manifest.parsing.nodes import Path
    from batchgen.manifest.scope import SweepHead
    from batchgen.models.catalog import Model


@dataclass(frozen=True, slots=True, eq=False)
class Recipe:
    """`from_defaults` are the keys that the item does not have itself.

    `never_blank` are texts that the model asks for and a template makes. Of those that may say
    anything, `written_texts` are literal, `filled_texts` come from templates.
    """

    model: Model
    input: CompiledTree
    needs: Needs
    from_defaults: frozenset[str]
    never_blank: tuple[str, ...]
    written_texts: tuple[tuple[str, str], ...]
    filled_texts: tuple[tuple[str, CompiledText], ...]


def build_recipe(
    item: Item, model: Model, sweeps: Mapping[str, SweepHead], known: Collection[str], name: str
) -> Recipe:
    """Compile the input of an item for a model. `known` are the variables of its cells.

    `name` is the template of its files' names.

    Raises CellError.
    """
    whole, from_defaults = merged(item.input, item.part.defaults.values, model)
    tree = compile_tree(whole)
    if not isinstance(tree, CompiledTree):
        raise CellError(list(map(_in_input, tree)), from_defaults, of_item=True)
    wrong = list(_wrong_names(item, tree, sweeps))
    if item.is_sweep and (half := half_template(_texts_of(item, whole), known)):
        wrong.append(half)
    # A row of JSON Lines may have keys that another has not: those are missed when it is rendered.
    if not item.has_open_rows:
        variables = {*known, *item.include_keys}
        wrong += [*map(_in_input, tree.name_problems({*variables, JOBS}))]
        wrong += item.name_problems(variables)
        wrong += _name_problems(name, variables)
    if wrong:
        raise CellError(wrong, from_defaults, of_item=True)
    needs = Needs(item, sweeps, sorted(tree.job_names))
    filled = tuple((key, tree.texts[(key,)]) for key in free_texts() if (key,) in tree.texts)
    written = tuple(
        (key, text)
        for key in free_texts()
        if (key,) not in tree.texts and isinstance(text := whole.get(key), str)
    )
    never_blank = tuple(_never_blank(model, tree))
    return Recipe(model, tree, needs, from_defaults, never_blank, written, filled)


def merged(
    own: JsonObject, defaults: Mapping[str, JsonValue], model: Model
) -> tuple[dict[str, JsonValue], frozenset[str]]:
    """Put under an input the defaults that its model knows; which keys came so."""
    # `size` and the schema's own key are one: the job's spelling must not meet the other.
    hidden = {SHORT_KEY, SIZE_KEY} if {SHORT_KEY, SIZE_KEY} & own.keys() else set()
    under = {
        key: value
        for key, value in defaults.items()
        if key in model.keys and key not in own and key not in hidden
    }
    return {**under, **own}, frozenset(under)


def _wrong_names(
    item: Item, tree: CompiledTree, sweeps: Mapping[str, SweepHead]
) -> Iterator[InputProblem]:
    for path, text in tree.texts.items():
        for name in sorted(text.job_names):
            if problem := misnamed(("input", *path), name, item, sweeps):
                yield problem


def _texts_of(item: Item, whole: JsonValue) -> Iterator[tuple[Path, str]]:
    """The texts that may be templates."""
    if item.id is not None:
        yield ("id",), item.id.source
    yield from texts_in(whole, ("input",))
    yield from ((path, tag.source) for path, tag in item.tags)


def _never_blank(model: Model, tree: CompiledTree) -> Iterator[str]:
    fields = model.schema["properties"]
    for key in model.schema.get("required", ()):
        if fields[key].get("type") == "string" and (key,) in tree.texts:
            yield key


def _name_problems(template: str, variables: Collection[str]) -> list[InputProblem]:
    """A problem of an item's or the output's name: reported once, not for each cell."""
    try:
        check_template(template, variables)
    except NameTemplateError as exc:
        return [InputProblem(("name",), exc.what, exc.next_step)]
    return []


def _in_input(problem: TemplateProblem) -> InputProblem:
    return InputProblem(("input", *problem.path), problem.what, problem.next_step)


@dataclass(frozen=True, slots=True, eq=False)
class CompiledTree:
    """A JSON value with templates at the paths of `texts`.

    `render` leaves a key out where its template gives none, and `leave_out` an item of a list, once
    nothing counts on the places of the items any more. What it gives shares parts with the
    value and the variables: nothing inside of it must be changed. It raises TemplateProblem, whose
    `path` leads to the template.
    """

    texts: Mapping[Path, CompiledText]
    render: Render
    _lists: Mapping[Path, Collection[int]] = field(init=False)
    """Which items of a list are templates; lists in a list come before it."""

    def __post_init__(self) -> None:
        lists: dict[Path, set[int]] = {}
        for path in sorted(self.texts, key=len, reverse=True):
            if path and isinstance(path[-1], int):
                lists.setdefault(path[:-1], set()).add(path[-1])
        object.__setattr__(self, "_lists", lists)

    @property
    def is_literal(self) -> bool:
        return not self.texts

    @property
    def rendered_paths(self) -> Collection[Path]:
        return self.texts.keys()

    @property
    def names(self) -> frozenset[str]:
        return frozenset().union(*(text.names for text in self.texts.values()))

    @property
    def job_names(self) -> frozenset[str]:
        return frozenset().union(*(text.job_names for text in self.texts.values()))

    def leave_out(self, values: dict[str, JsonValue]) -> dict[Path, list[int]]:
        """Take out of what `render` gave the items that are none, and a list of nothing else.

        Give, for each list that is shorter now, where its items are written.
        """
        kept: dict[Path, list[int]] = {}
        for path, templates in self._lists.items():
            *above, last = path
            holder: Any = values
            for step in above:
                holder = holder[step]
            items: list[JsonValue] = holder[last]
            if all(items[at] is not None for at in templates):
                continue
            left_out = {at for at in templates if items[at] is None}
            kept[path] = [at for at in range(len(items)) if at not in left_out]
            items[:] = [items[at] for at in kept[path]]
            if not items:
                del holder[last]
        return kept

    def name_problems(self, known: Collection[str]) -> list[TemplateProblem]:
        """Find the templates with a name that no cell will have."""
        problems = []
        for path, text in self.texts.items():
            try:
                text.check_names(known)
            except TemplateProblem as exc:
                exc.path = path
                problems.append(exc)
        return problems


def compile_tree(value: JsonValue) -> CompiledTree | list[TemplateProblem]:
    """Keys are no templates. Return all problems where there are any, each with its path."""
    texts: dict[Path, CompiledText] = {}
    problems: list[TemplateProblem] = []
    render = _compile(value, (), texts, problems)
    return problems or CompiledTree(texts, render or (lambda _: value))


def _compile(
    value: JsonValue, path: Path, texts: dict[Path, CompiledText], problems: list[TemplateProblem]
) -> Render | None:
    """Give the way to render it; None where nothing in it is a template."""
    if isinstance(value, str):
        return _compile_leaf(value, path, texts, problems)
    if not isinstance(value, list | Mapping):
        return None
    children = value.items() if isinstance(value, Mapping) else enumerate(value)
    found = [(key, _compile(child, (*path, key), texts, problems)) for key, child in children]
    parts = [(key, render) for key, render in found if render is not None]
    return _branch(value, parts) if parts else None


def _compile_leaf(
    text: str, path: Path, texts: dict[Path, CompiledText], problems: list[TemplateProblem]
) -> Render | None:
    try:
        compiled = compile_text(text)
    except TemplateProblem as exc:
        exc.path = path
        problems.append(exc)
        return None
    if compiled.is_literal:
        return None
    texts[path] = compiled
    return compiled.render


def _branch(
    value: list[JsonValue] | Mapping[str, JsonValue], parts: list[tuple[Any, Render]]
) -> Render:
    is_list = isinstance(value, list)

    def render(variables: Variables) -> JsonValue:
        made: Any = value.copy() if isinstance(value, list) else dict(value)
        key: Any = None
        try:
            for key, child in parts:
                part = child(variables)
                if part is None and not is_list:
                    del made[key]
                else:
                    made[key] = part
        except TemplateProblem as exc:
            exc.path = (key, *exc.path)
            raise
        result: JsonValue = made
        return result

    return render
