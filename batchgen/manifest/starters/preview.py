"""Reads the first rows of a data file, or lists files, to write a manifest that fits them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from batchgen.errors import InputError
from batchgen.manifest.rows import BadRow, Row, open_rows, open_source
from batchgen.manifest.rows.file_rows import CAPTION

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from batchgen.jobs import JsonValue
    from batchgen.manifest.rows import RowSource


MOST_ROWS = 100_000
"""Rows that are read; their ids stay in memory, to see whether they are unique."""
MOST_COLUMNS = 1000
ID_NAMES = ("id", "name", "key", "slug", "sku")
LONGEST_ID = 200

_UNFIT_FOR_ID = re.compile("[\u0000-\u001f\u007f-\u009f\u2028\u2029]")


@dataclass(slots=True)
class Column:
    """`present` rows have the column. `empty`: some row has '' in it."""

    name: str
    present: int = 0
    empty: bool = False
    holds_lists: bool = False

    def add(self, value: JsonValue) -> None:
        self.present += 1
        if value == "":
            self.empty = True
        elif isinstance(value, list):
            self.holds_lists = True


@dataclass(frozen=True, slots=True)
class DataFile:
    """`rows` good rows and `bad` ones were read; `whole` if there are no more.

    `id_column` has a usable id in every good row, and no id twice.
    """

    columns: tuple[Column, ...]
    rows: int
    bad: int
    whole: bool
    id_column: Column | None

    def lacks_some(self, column: Column) -> bool:
        return column.present < self.rows


class _Ids:
    """Whether a column's values are usable as ids, and unique."""

    def __init__(self) -> None:
        self._seen: set[str] = set()
        self.usable = True

    def add(self, value: JsonValue) -> None:
        if not self.usable:
            return
        text = str(value) if _is_usable(value) else ""
        self.usable = bool(text) and text not in self._seen
        self._seen.add(text)


class _Preview:
    def __init__(self) -> None:
        self.columns: dict[str, Column] = {}
        self.ids: dict[str, _Ids] = {}
        self.rows = 0
        self.bad: BadRow | None = None
        self.bad_count = 0

    def add(self, values: Mapping[str, JsonValue]) -> None:
        self.rows += 1
        for name, value in values.items():
            if name not in self.columns:
                if len(self.columns) == MOST_COLUMNS:
                    continue
                self._begin(name)
            self.columns[name].add(value)
            if name in self.ids:
                self.ids[name].add(value)

    def add_bad(self, row: BadRow) -> None:
        self.bad = self.bad or row
        self.bad_count += 1

    def id_column(self) -> Column | None:
        usable = [
            self.columns[name]
            for name, ids in self.ids.items()
            if ids.usable and self.columns[name].present == self.rows
        ]
        return min(usable, key=lambda one: ID_NAMES.index(one.name.lower()), default=None)

    def _begin(self, name: str) -> None:
        self.columns[name] = Column(name)
        if name.lower() in ID_NAMES:
            self.ids[name] = _Ids()


@dataclass(frozen=True, slots=True)
class FoundFiles:
    """What a pattern finds: `files`, of which some have captions, and `bad` ones."""

    files: int
    captions: int
    bad: int
    first: str


def preview_files(source: RowSource) -> FoundFiles:
    """Raises InputError if there is no such file."""
    with open_source(source) as rows:
        found = list(islice(rows, MOST_ROWS))
    good = [one for one in found if isinstance(one, Row)]
    captions = sum(CAPTION in one.values for one in good)
    first = good[0].slug if good else ""
    return FoundFiles(len(good), captions, len(found) - len(good), first)


def preview_rows(path: Path) -> DataFile:
    """Read the first rows. Raises MissingFileError, StorageError, InputError if no row is good."""
    preview, whole = _Preview(), True
    with open_rows(path) as rows:
        for count, row in enumerate(rows):
            if count == MOST_ROWS:
                whole = False
                break
            if isinstance(row, BadRow):
                preview.add_bad(row)
            else:
                preview.add(row.values)
    if preview.rows == 0:
        raise _no_row(path, preview.bad)
    columns = tuple(preview.columns.values())
    return DataFile(columns, preview.rows, preview.bad_count, whole, preview.id_column())


def find_column(columns: Iterable[Column], names: Iterable[str]) -> Column | None:
    """Find the column with the first of these names that exists, ignoring case."""
    by_lower = {column.name.lower(): column for column in columns}
    return next((by_lower[name] for name in names if name in by_lower), None)


def _is_usable(value: JsonValue) -> bool:
    """Whether the value can be an id, as a text or an integer."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return False
    text = str(value)
    return len(text) <= LONGEST_ID and text.strip() == text and not _UNFIT_FOR_ID.search(text)


def _no_row(path: Path, bad: BadRow | None) -> InputError:
    if bad is None:
        hint = "a manifest needs at least one row"
        return InputError("the file has no rows", where=str(path), next_step=hint)
    return InputError(bad.message, where=f"{path}:{bad.line}", next_step=bad.hint)
