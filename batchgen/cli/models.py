"""`batchgen models`: the models and their fields; the vendor's catalogue; models added from it."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from batchgen.cli.completion import complete_words
from batchgen.cli.console import print_json, print_text
from batchgen.cli.models_added import add, desk_for, model_json, price_of, summary_of, update
from batchgen.cli.options import EMULATOR, JSON, models_and_short_names
from batchgen.cli.unknown_models import vendor_offers
from batchgen.errors import ExitCode, UsageError
from batchgen.text import plain_text, plural

if TYPE_CHECKING:
    from collections.abc import Iterator

    from batchgen.jobs import JsonObject
    from batchgen.models.catalog import Catalog, Model
    from batchgen.models.fields import Field
    from batchgen.runs.vendor_catalogue import Desk

WIDTH = 76
LONGEST_DEFAULT = 60
LONGEST_TEXT = 10_000


class _Models(click.Group):
    """A word that is no subcommand is the name of a model."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in self.commands:
            return "show", _show, args
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        names = [one for one in models_and_short_names() if one.startswith(incomplete)]
        return [*super().shell_complete(ctx, incomplete), *map(CompletionItem, names)]


@click.group(cls=_Models, invoke_without_command=True, subcommand_metavar="[MODEL | add | update]")
@click.option("--search", metavar="WORD", help="List the vendor's models that a search finds.")
@click.option("--category", metavar="NAME", help="List the vendor's models of this category.")
@EMULATOR
@JSON
@click.pass_context
def models(
    ctx: click.Context, search: str | None, category: str | None, emulator: bool, as_json: bool
) -> int:
    """Show the models, or every field of one.

    `batchgen models MODEL` shows every field of a model; `--search` and `--category` ask the
    vendor for its models, and `batchgen models add` makes one of them usable in manifests.
    """
    ctx.obj = as_json
    if ctx.invoked_subcommand is not None:
        return 0
    if search is None and category is None:
        return _list_models(as_json=as_json)
    return _search(desk_for(emulator, Path()), search or "", category or "", as_json=as_json)


models.add_command(add)
models.add_command(update)


@click.command("show", hidden=True)
@click.argument("model", shell_complete=complete_words(models_and_short_names))
@JSON
@click.pass_obj
def _show(as_json_above: bool, model: str, as_json: bool) -> int:
    """Show every field of a model."""
    return _show_model(model, as_json=as_json or as_json_above)


def _catalog_here() -> Catalog:
    """Raises InputError for a schema in this folder that cannot be used."""
    from batchgen.models.own_models import SCHEMAS, catalog_with

    return catalog_with(Path(SCHEMAS))


def _search(desk: Desk, words: str, category: str, *, as_json: bool) -> int:
    from batchgen.runs.vendor_catalogue import search

    found = search(desk, words, category)
    if as_json:
        print_json([*found])
        return ExitCode.DONE
    here = _catalog_here()
    for entry in found:
        print_text("\n".join(_entry_lines(entry, here)))
    if not found:
        print_text("the vendor's catalogue has no such model")
        return ExitCode.DONE
    print_text(f"\n{plural(len(found), 'model')}; batchgen models add MODEL makes one usable here")
    return ExitCode.DONE


def _entry_lines(entry: JsonObject, here: Catalog) -> Iterator[str]:
    model_id = plain_text(str(entry["model_id"]), 200)
    yield f"{model_id}{'  (usable here)' if here.find(model_id) else ''}"
    categories = entry.get("categories")
    named = [str(one) for one in categories] if isinstance(categories, list) else []
    parts = [", ".join(named), price_of(entry), str(entry.get("display_name") or "")]
    yield f"    {plain_text(' · '.join(filter(None, parts)), 200)}"


def _list_models(*, as_json: bool) -> int:
    known = _catalog_here().models.values()
    if as_json:
        print_json([model_json(model) for model in known])
        return 0
    for model in known:
        print_text(f"{model.id}\n    {summary_of(model)}")
    print_text("\nbatchgen models MODEL shows every field of one.")
    return 0


def _show_model(name: str, *, as_json: bool) -> int:
    """Raises UsageError for a model that is not known."""
    from batchgen.models.own_models import is_model_id

    catalog = _catalog_here()
    model = catalog.named(name)
    if model is None:
        hint = catalog.nearest(name) or "batchgen models lists them"
        if is_model_id(name):
            offers = vendor_offers([name]) or [f"batchgen models add {name}"]
            hint = "\n  → ".join([hint, *offers])
        raise UsageError(f"unknown model '{name}'", next_step=hint)
    if as_json:
        print_json(model_json(model))
    else:
        print_text("\n".join(_lines(model)))
    return 0


def _lines(model: Model) -> Iterator[str]:
    from batchgen.models.catalog import plural_of

    makes = f"makes {plural_of(model.makes)}"
    yield f"{model.id} · {makes} · automatic ids begin with {model.alias}-"
    if price := price_of(model.about):
        yield f"  {price}, when it was added"
    for field in model.fields:
        yield ""
        yield from _field_lines(field, "  ")
    if model.sizes:
        yield ""
        yield "  size  short for width×height, one of:"  # noqa: RUF001 - the vendor's own spelling
        yield from _wrapped(", ".join(model.sizes), 6)


def _field_lines(field: Field, indent: str) -> Iterator[str]:
    need = "required" if field.required else "optional"
    yield f"{indent}{field.name}  {', '.join(filter(None, (field.type, field.limits, need)))}"
    yield from _details(field, len(indent) + 4)
    for inner in field.fields:
        yield from _field_lines(inner, f"{indent}    ")


def _details(field: Field, indent: int) -> Iterator[str]:
    if field.description:
        yield from _wrapped(field.description, indent)
    if field.choices:
        yield from _wrapped("one of: " + ", ".join(map(str, field.choices)), indent)
    if field.default is not None:
        default = json.dumps(field.default, ensure_ascii=False)
        shown = textwrap.shorten(default, LONGEST_DEFAULT, placeholder=" …")
        yield from _wrapped(f"the vendor suggests: {shown}", indent)
    if field.type.endswith("_uri"):
        yield from _wrapped("a URL, or the path of a file on this machine", indent)
    for rule in field.file_rules:
        yield from _wrapped(f"file rule: {rule.quantity} {rule.operator} {rule.limit:g}", indent)


def _wrapped(text: str, indent: int) -> list[str]:
    blank = " " * indent
    return textwrap.wrap(
        plain_text(text, LONGEST_TEXT), WIDTH, initial_indent=blank, subsequent_indent=blank
    )
