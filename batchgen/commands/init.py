"""`batchgen init`: a commented manifest to start from, for a model and a data file if asked."""

from __future__ import annotations

import os
from pathlib import Path

from batchgen.commands.console import plural, say
from batchgen.errors import OutputError, UsageError
from batchgen.manifest.starters.manifests import model_manifest, rows_manifest, starter_manifest
from batchgen.manifest.starters.preview import DataFile, preview_rows
from batchgen.models.catalog import Model, catalog, named_model, nearest_model
from batchgen.text import command_line


def init(path: Path, model: str | None = None, rows: Path | None = None) -> int:
    """Write the manifest; an existing file stays as it is.

    Raises UsageError, OutputError; for the data file InputError, MissingFileError, StorageError.
    """
    wanted = None if model is None else _find(model)
    if rows is not None and wanted is None:
        raise UsageError(
            "--from needs --model: which keys a row can fill depends on it",
            next_step=f"add one of: {', '.join(f'--model {one.alias}' for one in _models())}",
        )
    data = None if rows is None else preview_rows(rows)
    _write(path, _text(path, wanted, rows, data))
    say(f"{path} is written.")
    if data is not None and data.bad:
        bad = plural(data.bad, "bad row")
        say(f"  → {bad} in {rows}: {command_line('validate', path)} shows what is wrong")
    say(f"  → try it without token and money: {command_line('run', path, emulator=True)}")
    return 0


def _text(path: Path, model: Model | None, rows: Path | None, data: DataFile | None) -> str:
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
            "the file exists already, and stays as it is",
            where=str(path),
            next_step="name another file: batchgen init other.yaml",
        ) from exc
    except OSError as exc:
        raise OutputError(
            f"the manifest cannot be written: {exc.strerror}",
            where=str(path),
            next_step="check the folder and its permissions",
        ) from exc


def _models() -> list[Model]:
    return list(catalog().values())


def _find(word: str) -> Model:
    model = named_model(word)
    if model is None:
        raise UsageError(
            f"there is no model '{word}'",
            where="--model",
            next_step=nearest_model(word) or "batchgen models lists them",
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
