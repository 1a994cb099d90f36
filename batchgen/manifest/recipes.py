"""An item's input for one model: the defaults under it, its templates compiled, its needs known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from batchgen.manifest.blame import CellError
from batchgen.manifest.needing import Needs
from batchgen.manifest.templates.syntax import JOBS
from batchgen.manifest.templates.trees import CompiledTree, compile_tree
from batchgen.models.sizes import SHORT_KEY, SIZE_KEY
from batchgen.models.wording import InputProblem

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from batchgen.jobs import JsonObject, JsonValue
    from batchgen.manifest.items import Item
    from batchgen.manifest.scope import SweepHead
    from batchgen.manifest.templates.problems import TemplateProblem
    from batchgen.models.catalog import Model


@dataclass(frozen=True, slots=True, eq=False)
class Recipe:
    """`from_defaults` are the keys that the item does not have itself."""

    model: Model
    input: CompiledTree
    needs: Needs
    from_defaults: frozenset[str]


def build_recipe(
    item: Item, model: Model, sweeps: Mapping[str, SweepHead], known: Collection[str]
) -> Recipe:
    """Compile the input of an item for a model. `known` are the variables of its cells.

    Raises CellError.
    """
    whole, from_defaults = merged(item.input, item.part.defaults.values, model)
    tree = compile_tree(whole)
    if not isinstance(tree, CompiledTree):
        raise CellError(list(map(_in_input, tree)), from_defaults, of_item=True)
    # A row of JSON Lines may have keys that another has not: those are missed when it is rendered.
    if not item.has_open_rows:
        variables = {*known, *item.include_keys}
        unknown = [*map(_in_input, tree.name_problems({*variables, JOBS}))]
        unknown += item.name_problems(variables)
        if unknown:
            raise CellError(unknown, from_defaults, of_item=True)
    return Recipe(model, tree, Needs(item, sweeps, sorted(tree.job_names)), from_defaults)


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


def _in_input(problem: TemplateProblem) -> InputProblem:
    return InputProblem(("input", *problem.path), problem.what, problem.next_step)
