"""`batchgen init`: a commented manifest to start from, for a model and a data file if asked."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from batchgen.cli.completion import complete_words
from batchgen.cli.console import print_text
from batchgen.cli.options import models_and_short_names
from batchgen.errors import OutputError, UsageError
from batchgen.text import command_line, plural

if TYPE_CHECKING:
    from batchgen.manifest.rows import RowSource
    from batchgen.models.catalog import Catalog, Model

EDIT = "bytedance/dreamina-4-0/edit"
"""The model for own files, unless another is named."""


@click.command()
@click.argument("manifest", type=click.Path(path_type=Path), default="manifest.yaml")
@click.argument("unquoted", nargs=-1, metavar="")
@click.option(
    "--model",
    metavar="MODEL",
    shell_complete=complete_words(models_and_short_names),
    help="Write it for this model: an id, or t2i, edit, i2v.",
)
@click.option(
    "--from",
    "rows",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Make a job of each row of a data file (CSV, TSV, JSON, JSON Lines, Parquet or .txt), or"
    " of each file of a folder or pattern, such as 'photos/*.jpg' in quotes.",
)
def init(manifest: Path, unquoted: tuple[str, ...], model: str | None, rows: Path | None) -> int:
    """Write a commented manifest to start from."""
    _refuse_unquoted(manifest, unquoted)
    files = None if rows is None else _files_source(rows)
    if files is not None:
        text, bad = _of_files(manifest, _find(model or EDIT, manifest), files)
    else:
        wanted = None if model is None else _find(model, manifest)
        text, bad = _of_rows(manifest, wanted, rows)
    _write(manifest, text)
    print_text(f"created {manifest}")
    if bad:
        shows = f"{command_line('validate', manifest)} shows what is wrong"
        print_text(f"  → {bad} in {rows}: {shows}")
    command = command_line("run", manifest, emulator=True)
    print_text(f"  → try it without a token or money: {command}")
    return 0


def _of_files(manifest: Path, model: Model, source: RowSource) -> tuple[str, str]:
    from batchgen.manifest.starters.manifests import files_manifest
    from batchgen.manifest.starters.preview import preview_files

    found = preview_files(source)
    written = source.written
    if not written.startswith("~/"):
        written = _seen_from(manifest, Path(written))
    text = files_manifest(manifest.stem, model, written, found)
    return text, plural(found.bad, "bad file") if found.bad else ""


def _of_rows(manifest: Path, model: Model | None, rows: Path | None) -> tuple[str, str]:
    """The text of a manifest, and how many rows are bad, if some are."""
    from batchgen.manifest.starters.manifests import (
        model_manifest,
        rows_manifest,
        starter_manifest,
    )
    from batchgen.manifest.starters.preview import preview_rows

    if rows is None:
        name = manifest.stem
        return (model_manifest(name, model) if model else starter_manifest(name)), ""
    if model is None:
        raise UsageError(
            "--from needs --model: which keys a row can fill depends on it",
            next_step=f"add one of: {', '.join(_model_options(manifest))}",
        )
    data = preview_rows(rows)
    text = rows_manifest(manifest.stem, model, _seen_from(manifest, rows), data)
    return text, plural(data.bad, "bad row") if data.bad else ""


def _files_source(rows: Path) -> RowSource | None:
    """The pictures, videos and sounds that are meant, if not a data file."""
    from batchgen.manifest.rows.sources import row_source

    source = row_source(str(rows / "*" if rows.is_dir() else rows), Path())
    return source if source.are_files else None


def _refuse_unquoted(manifest: Path, more: tuple[str, ...]) -> None:
    """A shell replaces a pattern that is not in quotes by the names of the files."""
    from batchgen.manifest.rows.sources import is_media

    if more or is_media(manifest.name):
        what = f"unexpected: {' '.join(more[:3])}" if more else f"{manifest} is no manifest"
        raise UsageError(
            what,
            next_step="put a pattern in quotes: batchgen init --from 'photos/*.jpg'",
        )


def _write(path: Path, text: str) -> None:
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as exc:
        raise UsageError(
            "the file already exists, and stays as it is",
            where=str(path),
            next_step="name another file: batchgen init other.yaml",
        ) from exc
    except OSError as exc:
        raise OutputError(
            f"the manifest cannot be written: {exc.strerror}",
            where=str(path),
            next_step="check the folder and its permissions",
        ) from exc


def _model_options(manifest: Path) -> list[str]:
    catalog = _catalog_beside(manifest)
    return [f"--model {catalog.names_of(one)[-1]}" for one in catalog.models.values()]


def _catalog_beside(manifest: Path) -> Catalog:
    from batchgen.models.own_models import SCHEMAS, catalog_with

    return catalog_with(manifest.parent / SCHEMAS)


def _find(name: str, manifest: Path) -> Model:
    catalog = _catalog_beside(manifest)
    model = catalog.named(name)
    if model is None:
        raise UsageError(
            f"unknown model '{name}'",
            where="--model",
            next_step=catalog.nearest(name) or "batchgen models lists them",
        )
    return model


def _seen_from(manifest: Path, rows: Path) -> str:
    """Name the data file relative to the manifest, as the manifest must."""
    # Folders are resolved, since `..` after a link leads elsewhere; the file's own name stays.
    target = rows.parent.resolve() / rows.name
    try:
        return Path(os.path.relpath(target, manifest.parent.resolve())).as_posix()
    except ValueError:  # on Windows another drive has no relative path
        return target.as_posix()
