"""Texts of the manifest that mean something else than their writer thought: braces, and ` #`.

They would be sent as they are, and paid.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from batchgen.manifest.matrix.problems import RESERVED
from batchgen.manifest.templates.texts import is_literal
from batchgen.models.wording import SHOWN, InputProblem, shown

if TYPE_CHECKING:
    from collections.abc import Collection

    from batchgen.jobs import JsonValue
    from batchgen.manifest.parsing.nodes import Comment, Node, Path
    from batchgen.manifest.report import Reporter

_PUT_TOGETHER = "put it into the job's own text; braces as they are can come from a data file"

IN_HEADER: Mapping[str, str] = {"vars": _PUT_TOGETHER, "include": "write the path out"}
IN_JOBS: Mapping[str, str] = {
    "matrix": _PUT_TOGETHER,
    "from": "write the path out",
    "where": "write the value out",
}

_TEMPLATE = re.compile(
    r"\{%-?\s*raw\s*-?%\}.*?\{%-?\s*endraw\s*-?%\}|\{\{.*?\}\}|\{%.*?%\}", re.DOTALL
)
_SINGLE_BRACES = re.compile(r"\{\s*([A-Za-z_][A-Za-z0-9_]*)\s*\}")


def unread_templates(whole: JsonValue, hints: Mapping[str, str]) -> list[InputProblem]:
    """Find templates below the keys of `hints`, where none is read; each has a cure of its own."""
    assert isinstance(whole, Mapping)
    return [
        InputProblem(path, "templates are not read here", hint)
        for key, hint in hints.items()
        for path, text in texts_in(whole.get(key), (key,))
        if not is_literal(text)
    ]


def warn_of_cut_texts(node: Node | None, reporter: Reporter, *, surely_text: bool = False) -> None:
    """Warn of each unquoted text at or below the node that a ` #` cuts off.

    A comment behind a single word is most likely one; behind `surely_text`, such as a prompt, even
    an honest one is told, since what it would cost to be wrong is a picture of half a prompt.
    """
    if node is None:
        return
    for child in node.children.values():
        warn_of_cut_texts(child, reporter, surely_text=surely_text)
    comment = node.comment
    if comment is None or not (surely_text or _may_be_text(node, comment)):
        return
    message = f"only {_end_of(node.text)} is read: {shown(comment.text)} is taken for a comment"
    reporter.warn(comment.place, message, "if it is text, put all of the text in quotes")


def _may_be_text(node: Node, comment: Comment) -> bool:
    return " " in node.text or not comment.text.startswith("# ")


def _end_of(text: str) -> str:
    return shown(text if len(text) < SHOWN else f"…{text[5 - SHOWN :]}")


def half_template(
    texts: Iterable[tuple[Path, str]], variables: Collection[str]
) -> InputProblem | None:
    """Find the first variable that stands in single braces, as Python's own templates have it."""
    for path, text in texts:
        for found in _SINGLE_BRACES.finditer(_TEMPLATE.sub(" ", text)):
            name = found[1]
            if name in variables and name not in RESERVED:
                message = f"'{found[0]}' is plain text; a template has two braces: {{{{ {name} }}}}"
                hint = f"if it is meant as it is: {{% raw %}}{found[0]}{{% endraw %}}"
                return InputProblem(path, message, hint)
    return None


def texts_in(value: JsonValue, path: Path) -> Iterator[tuple[Path, str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, list | Mapping):
        children = value.items() if isinstance(value, Mapping) else enumerate(value)
        for key, child in children:
            yield from texts_in(child, (*path, key))
