"""A look at the first rows of a data file, for a manifest that fits it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from batchgen.errors import InputError
from batchgen.manifest.rows import BadRow, open_rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from batchgen.jobs import JsonValue


LOOKED_AT = 100_000
"""Rows. More are not read: the ids of these are in memory, to see whether they are unique."""
MOST_COLUMNS = 1000
ID_NAMES = ("id", "name", "key", "slug", "sku")
LONGEST_ID = 200

_UNFIT_FOR_ID = re.compile("[\u0000-\u001f\u007f-\u009f\u2028\u2029]")


@dataclass(slots=True)
class Column:
    """What was seen of a column. `empty`: '' in some row; `absent`: some row has no such key."""

    name: str
    present: int = 0
    empty: bool = False
    holds_lists: bool = False

    def see(self, value: JsonValue) -> None:
        self.present += 1
        if value == "":
            self.empty = True
        elif isinstance(value, list):
            self.holds_lists = True


@dataclass(frozen=True, slots=True)
class DataFile:
    """`rows` good rows were looked at, and `bad` ones; `whole` unless there are more.

    `id_column` has a usable id in each of them, and none twice.
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
        self.sound = True

    def see(self, value: JsonValue) -> None:
        if not self.sound:
            return
        text = str(value) if _is_usable(value) else ""
        self.sound = bool(text) and text not in self._seen
        self._seen.add(text)


class _Look:
    def __init__(self) -> None:
        self.columns: dict[str, Column] = {}
        self.ids: dict[str, _Ids] = {}
        self.rows = 0
        self.bad: BadRow | None = None
        self.bad_count = 0

    def see(self, values: Mapping[str, JsonValue]) -> None:
        self.rows += 1
        for name, value in values.items():
            if name not in self.columns:
                if len(self.columns) == MOST_COLUMNS:
                    continue
                self._begin(name)
            self.columns[name].see(value)
            if name in self.ids:
                self.ids[name].see(value)

    def see_bad(self, row: BadRow) -> None:
        self.bad = self.bad or row
        self.bad_count += 1

    def id_column(self) -> Column | None:
        sound = [
            self.columns[name]
            for name, ids in self.ids.items()
            if ids.sound and self.columns[name].present == self.rows
        ]
        return min(sound, key=lambda one: ID_NAMES.index(one.name.lower()), default=None)

    def _begin(self, name: str) -> None:
        self.columns[name] = Column(name)
        if name.lower() in ID_NAMES:
            self.ids[name] = _Ids()


def look_at(path: Path) -> DataFile:
    """Read the first rows. Raises MissingFileError, StorageError; InputError without a good row."""
    look, whole = _Look(), True
    with open_rows(path) as rows:
        for count, row in enumerate(rows):
            if count == LOOKED_AT:
                whole = False
                break
            if isinstance(row, BadRow):
                look.see_bad(row)
            else:
                look.see(row.values)
    if look.rows == 0:
        raise _no_row(path, look.bad)
    columns = tuple(look.columns.values())
    return DataFile(columns, look.rows, look.bad_count, whole, look.id_column())


def first_named(columns: Iterable[Column], names: Iterable[str]) -> Column | None:
    """Find a column by the first of the names that one has, in any case of letters."""
    by_lower = {column.name.lower(): column for column in columns}
    return next((by_lower[name] for name in names if name in by_lower), None)


def _is_usable(value: JsonValue) -> bool:
    """Say whether an id may be so; a number is written as JSON writes it."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return False
    text = str(value)
    return len(text) <= LONGEST_ID and text.strip() == text and not _UNFIT_FOR_ID.search(text)


def _no_row(path: Path, bad: BadRow | None) -> InputError:
    if bad is None:
        hint = "a manifest needs at least one row"
        return InputError("the file has no rows", where=str(path), next_step=hint)
    return InputError(bad.message, where=f"{path}:{bad.line}", next_step=bad.hint)
