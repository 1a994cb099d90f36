"""Opens a data file with the reader for its extension."""

from __future__ import annotations

import hashlib
import os
import stat
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from batchgen.errors import InputError, MissingFileError
from batchgen.manifest.rows.base import Lines, cannot_read, text_rows
from batchgen.manifest.rows.csv_rows import csv_rows, tsv_rows
from batchgen.manifest.rows.file_rows import file_rows
from batchgen.manifest.rows.json_rows import json_list_rows, json_rows
from batchgen.manifest.rows.parquet_rows import parquet_rows
from batchgen.models.messages import format_value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from io import BufferedReader
    from pathlib import Path

    from batchgen.manifest.rows.base import Rows
    from batchgen.manifest.rows.sources import RowSource

# Line breaks are not translated in CSV: inside quotes they belong to the value.
_READERS: Mapping[str, tuple[Callable[[Lines], Rows], str | None]] = {
    ".csv": (csv_rows, ""),
    ".tsv": (tsv_rows, ""),
    ".txt": (text_rows, None),
    ".json": (json_list_rows, None),
    ".jsonl": (json_rows, "\n"),
    ".ndjson": (json_rows, "\n"),
}
_SPREADSHEETS = frozenset({".xlsx", ".xls", ".xlsm", ".ods", ".numbers"})
_FROM_SPREADSHEET = "save the sheet as .csv in UTF-8 (Excel calls it 'CSV UTF-8')"
ENDINGS = (*_READERS, ".parquet")


@contextmanager
def open_source(source: RowSource) -> Iterator[Rows]:
    """Open a data file, or list the files of a pattern. Raises as `open_rows`."""
    if "://" in source.written:
        hint = "download it first; URLs can be a column of a data file, a row for each"
        raise InputError("from takes files of this machine", where=source.written, next_step=hint)
    if source.are_files:
        yield file_rows(source)
        return
    # `Path.is_dir` would raise for a name that is too long, or in a folder that may not be read.
    if os.path.isdir(source.path):  # noqa: PTH112 - see above
        written = source.written.rstrip("/")
        hint = f"write {written}/*, which takes each picture, video and sound in it"
        raise MissingFileError("this is a folder", where=str(source.path), next_step=hint)
    with open_rows(source.path) as rows:
        yield rows


@contextmanager
def open_rows(path: Path) -> Iterator[Rows]:
    """Open a data file, relative to the working directory.

    Raises MissingFileError, and InputError if the whole file is unreadable. StorageError may also
    be raised while the rows are read.
    """
    ending = path.suffix.lower()
    if ending not in ENDINGS:
        what = (
            f"a data file cannot end in {format_value(ending)}"
            if ending
            else "its name has no extension"
        )
        known = f"known: {', '.join(ENDINGS)}"
        hint = _FROM_SPREADSHEET if ending in _SPREADSHEETS else known
        raise InputError(what, where=str(path), next_step=hint)
    with _opened(path) as file:
        if ending == ".parquet":
            yield parquet_rows(file, path)
            return
        read, newline = _READERS[ending]
        with closing(Lines(file, path, newline)) as lines:
            yield read(lines)


def fingerprint(path: Path) -> str:
    """Return the SHA-256 of a file. Raises MissingFileError, StorageError."""
    with _opened(path) as file:
        try:
            return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as exc:
            raise cannot_read(path, exc) from exc


@contextmanager
def _opened(path: Path) -> Iterator[BufferedReader]:
    """Translate errors of opening only: an error in the caller is not the file's."""
    try:
        kind = path.stat().st_mode
        if stat.S_ISDIR(kind):
            raise MissingFileError("this is a folder", where=str(path), next_step="name a file")
        if not stat.S_ISREG(kind):
            # Opening a pipe would block, and it cannot be read twice.
            hint = "write the rows into a file first"
            raise InputError("this is not a regular file", where=str(path), next_step=hint)
        file = path.open("rb")
    except FileNotFoundError as exc:
        hint = "the path is relative to the manifest"
        raise MissingFileError("there is no such file", where=str(path), next_step=hint) from exc
    except (OSError, ValueError) as exc:
        reason = getattr(exc, "strerror", None) or str(exc)
        what = f"the file cannot be read: {reason}"
        hint = "check the path and its permissions"
        raise MissingFileError(what, where=str(path), next_step=hint) from exc
    with file:
        yield file
