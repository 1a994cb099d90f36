"""Texts that mean something else than their author thinks: braces, ` #`, syntax of other tools.

They would be sent, and paid for, as they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from batchgen.manifest.matrix import RESERVED
from batchgen.manifest.templates.problems import TemplateProblem
from batchgen.manifest.templates.texts import is_literal
from batchgen.models.messages import LONGEST_VALUE, InputProblem, format_value

if TYPE_CHECKING:
    from collections.abc import Collection

    from batchgen.jobs import JsonValue
    from batchgen.manifest.parsing.nodes import Comment, Node, Path
    from batchgen.manifest.problems import Reporter
    from batchgen.manifest.templates.texts import CompiledText, Variables


AROUND = 20
"""Characters that a message shows on either side of a hole."""

_EMPTY = ("", None)
_HOLE = re.compile(
    r"[,;:]\s*[,;:.]|[,;:]\s*$|^\s*[,;:.]|\(\s*\)|\"\s*\"|\s[,.;:](?=\s|$)|\S[ \t]{2,}\S"
    r"|\b(?:a|an|and|at|by|in|of|on|the|with)\s*(?:[,.;]|$)"
)
_CHOICES = (
    "put the choices into a matrix or a data file, and write {{ name }} here; or add 'prompts' to"
    " the manifest, which draws one for each job"
)
_FOREIGN_SYNTAX = (
    ("|", re.compile(r"\{[^{}|]*\|[^{}]*\}|\[[^][|]*\|[^][]*\]"), "choice", _CHOICES),
    ("__", re.compile(r"(?<!\w)__[A-Za-z0-9][\w/ *-]*?__(?!\w)"), "wildcard", _CHOICES),
    ("<", re.compile(r"<(?:lora|lyco|hypernet|embedding):[^<>]*>"), "tag", "remove it"),
    (
        ":",
        re.compile(r"[(\[][^()\[\]:]*[^\W\d]:[0-2]?(?:\.\d+|(?<=\d))[)\]]"),
        "weight",
        "write only the text",
    ),
    (
        "--",
        re.compile(r"(?<!\S)--(?:ar|chaos|niji|no|q|seed|sref|style|stylize|v|weird)\s+\S+"),
        "option",
        "use the keys of the input, such as size",
    ),
)

_PUT_TOGETHER = "put it into the job's own text; literal braces can come from a data file"

HEADER_HINTS: Mapping[str, str] = {"vars": _PUT_TOGETHER, "include": "write the path out"}
JOB_HINTS: Mapping[str, str] = {
    "matrix": _PUT_TOGETHER,
    "from": "write the path out",
    "where": "write the value out",
}

_TEMPLATE = re.compile(
    r"\{%-?\s*raw\s*-?%\}.*?\{%-?\s*endraw\s*-?%\}|\{\{.*?\}\}|\{%.*?%\}", re.DOTALL
)
_SINGLE_BRACES = re.compile(r"\{\s*([A-Za-z_][A-Za-z0-9_]*)\s*\}")


def unread_templates(whole: JsonValue, hints: Mapping[str, str]) -> list[InputProblem]:
    """Find templates under the keys of `hints`, where templates are not read."""
    assert isinstance(whole, Mapping)
    return [
        InputProblem(path, "templates are not read here", hint)
        for key, hint in hints.items()
        for path, text in texts_in(whole.get(key), (key,))
        if not is_literal(text)
    ]


def warn_of_cut_texts(node: Node | None, reporter: Reporter, *, surely_text: bool = False) -> None:
    """Warn about each unquoted text at or below the node that a ` #` cuts off.

    After a single word it is most likely a genuine comment. After `surely_text`, such as a prompt,
    even that is reported: half a prompt would cost a picture.
    """
    if node is None:
        return
    for child in node.children.values():
        warn_of_cut_texts(child, reporter, surely_text=surely_text)
    comment = node.comment
    if comment is None or not (surely_text or _may_be_text(node, comment)):
        return
    message = (
        f"only {_end_of(node.text)} is read: {format_value(comment.text)} is taken for a comment"
    )
    reporter.warn(comment.place, message, "if it is text, put all of the text in quotes")


def _may_be_text(node: Node, comment: Comment) -> bool:
    return " " in node.text or not comment.text.startswith("# ")


def _end_of(text: str) -> str:
    return format_value(text if len(text) < LONGEST_VALUE else f"…{text[5 - LONGEST_VALUE :]}")


def foreign_syntax(text: str, *, expanded: bool = False) -> list[tuple[str, str]]:
    """Find syntax that other tools replace but these models read as text: messages with hints.

    `expanded`: choices and wildcards have been drawn, so what is left of them is meant.
    """
    return [
        (f"the model reads this {what} as text; got {format_value(found[0])}", hint)
        for needle, pattern, what, hint in _FOREIGN_SYNTAX
        if needle in text
        and not (expanded and hint is _CHOICES)
        and (found := pattern.search(text))
    ]


def may_be_odd(text: str, template: CompiledText, variables: Variables) -> bool:
    """A quick test for a million rows: if False, `odd_text` finds nothing."""
    if "|" in text or ":" in text or "__" in text or "<" in text or "--" in text:
        return True
    for name in template.names:  # noqa: SIM110 - a generator takes twice as long
        if variables.get(name, True) in _EMPTY:
            return True
    return False


def odd_text(
    text: str, template: CompiledText, variables: Variables, *, expanded: bool = False
) -> list[tuple[str, str | None]]:
    """Find likely mistakes in a text that a template made: messages with hints."""
    found: list[tuple[str, str | None]] = [*foreign_syntax(text, expanded=expanded)]
    empty = [name for name in template.names if variables.get(name, True) in _EMPTY]
    if empty and (hole := _new_hole(text, template, {**variables, **dict.fromkeys(empty, "x")})):
        names = " and ".join(f"'{name}'" for name in sorted(empty))
        verb = "is" if len(empty) == 1 else "are"
        what = f"a hole is left where {names} {verb} empty; got {format_value(hole)}"
        first = min(empty)
        hint = f"fill it in, or leave text out with it: {{% if {first} %}}…{{% endif %}}"
        found.append((what, hint))
    return found


def _new_hole(text: str, template: CompiledText, filled: Variables) -> str | None:
    """Find a hole that is there only because some variables are empty."""
    hole = _HOLE.search(text)
    if hole is None:
        return None
    try:
        whole = template.render(filled)
    except TemplateProblem:
        # The template needs a number, and no example of one is known.
        whole = ""
    if len(_HOLE.findall(text)) <= len(_HOLE.findall(str(whole))):
        return None
    start = max(hole.start() - AROUND, 0)
    return f"{'…' if start else ''}{text[start : hole.end() + AROUND]}"


def single_braces_problem(
    texts: Iterable[tuple[Path, str]], variables: Collection[str]
) -> InputProblem | None:
    """Find the first variable in single braces, as in Python's format strings."""
    for path, text in texts:
        for found in _SINGLE_BRACES.finditer(_TEMPLATE.sub(" ", text)):
            name = found[1]
            if name in variables and name not in RESERVED:
                message = f"'{found[0]}' is plain text; a template has two braces: {{{{ {name} }}}}"
                hint = f"if it is meant literally: {{% raw %}}{found[0]}{{% endraw %}}"
                return InputProblem(path, message, hint)
    return None


def texts_in(value: JsonValue, path: Path) -> Iterator[tuple[Path, str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, list | Mapping):
        children = value.items() if isinstance(value, Mapping) else enumerate(value)
        for key, child in children:
            yield from texts_in(child, (*path, key))
