"""Texts of the manifest whose braces mean something else than their writer thought.

They would be sent as they are, and paid.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from batchgen.manifest.matrix.problems import RESERVED
from batchgen.manifest.templates.texts import is_literal
from batchgen.models.wording import InputProblem

if TYPE_CHECKING:
    from collections.abc import Collection

    from batchgen.jobs import JsonValue
    from batchgen.manifest.parsing.nodes import Path

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
