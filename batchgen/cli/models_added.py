"""`batchgen models add` and `update`: the vendor's models, written beside a manifest."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from batchgen.cli.console import print_json, print_text
from batchgen.cli.options import EMULATOR, JSON
from batchgen.errors import ExitCode, InputError, UsageError
from batchgen.text import plain_text, plural

if TYPE_CHECKING:
    from collections.abc import Iterator

    from batchgen.jobs import JsonObject, JsonValue
    from batchgen.models.adding import Known
    from batchgen.models.catalog import Model
    from batchgen.runs.vendor_catalogue import Desk

EDITOR_SCHEMA = "manifest.schema.json"
"""In `schemas/`, for editors: the manifest's schema with the models there."""

TO = click.option(
    "--to",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    metavar="FOLDER",
    help="The manifest's folder; the models are in schemas/ there. By default, this folder.",
)


@click.command()
@click.argument("model")
@TO
@click.option("--force", is_flag=True, help="Replace the schema that is there, if it differs.")
@click.option(
    "--makes",
    type=click.Choice(["image", "video", "audio"]),
    help="What the model makes, if its categories do not say.",
)
@EMULATOR
@JSON
def add(
    model: str, folder: Path, force: bool, makes: str | None, emulator: bool, as_json: bool
) -> int:
    """Write a model's published schema beside a manifest, which can then name the model."""
    from batchgen.models.adding import known_model, write_model
    from batchgen.runs.vendor_catalogue import fetch

    schemas = schemas_in(folder)
    _refuse_other_names(model)
    entry = fetch(desk_for(emulator, schemas), [model])[model]
    found = _published(model, entry, makes)
    known = known_model(schemas, model)
    change = _change(known, found)
    if known is not None and change.sentences and not force:
        changed = "\n".join(f"  {one}" for one in change.sentences)
        raise UsageError(
            f"{model} is in {schemas} already, and the vendor's is another one:\n{changed}",
            next_step="add --force to replace it",
        )
    if known is None or change.sentences:
        write_model(schemas, found)
    _write_editor_schema(schemas)
    if as_json:
        print_json(change.to_json())
    else:
        print_text("\n".join(_added_lines(change, schemas)))
    return ExitCode.DONE


@click.command()
@click.argument("names", metavar="[MODEL]...", nargs=-1)
@TO
@click.option("--dry-run", is_flag=True, help="Show what changed, and leave the files as they are.")
@EMULATOR
@JSON
def update(
    names: tuple[str, ...], folder: Path, dry_run: bool, emulator: bool, as_json: bool
) -> int:
    """Fetch the schemas of the models beside a manifest again, and show what changed."""
    from batchgen.models.adding import known_model, write_model
    from batchgen.models.own_models import own_ids
    from batchgen.runs.vendor_catalogue import fetch

    schemas = schemas_in(folder)
    there = own_ids(schemas)
    if missing := [name for name in names if name not in there]:
        raise UsageError(
            f"{missing[0]} is not in {schemas}", next_step=f"batchgen models add {missing[0]}"
        )
    entries = fetch(desk_for(emulator, schemas), names or there)
    changes = []
    for model_id, entry in entries.items():
        known = known_model(schemas, model_id)
        makes = known.model.about.get("makes") if known is not None and known.model else None
        found = _published(model_id, entry, makes)
        change = _change(known, found)
        changes.append(change)
        if change.sentences and not dry_run:
            write_model(schemas, found)
    if not dry_run:
        _write_editor_schema(schemas)
    if as_json:
        print_json([one.to_json() for one in changes])
    else:
        print_text("\n".join(_updated_lines(changes, schemas, dry_run=dry_run)))
    return ExitCode.DONE


@dataclass(frozen=True, slots=True)
class _Change:
    """What is new to a model; `is_new` if it was not there at all."""

    model: Model
    sentences: tuple[str, ...]
    is_new: bool

    def to_json(self) -> dict[str, JsonValue]:
        return {**model_json(self.model), "new": self.is_new, "changes": [*self.sentences]}


def _change(known: Known | None, found: Model) -> _Change:
    from batchgen.models.adding import price_changes
    from batchgen.runs.drift import schema_differences

    if known is None:
        return _Change(found, (), is_new=True)
    before = known.model
    if before is None:
        return _Change(found, (f"the schema there cannot be used: {known.trouble}",), is_new=False)
    sentences = schema_differences(before.schema, dict(found.schema), "added")
    sentences += price_changes(before.about, found.about)
    if not sentences and (before.schema, before.about) != (found.schema, found.about):
        sentences = ["only titles, descriptions and the like"]
    return _Change(found, tuple(sentences), is_new=False)


def _added_lines(change: _Change, schemas: Path) -> Iterator[str]:
    from batchgen.models.own_models import schema_path

    model = change.model
    path = schema_path(schemas, model.id)
    if change.is_new:
        yield f"added {model.id}: {path}"
    else:
        yield f"{'replaced' if change.sentences else 'unchanged'}: {path}"
        yield from (f"  {one}" for one in change.sentences)
    yield f"  {summary_of(model)}"
    yield f"  → batchgen models {model.id} shows every field; a manifest names it by its id"


def _updated_lines(changes: list[_Change], schemas: Path, *, dry_run: bool) -> Iterator[str]:
    if not changes:
        yield f"there are no models in {schemas}"
        yield "  → batchgen models add MODEL"
        return
    for one in changes:
        yield f"{one.model.id}: {'changed' if one.sentences else 'unchanged'}"
        yield from (f"  {sentence}" for sentence in one.sentences)
    count = sum(bool(one.sentences) for one in changes)
    if count and dry_run:
        yield f"{plural(count, 'schema')} would be replaced"


def schemas_in(folder: Path) -> Path:
    """The `schemas` folder beside a manifest in `folder`, which may be that folder itself."""
    from batchgen.models.own_models import SCHEMAS

    return folder if folder.name == SCHEMAS else folder / SCHEMAS


def desk_for(emulator: bool, schemas: Path) -> Desk:
    from batchgen.runs.vendor_catalogue import Desk

    folders = dict.fromkeys(schemas_in(one).absolute() for one in (Path(), schemas))
    there = tuple(one for one in folders if one.is_dir())
    return Desk(os.environ, _home(), emulator, there)


def _home() -> Path:
    try:
        return Path.home()
    except RuntimeError:
        return Path(os.devnull)


def _refuse_other_names(name: str) -> None:
    from batchgen.models.catalog import bundled
    from batchgen.models.own_models import is_model_id

    if bundled().find(name) is not None:
        raise UsageError(f"{name} comes with batchgen", next_step="name it in a manifest")
    if not is_model_id(name):
        raise UsageError(
            f"'{name}' is not the id of a model, such as OWNER/NAME",
            next_step="batchgen models --search WORD lists ids",
        )


def _published(model_id: str, entry: JsonObject, makes: str | None) -> Model:
    from batchgen.models.adding import published_model
    from batchgen.models.catalog import Makes
    from batchgen.models.own_models import BadSchemaError

    try:
        return published_model(model_id, entry, None if makes is None else Makes(makes))
    except BadSchemaError as exc:
        unclear = "not clear what the model makes" in str(exc)
        raise InputError(
            f"{model_id} cannot be used: {exc}",
            next_step="add --makes image, video or audio"
            if unclear
            else "nothing was written; batchgen does not know such schemas yet",
        ) from exc


def _write_editor_schema(schemas: Path) -> None:
    from batchgen.fs import disk_errors, own_part, publishing
    from batchgen.manifest.editor_schema import editor_schema, schema_text
    from batchgen.manifest.schema_validation import read_schema, written_by_hand
    from batchgen.models.catalog import bundled
    from batchgen.models.own_models import read_own

    models, _ = read_own(schemas)
    if not models:
        return
    catalog = bundled().with_models(models)
    text = schema_text(editor_schema(written_by_hand(read_schema()), catalog))
    path = schemas / EDITOR_SCHEMA
    with disk_errors(path), publishing(path, own_part(path)) as file:
        file.write(text.encode())


def price_of(about: Any) -> str:
    if about.get("base_price_usd") is None or not about.get("price_unit"):
        return ""
    return plain_text(f"{about['base_price_usd']} USD per {about['price_unit']}")


def summary_of(model: Model) -> str:
    from batchgen.models.catalog import plural_of

    required = ", ".join(field.name for field in model.fields if field.required)
    parts = (f"makes {plural_of(model.makes)}", f"needs {required}", price_of(model.about))
    return " · ".join(filter(None, parts))


def model_json(model: Model) -> dict[str, JsonValue]:
    found: dict[str, JsonValue] = {
        "id": model.id,
        "makes": model.makes.value,
        "input_schema": dict(model.schema),
    }
    return {**found, "about": dict(model.about)} if model.about else found
