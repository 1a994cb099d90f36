"""Renders the ids and tags of jobs, and refuses texts that cannot be one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeGuard

from batchgen.jobs import canonical_json
from batchgen.manifest.problem_location import CellError, located
from batchgen.manifest.templates.texts import is_literal
from batchgen.models.messages import InputProblem, format_value

if TYPE_CHECKING:
    from batchgen.jobs import JsonValue
    from batchgen.manifest.problem_location import ProblemPath
    from batchgen.manifest.templates.texts import CompiledText, Variables


LONGEST_ID = 200
LONGEST_TAG = 100
_UNUSABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_DIRECTION_CONTROLS = re.compile("[\u202a-\u202e\u2066-\u2069]")
"""Text direction controls: an id with one would reorder the lines it is printed in."""


def render_id(template: CompiledText, variables: Variables) -> str:
    """Render an id without its suffix. Raises CellError for a text that cannot be one."""
    return _render(("id",), template, variables, LONGEST_ID)


def render_tag(path: ProblemPath, template: CompiledText, variables: Variables) -> str:
    """Raise CellError for a text that cannot be a tag."""
    return _render(path, template, variables, LONGEST_TAG)


def is_usable_id(text: object) -> TypeGuard[str]:
    """A quick test for a literal id; False says nothing."""
    return _is_plain(text, LONGEST_ID) and not text.startswith("!")


def is_usable_tag(text: object) -> TypeGuard[str]:
    """As above, for a tag."""
    return _is_plain(text, LONGEST_TAG)


def _is_plain(text: object, longest: int) -> TypeGuard[str]:
    # What is printable has no control character.
    return (
        isinstance(text, str)
        and 0 < len(text) <= longest
        and text.isprintable()
        and not text.isspace()
        and is_literal(text)
    )


def _render(path: ProblemPath, template: CompiledText, variables: Variables, longest: int) -> str:
    value = located(path, template.render, variables)
    text = value if isinstance(value, str) else _as_text(value, path)
    if len(text) <= longest and not _UNUSABLE.search(text) and text.strip():
        return text
    key = next(step for step in reversed(path) if isinstance(step, str))
    hint = None
    if not text.strip():
        what, hint = f"{key} is empty here", "write one, or leave the key out"
    elif len(text) > longest:
        what = f"{key} has {len(text)} characters here; at most {longest} are allowed"
    else:
        what = f"{key} has line breaks or control characters here"
    raise CellError([InputProblem(path, what, hint)], rendered=[path])


def refuse_misleading_id(job_id: str, template: CompiledText) -> None:
    """Raise CellError for an id that would be misread in a command or garble a line of output."""
    if job_id.startswith("!"):
        what = f"id must not begin with !; got {format_value(job_id)}"
        hint = "in a command, --job '!NAME' leaves NAME out: begin it with something else"
        problem = InputProblem(("id",), what, hint)
        raise CellError([problem], rendered=[problem.path], item_wide=template.is_literal)
    if _DIRECTION_CONTROLS.search(job_id):
        what = "id has control characters here that change the text direction"
        raise CellError([InputProblem(("id",), what, "leave them out")], rendered=[("id",)])


def _as_text(value: JsonValue, path: ProblemPath) -> str:
    if isinstance(value, bool | int | float):
        return canonical_json(value)
    raise CellError([InputProblem(path, f"{path[0]} must be text; got {format_value(value)}")])
