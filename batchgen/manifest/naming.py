"""Names of files from templates such as `{{ model }}/{{ id }}`.

A template only puts values together: no loops, no calls, nothing that makes much out of little.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from jinja2 import (
    StrictUndefined,
    Template,
    TemplateError,
    TemplateRuntimeError,
    TemplateSyntaxError,
    meta,
    nodes,
)
from jinja2.sandbox import SandboxedEnvironment

from batchgen.errors import InputError
from batchgen.models.nearest import did_you_mean
from batchgen.models.wording import shown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from batchgen.jobs import JsonValue

VARIABLES = ("id", "model", "model_id", "input", "tags")
LONGEST_NAME = 500
MOST_TEXT = 10_000

_FILTERS = (
    "abs", "capitalize", "default", "first", "int", "join", "last", "length", "lower",
    "round", "string", "title", "trim", "truncate", "upper",
)  # fmt: skip
_ALLOWED = (
    nodes.Template, nodes.Output, nodes.TemplateData, nodes.Name, nodes.Const, nodes.Getattr,
    nodes.Getitem, nodes.Filter, nodes.If, nodes.CondExpr, nodes.Compare, nodes.Operand, nodes.Test,
    nodes.And, nodes.Or, nodes.Not, nodes.Concat, nodes.Keyword, nodes.Slice, nodes.Neg, nodes.Pos,
)  # fmt: skip


class NameTemplateError(InputError):
    """A template that cannot be used, or gives no usable name for a job."""


@dataclass(frozen=True, slots=True)
class NameValues:
    """What a template can put into a name. `model` is the model's short form, e.g. `t2i`."""

    id: str
    model: str
    model_id: str
    input: Mapping[str, JsonValue]
    tags: tuple[str, ...]


def check_template(text: str) -> None:
    """Raise NameTemplateError unless the template can be used."""
    if _is_literal(text):
        return
    try:
        tree = _environment().parse(text)
    except TemplateSyntaxError as exc:
        raise NameTemplateError(f"this template is not understood: {exc.message}") from exc
    for node in _all_nodes(tree):
        if not isinstance(node, _ALLOWED):
            word = type(node).__name__.lower()
            hint = "a name can have {{ values }}, filters and {% if %}"
            raise NameTemplateError(f"a name's template cannot have '{word}'", next_step=hint)
    # Compiling finds unknown filters, which looking for names would trip over.
    _compiled(text)
    _check_names(tree)


def render_name(text: str, values: NameValues) -> str:
    """Give the name of a job's files. Raises NameTemplateError."""
    name = text if _is_literal(text) else _render(text, values)
    if not name.strip():
        raise NameTemplateError("the name of its files is empty")
    if len(name) > LONGEST_NAME:
        what = f"the name of its files is {len(name)} characters long"
        raise NameTemplateError(f"{what}; at most {LONGEST_NAME} are allowed")
    return name


def _render(text: str, values: NameValues) -> str:
    try:
        return _compiled(text).render(
            id=values.id,
            model=values.model,
            model_id=values.model_id,
            input=values.input,
            tags=list(values.tags),
        )
    # Filters do arithmetic on whatever an input holds.
    except (TemplateError, TypeError, ValueError, ArithmeticError) as exc:
        reason = str(exc).replace("'dict object' has no attribute", "input has no")
        raise NameTemplateError(f"the name {shown(text)} cannot be made: {reason}") from exc


def _is_literal(text: str) -> bool:
    return "{" not in text


def _check_names(tree: nodes.Template) -> None:
    unknown = sorted(meta.find_undeclared_variables(tree) - set(VARIABLES))
    if unknown:
        hint = did_you_mean(unknown[0], VARIABLES)
        raise NameTemplateError(f"a name's template knows no '{unknown[0]}'", next_step=hint)


def _all_nodes(tree: nodes.Node) -> list[nodes.Node]:
    found, todo = [], [tree]
    while todo:
        node = todo.pop()
        found.append(node)
        todo.extend(node.iter_child_nodes())
    return found


def _bounded_replace(text: object, old: str, new: str) -> str:
    replaced = str(text).replace(old, new)
    # A chain of replacements multiplies.
    if len(replaced) > MOST_TEXT:
        raise TemplateRuntimeError("'replace' makes too much text")
    return replaced


@lru_cache(maxsize=1)
def _environment() -> SandboxedEnvironment:
    environment = SandboxedEnvironment(undefined=StrictUndefined, autoescape=False)
    environment.globals.clear()
    kept: Any = {name: environment.filters[name] for name in _FILTERS}
    environment.filters.clear()
    environment.filters.update(kept, replace=_bounded_replace)
    return environment


@lru_cache(maxsize=1024)
def _compiled(text: str) -> Template:
    try:
        return _environment().from_string(text)
    except TemplateError as exc:
        raise NameTemplateError(f"this template is not understood: {exc.message}") from exc
