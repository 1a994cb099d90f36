"""The export's own memory, beside what it makes: the rows as planned, and the units that are done.

A database, since neither fits into memory for a million results.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING

from batchgen.errors import BatchgenError, DiskFullError, LockedError, OutputError, StorageError
from batchgen.export.rows import Row
from batchgen.state.results import Result

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

SCHEMA = """
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS about (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
-- The plan, made anew by each export; `result` is a JSON array of a Result's fields.
DROP TABLE IF EXISTS row;
CREATE TABLE row (
    number    INTEGER PRIMARY KEY,
    split     TEXT NOT NULL,
    kind      TEXT NOT NULL,
    extension TEXT NOT NULL,
    model     TEXT NOT NULL,
    bytes     INTEGER NOT NULL,
    result    TEXT NOT NULL
) STRICT;
-- What is published. `key` says what it was made of; `wanted`: by the export at work.
CREATE TABLE IF NOT EXISTS unit (
    path   TEXT PRIMARY KEY,
    key    TEXT NOT NULL,
    bytes  INTEGER NOT NULL,
    wanted INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
COMMIT;
"""


@dataclass(frozen=True, slots=True)
class Count:
    """How many files, and how many bytes they have, by split, kind, extension and model."""

    split: str
    kind: str
    extension: str
    model: str
    files: int
    bytes: int


class Journal:
    """Nothing is durable before `commit`, and what it names must be durable by then."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def about(self, key: str) -> str | None:
        row = self._db.execute("SELECT value FROM about WHERE key = ?", (key,)).fetchone()
        return row[0] if row else None

    def tell(self, key: str, value: str) -> None:
        self._db.execute("INSERT OR REPLACE INTO about VALUES (?, ?)", (key, value))

    def has_units(self) -> bool:
        """Whether anything was made yet."""
        return self._db.execute("SELECT 1 FROM unit LIMIT 1").fetchone() is not None

    def plan(self, rows: Iterable[Row]) -> None:
        """Fill the plan; no unit is wanted until somebody asks for it."""
        self._db.execute("UPDATE unit SET wanted = 0")
        self._db.executemany(
            "INSERT INTO row (split, kind, extension, model, bytes, result)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            (_stored(row) for row in rows),
        )

    def rows(
        self,
        split: str | None = None,
        kind: str | None = None,
        extension: str | None = None,
        first: int = 1,
        last: int = 2**62,
    ) -> Iterator[tuple[int, Row]]:
        """Planned rows with their numbers, which `first` and `last` bound."""
        found = self._db.execute(
            "SELECT number, split, result FROM row WHERE number BETWEEN ? AND ?"
            " AND split = coalesce(?, split) AND kind = coalesce(?, kind)"
            " AND extension = coalesce(?, extension) ORDER BY number",
            (first, last, split, kind, extension),
        )
        return ((number, Row(name, Result(*json.loads(text)))) for number, name, text in found)

    def counts(self) -> list[Count]:
        found = self._db.execute(
            "SELECT split, kind, extension, model, count(*), sum(bytes) FROM row"
            " GROUP BY split, kind, extension, model ORDER BY min(number)"
        )
        return [Count(*row) for row in found]

    def want(self, path: str) -> tuple[str, int] | None:
        """Keep this unit; give `(key, bytes)` of the one that is published."""
        self._db.execute("UPDATE unit SET wanted = 1 WHERE path = ?", (path,))
        row: tuple[str, int] | None = self._db.execute(
            "SELECT key, bytes FROM unit WHERE path = ?", (path,)
        ).fetchone()
        return row

    def published(self, path: str, key: str, size: int) -> None:
        self._db.execute("INSERT OR REPLACE INTO unit VALUES (?, ?, ?, 1)", (path, key, size))

    def unwanted(self) -> list[str]:
        return [path for (path,) in self._db.execute("SELECT path FROM unit WHERE wanted = 0")]

    def forget_unwanted(self) -> None:
        self._db.execute("DELETE FROM unit WHERE wanted = 0")

    def commit(self) -> None:
        self._db.commit()


def _stored(row: Row) -> tuple[str, str, str, str, int, str]:
    result = row.result
    held = json.dumps(astuple(result))
    return row.split, row.kind.value, row.extension, result.model, result.bytes, held


@contextmanager
def opened_journal(path: Path) -> Iterator[Journal]:
    """Hold the journal alone.

    Raises LockedError where another export is at work, OutputError, StorageError, DiskFullError.
    """
    db = None
    try:
        db = sqlite3.connect(path, timeout=0)
        # Held from the first write until it is closed, also by a process that dies.
        db.execute("PRAGMA locking_mode = EXCLUSIVE")
        db.executescript(SCHEMA)
        yield Journal(db)
        db.commit()
    except sqlite3.Error as exc:
        raise _translated(exc, path) from exc
    finally:
        if db is not None:
            db.close()


def _translated(exc: sqlite3.Error, path: Path) -> BatchgenError:
    """What an error of SQLite means here (sqlite.org/rescode.html)."""
    where = str(path)
    match (getattr(exc, "sqlite_errorcode", None) or 0) & 0xFF:
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return LockedError(
                "another export is at work in this folder",
                where=where,
                next_step="wait for it, or name another folder",
            )
        case sqlite3.SQLITE_FULL:
            next_step = "make room; the same command continues"
            return DiskFullError("the disk is full", where=where, next_step=next_step)
        case sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM:
            next_step = "check the folder and its permissions"
            what = f"the export's journal cannot be written: {exc}"
            return OutputError(what, where=where, next_step=next_step)
        case _:
            next_step = "remove the export's folder, then give the same command again"
            what = f"the export's journal is not sound: {exc}"
            return StorageError(what, where=where, next_step=next_step)
