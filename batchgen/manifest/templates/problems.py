"""What is wrong with a template, explained to its author."""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING

from batchgen.errors import InputError
from batchgen.models.messages import format_value
from batchgen.text import did_you_mean, nearest

if TYPE_CHECKING:
    from collections.abc import Collection

    from jinja2 import TemplateSyntaxError

MOST_LISTED = 8
NUMBER_HINT = "a value from a CSV file is text: |float turns it into a number"
COMMENT_HINT = "to write it literally: {% raw %}{#{% endraw %}"
RAW_HINT = "to write braces literally: {% raw %}{{{% endraw %}"

_CLOSERS = {"{{": "}}", "{%": "%}", "{#": "#}"}
_OPENER = re.compile(r"\{[{%#]")
_OPEN_BLOCK = re.compile(r"innermost block that needs to be closed is '(\w+)'")
_MISFITS = (
    (
        re.compile(r"('..?') not supported between"),
        "{} compares numbers with numbers and text with text",
    ),
    (re.compile(r"unary ([-+])"), "'{}' works on numbers only"),
    (
        re.compile(r"'in <string>'|is not (?:iterable|a container)"),
        "'in' cannot be used with these values",
    ),
)
_UNKNOWN_TAG = re.compile(r"[Uu]nknown tag '(\w+)'")


class TemplateProblem(InputError):  # noqa: N818 - one of the many problems of a manifest
    """A template that cannot be used, or not with these values.

    `path` leads to it inside the value that was compiled or rendered.
    """

    def __init__(self, what: str, hint: str | None = None) -> None:
        super().__init__(what, next_step=hint)
        self.path: tuple[str | int, ...] = ()


class ForbiddenConstructError(TemplateProblem):
    """Valid Jinja that could make much out of little, or reach what is not the user's."""

    def __init__(self, construct: str, hint: str | None = None) -> None:
        known = "a template can have {{ values }}, filters, arithmetic on numbers and {% if %}"
        super().__init__(f"a template cannot have '{construct}'", hint or known)
        self.construct = construct


class UnknownVariableError(TemplateProblem):
    def __init__(self, name: str, known: Collection[str]) -> None:
        hint = _hint(name, known)
        near = nearest(name, known) is not None
        super().__init__(
            f"no variable {format_value(name)}", hint if near else with_braces_hint(hint)
        )
        self.name = name


def missing_key(holder: str, name: object, keys: Collection[str]) -> TemplateProblem:
    if holder == "env":
        hint = f"name it in the manifest, and set it: env: [{name}]"
        return TemplateProblem(f"env has no {format_value(name)}", hint)
    return TemplateProblem(f"{holder} has no {format_value(name)}", _hint(str(name), keys))


def syntax_problem(text: str, error: TemplateSyntaxError) -> TemplateProblem:
    reason = error.message or "it is not a template"
    if block := _open_block(reason):
        what = f"the '{{% {block} %}}' has no '{{% end{block} %}}'"
        return TemplateProblem(what, f"close it with {{% end{block} %}}")
    if tag := _UNKNOWN_TAG.search(reason):
        return TemplateProblem(f"there is no '{{% {tag[1]} %}}'", RAW_HINT)
    what = _unclosed(text) or f"this template cannot be parsed: {reason}"
    return TemplateProblem(what, COMMENT_HINT if what.startswith("the '{#'") else RAW_HINT)


def with_braces_hint(hint: str | None) -> str:
    """Some texts with braces, such as `{{red|blue}}`, were never meant as templates."""
    return "; ".join(filter(None, (hint, RAW_HINT)))


def misfit(error: Exception) -> TemplateProblem:
    """Explain what Python or Jinja could not do with the values."""
    if isinstance(error, ZeroDivisionError):
        return TemplateProblem("this template divides by zero")
    for pattern, message in _MISFITS:
        if found := pattern.search(str(error)):
            return TemplateProblem(message.format(*found.groups()), NUMBER_HINT)
    return TemplateProblem(f"this template does not fit its values: {error}")


def _hint(name: str, known: Collection[str]) -> str | None:
    if nearest(name, known) or len(known) <= MOST_LISTED:
        return did_you_mean(name, known)
    return f"known: {', '.join(islice(sorted(known), MOST_LISTED))}, …"


def _unclosed(text: str) -> str | None:
    at = 0
    while (opener := _OPENER.search(text, at)) is not None:
        end = text.find(_CLOSERS[opener.group()], opener.end())
        if end < 0:
            return f"the '{opener.group()}' is never closed"
        inside = text[opener.end() : end].strip("-+ \t\r\n")
        if opener.group() == "{{" and not inside:
            return "'{{ }}' is empty"
        at = end + 2
    return None


def _open_block(reason: str) -> str | None:
    if "end of raw" in reason:
        return "raw"
    block = _OPEN_BLOCK.search(reason)
    return block[1] if block and "nexpected end of template" in reason else None
