"""A name that is not there, in the words of the template that uses it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from jinja2 import nodes

from batchgen.manifest.templates.problems import (
    TemplateProblem,
    UnknownVariableError,
    missing_key,
)
from batchgen.manifest.templates.syntax import key_of, lookups, parse
from batchgen.models.wording import shown

if TYPE_CHECKING:
    from batchgen.manifest.templates.values import AbsentError

_KINDS: tuple[tuple[type | tuple[type, ...], str], ...] = (
    (str, "text"),
    (bool, "true or false"),
    ((int, float), "a number"),
    (list, "a list"),
    (type(None), "null"),
)


def absent_problem(error: AbsentError, text: str, variables: Mapping[str, Any]) -> TemplateProblem:
    """Say what the template `text` looked for in vain, and what it may have meant."""
    name, holder = error.name, error.holder
    if error.is_variable:
        return UnknownVariableError(str(name), variables.keys())
    if isinstance(holder, Mapping):
        return missing_key(_holder_words(text, name), name, holder.keys())
    if isinstance(name, int) and isinstance(holder, list | str):
        return TemplateProblem(str(error))
    kind = next((word for kind, word in _KINDS if isinstance(holder, kind)), "no mapping")
    return TemplateProblem(f"{_holder_words(text, name)} is {kind}, and has no {shown(name)}")


def _holder_words(text: str, key: object) -> str:
    """Find what the template writes before `.key`."""
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
