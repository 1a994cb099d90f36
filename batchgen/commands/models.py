"""`batchgen models`: what can be asked for, from the schemas as published."""

from __future__ import annotations

import json
import textwrap
from typing import TYPE_CHECKING

from batchgen.commands.console import print_json, say
from batchgen.errors import UsageError
from batchgen.models.catalog import catalog, named_model, nearest_model

if TYPE_CHECKING:
    from collections.abc import Iterator

    from batchgen.jobs import JsonValue
    from batchgen.models.catalog import Model
    from batchgen.models.fields import Field

WIDTH = 76
LONGEST_DEFAULT = 60


def list_models(*, as_json: bool) -> int:
    """Show all models in a line each."""
    models = catalog().values()
    if as_json:
        print_json([_to_json(model) for model in models])
        return 0
    for model in models:
        required = ", ".join(field.name for field in model.fields if field.required)
        say(f"{model.id}\n    makes {model.makes.value}s · needs {required}")
    say("\nbatchgen models MODEL shows every field of one.")
    return 0


def show_model(model_id: str, *, as_json: bool) -> int:
    """Show one model's fields. Raises UsageError for a model that is not known."""
    model = named_model(model_id)
    if model is None:
        raise UsageError(
            f"there is no model '{model_id}'",
            next_step=nearest_model(model_id) or "batchgen models lists them",
        )
    if as_json:
        print_json(_to_json(model))
    else:
        say("\n".join(_lines(model)))
    return 0


def _lines(model: Model) -> Iterator[str]:
    yield f"{model.id} · makes {model.makes.value}s · ids begin with {model.alias}-"
    for field in model.fields:
        yield ""
        need = "required" if field.required else "optional"
        yield f"  {field.name}  {', '.join(filter(None, (field.type, field.limits, need)))}"
        yield from _details(field)
    if model.sizes:
        yield ""
        yield "  size  short for width×height, one of:"  # noqa: RUF001 - the vendor's own spelling
        yield from _wrapped(", ".join(model.sizes))


def _details(field: Field) -> Iterator[str]:
    if field.description:
        yield from _wrapped(field.description)
    if field.choices:
        yield from _wrapped("one of: " + ", ".join(map(str, field.choices)))
    if field.default is not None:
        default = json.dumps(field.default, ensure_ascii=False)
        yield from _wrapped(
            "the page suggests: " + textwrap.shorten(default, LONGEST_DEFAULT, placeholder=" …")
        )
    for rule in field.file_rules:
        yield from _wrapped(f"file rule: {rule.quantity} {rule.operator} {rule.limit:g}")


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=" " * 6, subsequent_indent=" " * 6)


def _to_json(model: Model) -> dict[str, JsonValue]:
    return {"id": model.id, "makes": model.makes.value, "input_schema": model.schema}
