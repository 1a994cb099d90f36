"""File names from templates such as `{{ model }}/{{ id }}`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from batchgen.manifest.templates.problems import (
    ForbiddenConstructError,
    TemplateProblem,
    UnknownVariableError,
)
from batchgen.manifest.templates.syntax import JOBS
from batchgen.manifest.templates.texts import CompiledText, compile_text
from batchgen.manifest.templates.values import as_text
from batchgen.models.fields import SHORT_KEY, SIZE_KEY, short_size
from batchgen.models.messages import format_value
from batchgen.text import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from batchgen.jobs import JsonObject, JsonValue

VARIABLES = ("id", "model", "model_id", "input", "tags")
LONGEST_NAME = 500


class NameTemplateError(TemplateProblem):
    """A template that cannot be used, or gives no usable name for a job."""


@dataclass(frozen=True, slots=True)
class NameValues:
    """The variables of a name's template. `model` is the model's short form, e.g. `t2i`.

    `variables` are those of the cell; the fields here hide any of the same name.
    """

    id: str
    model: str
    model_id: str
    input: Mapping[str, JsonValue]
    tags: tuple[str, ...]
    variables: Mapping[str, JsonValue] = field(default_factory=dict)


def with_short_size(values: JsonObject) -> JsonObject:
    """Add `size`, which is not a key of the schema, so that templates can use `input.size`."""
    full = values.get(SIZE_KEY)
    return {**values, SHORT_KEY: short_size(full)} if isinstance(full, str) else values


def check_template(text: str, extra: Collection[str] | None = ()) -> None:
    """Raise NameTemplateError if the template cannot be used.

    `extra` are the variables of its cells; None if they are not known yet.
    """
    compiled = _compiled(text)
    known = {*VARIABLES, *(compiled.names if extra is None else extra)} - {JOBS}
    for name in sorted(compiled.names - compiled.optional - known):
        raise _unknown(name, known)


def is_template_of(text: str, extra: Collection[str]) -> bool:
    """Whether `check_template` has no objection."""
    try:
        check_template(text, extra)
    except NameTemplateError:
        return False
    return True


def render_name(text: str, values: NameValues) -> str:
    """Return the name of a job's files. Raises NameTemplateError."""
    compiled = _compiled(text)
    name = compiled.source if compiled.is_literal else _render(compiled, values)
    if not name.strip():
        raise NameTemplateError("the name of its files is empty")
    if len(name) > LONGEST_NAME:
        what = f"the name of its files is {len(name)} characters long"
        raise NameTemplateError(f"{what}; at most {LONGEST_NAME} are allowed")
    return name


def _render(compiled: CompiledText, values: NameValues) -> str:
    known = {
        **values.variables,
        "id": values.id,
        "model": values.model,
        "model_id": values.model_id,
        "input": values.input,
        "tags": list(values.tags),
    }
    try:
        return as_text(compiled.render(known))
    except UnknownVariableError as exc:
        raise _unknown(exc.name, known.keys()) from exc
    except TemplateProblem as exc:
        what = f"the name {format_value(compiled.source)} cannot be made: {exc.what}"
        raise NameTemplateError(what, exc.next_step) from exc


def _compiled(text: str) -> CompiledText:
    try:
        return compile_text(text)
    except ForbiddenConstructError as exc:
        what = f"the template of a name cannot have '{exc.construct}'"
        raise NameTemplateError(what, exc.next_step) from exc
    except TemplateProblem as exc:
        raise NameTemplateError(exc.what, exc.next_step) from exc


def _unknown(name: str, known: Collection[str]) -> NameTemplateError:
    return NameTemplateError(
        f"the template of a name has no variable '{name}'", did_you_mean(name, known)
    )
