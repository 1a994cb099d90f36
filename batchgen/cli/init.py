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
    from batchgen.manifest.starters.preview import DataFile
    from batchgen.models.catalog import Model


@click.command()
@click.argument("manifest", type=click.Path(path_type=Path), default="manifest.yaml")
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
    help="Make a job of each row of a data file: CSV, TSV, JSON, JSON Lines, Parquet or .txt.",
)
def init(manifest: Path, model: str | None, rows: Path | None) -> int:
    """Write a commented manifest to start from."""
    from batchgen.manifest.starters.preview import preview_rows

    wanted = None if model is None else _find(model)
    if rows is not None and wanted is None:
        raise UsageError(
            "--from needs --model: which keys a row can fill depends on it",
            next_step=f"add one of: {', '.join(_model_options())}",
        )
    data = None if rows is None else preview_rows(rows)
    _write(manifest, _text(manifest, wanted, rows, data))
    print_text(f"created {manifest}")
    if data is not None and data.bad:
        bad = plural(data.bad, "bad row")
        shows = f"{command_line('validate', manifest)} shows what is wrong"
        print_text(f"  → {bad} in {rows}: {shows}")
    command = command_line("run", manifest, emulator=True)
    print_text(f"  → try it without a token or money: {command}")
    return 0


def _text(path: Path, model: Model | None, rows: Path | None, data: DataFile | None) -> str:
    from batchgen.manifest.starters.manifests import (
        model_manifest,
        rows_manifest,
        starter_manifest,
    )

    if model is None:
        return starter_manifest(path.stem)
    if rows is None or data is None:
        return model_manifest(path.stem, model)
    return rows_manifest(path.stem, model, _seen_from(path, rows), data)


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


def _model_options() -> list[str]:
    from batchgen.models.catalog import catalog

    return [f"--model {one.alias}" for one in catalog().values()]


def _find(name: str) -> Model:
    from batchgen.models.catalog import named_model, nearest_model

    model = named_model(name)
    if model is None:
        raise UsageError(
            f"unknown model '{name}'",
            where="--model",
            next_step=nearest_model(name) or "batchgen models lists them",
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
