"""Templates in the manifest's texts: `A harbour at {{ hour }}`.

Jinja2 defines what a template means. Nearly all templates are plain names between texts; these are
put together without it, thirty times as fast.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from operator import itemgetter
from typing import TYPE_CHECKING, Any, TypeAlias

from jinja2 import TemplateError, TemplateRuntimeError, nodes

from batchgen.manifest.templates.problems import (
    TemplateProblem,
    UnknownVariableError,
    misfit,
    missing_key,
)
from batchgen.manifest.templates.syntax import (
    environment,
    guarded_names,
    key_of,
    lookups,
    parse,
    used_jobs,
    used_names,
    whole_expression,
)
from batchgen.manifest.templates.values import (
    AbsentError,
    PartialRow,
    as_text,
    as_value,
    bounded,
    part_of,
)
from batchgen.models.messages import format_value

if TYPE_CHECKING:
    from collections.abc import Collection

    from batchgen.jobs import JsonValue


Variables: TypeAlias = Mapping[str, Any]
"""JSON values by their names, and JobReferences under `jobs`."""
Render: TypeAlias = "Callable[[Variables], JsonValue]"

_OPENERS = ("{{", "{%", "{#")
_RESULT = "_result"


@dataclass(frozen=True, slots=True, eq=False)
class CompiledText:
    """A text that may be a template.

    `render` returns the value itself if the text is a single expression, and text otherwise. The
    value may be shared with the variables, so it must not be changed. It raises TemplateProblem.
    `optional` names may be absent.
    """

    source: str
    is_literal: bool
    render: Render
    names: frozenset[str] = frozenset()
    optional: frozenset[str] = frozenset()
    job_names: frozenset[str] = frozenset()

    def check_names(self, known: Collection[str]) -> None:
        """Raise UnknownVariableError for a name that no cell has."""
        for name in sorted(self.names - self.optional):
            if name not in known:
                raise UnknownVariableError(name, known)


def compile_text(text: str) -> CompiledText:
    """Compile a text of the manifest. Never for data rows, whose braces stay as they are.

    Raises TemplateProblem.
    """
    if is_literal(text):
        return CompiledText(text, is_literal=True, render=lambda _: text)
    return _compile_template(text)


def is_literal(text: str) -> bool:
    return "{" not in text or not any(opener in text for opener in _OPENERS)


@lru_cache(maxsize=1024)
def _compile_template(text: str) -> CompiledText:
    tree = parse(text)
    names, optional, jobs = used_names(tree), guarded_names(tree), used_jobs(tree)
    evaluate = _without_jinja(tree) or with_jinja(tree)
    return CompiledText(
        text,
        is_literal=False,
        render=explained(evaluate, text),
        names=names,
        optional=optional,
        job_names=jobs,
    )


def explained(evaluate: Render, text: str) -> Render:
    """Turn errors of `evaluate` into a TemplateProblem in plain English."""

    def render(variables: Variables) -> JsonValue:
        try:
            return evaluate(variables)
        except KeyError as exc:
            raise _no_variable(str(exc.args[0]), variables) from exc
        except AbsentError as exc:
            raise absent_problem(exc, text, variables) from exc
        except (TypeError, TemplateRuntimeError, ValueError, ArithmeticError) as exc:
            raise misfit(exc) from exc
        except RecursionError as exc:
            raise TemplateProblem("a value in this template is nested too deeply") from exc

    return render


def with_jinja(tree: nodes.Template) -> Render:
    whole = whole_expression(tree)
    if whole is not None:
        assign = nodes.Assign(nodes.Name(_RESULT, "store"), whole, lineno=1)
        tree = nodes.Template([assign], lineno=1)
        tree.set_environment(environment())
    try:
        template = environment().from_string(tree)
    except (TemplateError, SyntaxError) as exc:
        reason = exc.msg if isinstance(exc, SyntaxError) else exc.message
        raise TemplateProblem(f"this template cannot be parsed: {reason}") from exc

    def value(variables: Any) -> JsonValue:
        context = template.new_context(variables, shared=True)
        for _ in template.root_render_func(context):
            pass
        found: JsonValue = as_value(context.vars[_RESULT])
        return found

    def text(variables: Any) -> JsonValue:
        context = template.new_context(variables, shared=True)
        return bounded("".join(template.root_render_func(context)), "this template")

    return text if whole is None else value


def _without_jinja(tree: nodes.Template) -> Render | None:
    """Render plain names between texts without Jinja; None if the template has anything else."""
    if len(tree.body) != 1 or not isinstance(tree.body[0], nodes.Output):
        return None
    parts = tree.body[0].nodes
    values = [_getter(part) for part in parts if not isinstance(part, nodes.TemplateData)]
    getters = [getter for getter in values if getter is not None]
    if len(getters) < len(values):
        return None
    if whole_expression(tree) is not None:
        return lambda variables: as_value(getters[0](variables))
    frame = "".join(
        part.data.replace("%", "%%") if isinstance(part, nodes.TemplateData) else "%s"
        for part in parts
    )

    def text(variables: Variables) -> JsonValue:
        filled = frame % tuple([as_text(getter(variables)) for getter in getters])
        return bounded(filled, "this template")

    return text


def _getter(node: nodes.Node) -> Callable[[Variables], Any] | None:
    match node:
        case nodes.Name():
            return itemgetter(node.name)
        case nodes.Getattr() | nodes.Getitem():
            holder, key = _getter(node.node), key_of(node)
            if holder is None or not isinstance(key, str | int):
                return None
            return lambda variables: part_of(holder(variables), key)
    return None


_KINDS: tuple[tuple[type | tuple[type, ...], str], ...] = (
    (str, "text"),
    (bool, "true or false"),
    ((int, float), "a number"),
    (list, "a list"),
    (type(None), "null"),
)


def absent_problem(error: AbsentError, text: str, variables: Mapping[str, Any]) -> TemplateProblem:
    """Explain what the template `text` did not find, and what it may have meant."""
    name, holder = error.name, error.holder
    if error.is_variable:
        return _no_variable(str(name), variables)
    if isinstance(holder, PartialRow) and name in holder.why_absent:
        return TemplateProblem(*holder.why_absent[str(name)])
    if isinstance(holder, Mapping):
        return missing_key(_holder_source(text, name), name, holder.keys())
    if isinstance(name, int) and isinstance(holder, list | str):
        return TemplateProblem(str(error))
    kind = next((name for type_, name in _KINDS if isinstance(holder, type_)), "not a mapping")
    return TemplateProblem(
        f"{_holder_source(text, name)} is {kind}, and has no {format_value(name)}"
    )


def _no_variable(name: str, variables: Variables) -> TemplateProblem:
    row = variables.get("row")
    if isinstance(row, PartialRow) and name in row.why_absent:
        return TemplateProblem(*row.why_absent[name])
    return UnknownVariableError(name, variables.keys())


def _holder_source(text: str, key: object) -> str:
    """Return what the template has before `.key`."""
    held = [node for node in lookups(parse(text)) if key_of(node) == key]
    return _written(held[0].node) if held else "it"


def _written(node: nodes.Node) -> str:
    if isinstance(node, nodes.Name):
        return node.name
    if isinstance(node, nodes.Getattr):
        return f"{_written(node.node)}.{node.attr}"
    if isinstance(node, nodes.Getitem) and key_of(node) is not None:
        return f"{_written(node.node)}[{key_of(node)!r}]"
    return "it"
