"""An item's input for one model: the defaults under it, its templates compiled, its needs known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from batchgen.manifest.blame import CellError
from batchgen.manifest.naming import NameTemplateError, check_template
from batchgen.manifest.needing import Needs, misnamed
from batchgen.manifest.templates.syntax import JOBS
from batchgen.manifest.templates.trees import CompiledTree, compile_tree
from batchgen.manifest.unread import half_template, texts_in
from batchgen.models.catalog import free_texts
from batchgen.models.sizes import SHORT_KEY, SIZE_KEY
from batchgen.models.wording import InputProblem

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from batchgen.jobs import JsonObject, JsonValue
    from batchgen.manifest.items import Item
    from batchgen.manifest.parsing.nodes import Path
    from batchgen.manifest.scope import SweepHead
    from batchgen.manifest.templates.problems import TemplateProblem
    from batchgen.manifest.templates.texts import CompiledText
    from batchgen.models.catalog import Model


@dataclass(frozen=True, slots=True, eq=False)
class Recipe:
    """`from_defaults` are the keys that the item does not have itself.

    `never_blank` are texts that the model asks for and a template makes. Of those that may say
    anything, `written_texts` stand in the manifest, and templates make `filled_texts`.
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
    """Of an item's name or the output's: told at once, and not again for each cell."""
    try:
        check_template(template, variables)
    except NameTemplateError as exc:
        return [InputProblem(("name",), exc.what, exc.next_step)]
    return []


def _in_input(problem: TemplateProblem) -> InputProblem:
    return InputProblem(("input", *problem.path), problem.what, problem.next_step)
