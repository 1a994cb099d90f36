"""An item's input for one model: defaults applied, templates compiled, dependencies known.

Templates may be anywhere in the JSON value. They are compiled once and rendered for every cell;
everything else is shared.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from batchgen.manifest.dependencies import Needs, job_name_problem
from batchgen.manifest.naming import NameTemplateError, check_template
from batchgen.manifest.problem_location import CellError
from batchgen.manifest.stray_templates import single_braces_problem, texts_in
from batchgen.manifest.templates.problems import TemplateProblem
from batchgen.manifest.templates.syntax import JOBS
from batchgen.manifest.templates.texts import CompiledText, Render, Variables, compile_text
from batchgen.models.fields import SHORT_KEY, SIZE_KEY
from batchgen.models.file_rules import file_keys_of
from batchgen.models.messages import InputProblem

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from batchgen.jobs import JsonObject, JsonValue
    from batchgen.manifest.items import Item
    from batchgen.manifest.parsing.nodes import Path
    from batchgen.manifest.scope import SweepHead
    from batchgen.models.catalog import Model
    from batchgen.models.file_rules import FileKey


_NONE: frozenset[str] = frozenset()
_SIZE_KEYS = frozenset({SHORT_KEY, SIZE_KEY})


@dataclass(frozen=True, slots=True, eq=False)
class CompiledInput:
    """An item's input, compiled for one model.

    `from_defaults` are the keys that the item does not have itself. `never_blank` are the keys of
    required texts that are templates. Of the free texts, such as a prompt, `written_texts` are
    literal and `filled_texts` are templates. `file_keys` take files.
    """

    model: Model
    tree: CompiledTree
    needs: Needs
    from_defaults: frozenset[str]
    never_blank: tuple[str, ...]
    written_texts: tuple[tuple[str, str], ...]
    filled_texts: tuple[tuple[str, CompiledText], ...]
    file_keys: tuple[FileKey, ...]


def compile_input(
    item: Item, model: Model, sweeps: Mapping[str, SweepHead], known: Collection[str], name: str
) -> CompiledInput:
    """Compile the input of an item for a model. Raises CellError.

    `known` are the variables of its cells, `name` is the template of its file names.
    """
    whole, from_defaults = merged(item.input, known_defaults(item.part.defaults.values, model))
    tree = compile_tree(whole)
    if not isinstance(tree, CompiledTree):
        raise CellError(list(map(_in_input, tree)), from_defaults, item_wide=True)
    wrong = list(_wrong_names(item, tree, sweeps))
    if item.is_sweep and (half := single_braces_problem(_texts_of(item, whole), known)):
        wrong.append(half)
    # Rows of JSON may have different keys: a missing one is found only when a row is rendered.
    if not item.has_open_rows:
        variables = {*known, *item.names_of_some}
        wrong += [*map(_in_input, tree.name_problems({*variables, JOBS}))]
        wrong += item.name_problems(variables)
        wrong += _name_problems(name, variables)
    if wrong:
        raise CellError(wrong, from_defaults, item_wide=True)
    needs = Needs(item, sweeps, sorted(tree.job_names))
    free_texts = item.part.catalog.free_texts
    filled = tuple((key, tree.texts[(key,)]) for key in free_texts if (key,) in tree.texts)
    written = tuple(
        (key, text)
        for key in free_texts
        if (key,) not in tree.texts and isinstance(text := whole.get(key), str)
    )
    never_blank = tuple(_never_blank(model, tree))
    keys = file_keys_of(model)
    return CompiledInput(model, tree, needs, from_defaults, never_blank, written, filled, keys)


def known_defaults(defaults: Mapping[str, JsonValue], model: Model) -> dict[str, JsonValue]:
    """The defaults of inputs that the model knows."""
    keys = frozenset(model.keys)
    return {key: value for key, value in defaults.items() if key in keys}


def merged(
    own: JsonObject, defaults: Mapping[str, JsonValue]
) -> tuple[dict[str, JsonValue], frozenset[str]]:
    """Merge the `known_defaults` of a model under an input; also return the keys they added."""
    if not defaults:
        return dict(own), _NONE
    # `size` and the schema's own key mean the same: a job must not get both.
    hidden = _SIZE_KEYS if SHORT_KEY in own or SIZE_KEY in own else _NONE
    under = {key: value for key, value in defaults.items() if key not in own and key not in hidden}
    return {**under, **own}, frozenset(under)


def _wrong_names(
    item: Item, tree: CompiledTree, sweeps: Mapping[str, SweepHead]
) -> Iterator[InputProblem]:
    for path, text in tree.texts.items():
        for name in sorted(text.job_names):
            if problem := job_name_problem(("input", *path), name, item, sweeps):
                yield problem


def _texts_of(item: Item, whole: JsonValue) -> Iterator[tuple[Path, str]]:
    """Yield the texts that may be templates."""
    if item.id is not None:
        yield ("id",), item.id.source
    yield from texts_in(whole, ("input",))
    yield from ((path, tag.source) for path, tag in item.tags)


def _never_blank(model: Model, tree: CompiledTree) -> Iterator[str]:
    fields = model.rules["properties"]
    for key in model.rules.get("required", ()):
        if fields[key].get("type") == "string" and (key,) in tree.texts:
            yield key


def _name_problems(template: str, variables: Collection[str]) -> list[InputProblem]:
    """Check the template of file names once, not for each cell."""
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

    `render` leaves out a key whose template gives none. `leave_out` removes such items of lists,
    and comes later because until then items are found by their index. The rendered value shares
    parts with the original and the variables, so it must not be changed in place. `render` raises
    TemplateProblem, whose `path` leads to the template.
    """

    texts: Mapping[Path, CompiledText]
    render: Render
    _lists: Mapping[Path, Collection[int]] = field(init=False)
    """Which items of each list are templates; inner lists come before outer ones."""

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
        """Remove items whose template gave none from the lists of `values`, and emptied lists.

        Returns, for each list that is shorter now, the original indices of its items.
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
        """Find the templates with a variable that no cell has."""
        problems = []
        for path, text in self.texts.items():
            try:
                text.check_names(known)
            except TemplateProblem as exc:
                exc.path = path
                problems.append(exc)
        return problems


def compile_tree(value: JsonValue) -> CompiledTree | list[TemplateProblem]:
    """Compile all texts but the keys; if any fail, return their problems, each with its path."""
    texts: dict[Path, CompiledText] = {}
    problems: list[TemplateProblem] = []
    render = _compile(value, (), texts, problems)
    return problems or CompiledTree(texts, render or (lambda _: value))


def _compile(
    value: JsonValue, path: Path, texts: dict[Path, CompiledText], problems: list[TemplateProblem]
) -> Render | None:
    """Return the function that renders `value`; None if nothing in it is a template."""
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
