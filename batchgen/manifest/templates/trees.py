"""Templates anywhere inside of a JSON value, such as a job's input.

Compiled once, rendered for every cell: only the templates are, the rest is shared.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from batchgen.manifest.templates.problems import TemplateProblem
from batchgen.manifest.templates.texts import CompiledText, Render, Variables, compile_text

if TYPE_CHECKING:
    from collections.abc import Collection

    from batchgen.jobs import JsonValue
    from batchgen.manifest.parsing.nodes import Path


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
