"""`batchgen models`: the models and their fields, from the schemas as published."""

from __future__ import annotations

import json
import textwrap
from typing import TYPE_CHECKING

import click

from batchgen.cli.completion import complete_words
from batchgen.cli.console import print_json, print_text
from batchgen.cli.options import JSON, models_and_short_names
from batchgen.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from batchgen.jobs import JsonValue
    from batchgen.models.catalog import Model
    from batchgen.models.fields import Field

WIDTH = 76
LONGEST_DEFAULT = 60


@click.command()
@click.argument("model", required=False, shell_complete=complete_words(models_and_short_names))
@JSON
def models(model: str | None, as_json: bool) -> int:
    """Show the models, or every field of one."""
    return _show_model(model, as_json=as_json) if model else _list_models(as_json=as_json)


def _list_models(*, as_json: bool) -> int:
    from batchgen.models.catalog import catalog

    known = catalog().values()
    if as_json:
        print_json([_to_json(model) for model in known])
        return 0
    for model in known:
        required = ", ".join(field.name for field in model.fields if field.required)
        print_text(f"{model.id}\n    makes {model.makes.value}s · needs {required}")
    print_text("\nbatchgen models MODEL shows every field of one.")
    return 0


def _show_model(model_id: str, *, as_json: bool) -> int:
    """Raises UsageError for a model that is not known."""
    from batchgen.models.catalog import named_model, nearest_model

    model = named_model(model_id)
    if model is None:
        raise UsageError(
            f"unknown model '{model_id}'",
            next_step=nearest_model(model_id) or "batchgen models lists them",
        )
    if as_json:
        print_json(_to_json(model))
    else:
        print_text("\n".join(_lines(model)))
    return 0


def _lines(model: Model) -> Iterator[str]:
    yield f"{model.id} · makes {model.makes.value}s · automatic ids begin with {model.alias}-"
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
            "the vendor suggests: " + textwrap.shorten(default, LONGEST_DEFAULT, placeholder=" …")
        )
    for rule in field.file_rules:
        yield from _wrapped(f"file rule: {rule.quantity} {rule.operator} {rule.limit:g}")


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=" " * 6, subsequent_indent=" " * 6)


def _to_json(model: Model) -> dict[str, JsonValue]:
    return {"id": model.id, "makes": model.makes.value, "input_schema": model.schema}
