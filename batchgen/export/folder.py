"""The folder of an export, and the journal in it.

The folder is used only if it is empty or an export's, and is filled by renames: a file with its
final name is complete. The journal holds the planned rows and the finished units; it is a database,
because neither fits into memory for a million results.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from contextlib import contextmanager
from dataclasses import astuple, dataclass, replace
from typing import TYPE_CHECKING

from batchgen.errors import (
    BatchgenError,
    DiskFullError,
    LockedError,
    OutputError,
    StorageError,
    UsageError,
)
from batchgen.export.making import PART
from batchgen.export.rows import Row
from batchgen.fs import disk_errors, open_to_read, symlink_error, sync_folder
from batchgen.state.database import Connection, DatabaseError, Fault, fault_of, open_side_file
from batchgen.state.records import Result
from batchgen.storage.locations import FolderLocation
from batchgen.storage.stamps import FILES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from batchgen.export.making import Made
    from batchgen.storage.locations import Location


PAGE = 500
WORK = ".batchgen-export"
"""Hidden, because dataset loaders skip such folders."""


class FolderDestination:
    """Raises OutputError, StorageError, DiskFullError."""

    bucket = None

    def __init__(self, root: Path) -> None:
        self.location = FolderLocation(root)
        self.root = root
        # Absolute, for workers of a cluster.
        self.parts = self._work = root.absolute() / WORK
        self._touched: set[Path] = set()

    @property
    def journal(self) -> Path:
        return self._work / "journal.db"

    def claim(self, results: Location, _origin: str) -> None:
        """Create the folder, or reuse an export's. Raises UsageError for any other."""
        inside = (self.root.resolve() / "x").parents
        if isinstance(results, FolderLocation) and (results.root / FILES).resolve() in inside:
            raise self._refused("that is where the run keeps its files")
        with disk_errors(self.root):
            if self.root.exists() and not self.root.is_dir():
                raise self._refused("there is already a file")
            self.root.mkdir(parents=True, exist_ok=True)
            is_ours = self._work.is_dir() and not self._work.is_symlink()
            if not is_ours and any(self.root.iterdir()):
                raise self._refused("the folder holds files that batchgen did not export")
            self._work.mkdir(exist_ok=True)

    def begin(self, _journal: Journal) -> None:
        """Remove the temporary files of an interrupted export. Requires the journal's lock."""
        remove_parts(self.parts)

    def holds(self, path: str, size: int) -> bool:
        """Whether `path` is a plain file of this size."""
        with disk_errors(self.root / path):
            try:
                found = (self.root / path).lstat()
            except (FileNotFoundError, NotADirectoryError):
                return False
        return stat.S_ISREG(found.st_mode) and found.st_size == size

    def publish(self, made: Made, path: str) -> None:
        """Give a complete file its final name. `sync` makes it durable."""
        final = self.root / path
        assert made.part is not None
        with disk_errors(final):
            self._make_folders(final.parent)
            made.part.replace(final)
            # If both are hard links to one file, a rename does nothing (POSIX) and leaves the part.
            made.part.unlink(missing_ok=True)

    def digest(self, path: str) -> str | None:
        with disk_errors(self.root / path):
            try:
                with open_to_read(self.root / path) as file:
                    return hashlib.file_digest(file, "sha256").hexdigest()
            except FileNotFoundError:
                return None

    def remove(self, path: str) -> None:
        """Remove a file of the export, and folders that become empty."""
        final = self.root / path
        with disk_errors(final):
            final.unlink(missing_ok=True)
            for folder in final.parents:
                if folder == self.root or not folder.is_dir() or any(folder.iterdir()):
                    return
                folder.rmdir()
                self._touched.discard(folder)

    def sync(self) -> None:
        """Make all renames so far durable."""
        while self._touched:
            folder = self._touched.pop()
            with disk_errors(folder):
                sync_folder(folder, os.fsync)

    def finish(self, _journal: Journal) -> None:
        """Remove what workers of a cluster left that died; the journal is in the folder."""
        remove_parts(self.parts)

    def _make_folders(self, folder: Path) -> None:
        if folder in self._touched:
            return
        folder.mkdir(parents=True, exist_ok=True)
        while folder != self.root:
            # Through a link, files would be written somewhere else.
            if folder.is_symlink():
                raise symlink_error(folder)
            self._touched.add(folder)
            folder = folder.parent
        self._touched.add(folder)

    def _refused(self, why: str) -> UsageError:
        return UsageError(why, where=str(self.root), next_step="name a new or an empty folder")


def remove_parts(folder: Path) -> None:
    with disk_errors(folder):
        for left in folder.glob(f"*{PART}"):
            left.unlink(missing_ok=True)


SCHEMA = """
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS about (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
-- The plan, rebuilt by each export; `result` is a JSON array of a Result's fields.
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
-- Published units. `key` identifies their content; `wanted`: by the current export.
CREATE TABLE IF NOT EXISTS unit (
    path   TEXT PRIMARY KEY,
    key    TEXT NOT NULL,
    bytes  INTEGER NOT NULL,
    wanted INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
-- What a bucket holds, as listed when the export began.
DROP TABLE IF EXISTS present;
CREATE TABLE present (path TEXT PRIMARY KEY, bytes INTEGER NOT NULL) STRICT, WITHOUT ROWID;
COMMIT;
"""


@dataclass(frozen=True, slots=True)
class Count:
    """The number of files and their bytes, by split, kind, extension and model."""

    split: str
    kind: str
    extension: str
    model: str
    files: int
    bytes: int


class Journal:
    """Nothing is durable before `commit`; the units that it lists must be durable by then."""

    def __init__(self, db: Connection) -> None:
        self._db = db

    def get_meta(self, key: str) -> str | None:
        row = self._db.execute("SELECT value FROM about WHERE key = ?", (key,)).fetchone()
        return row[0] if row else None

    def set_meta(self, key: str, value: str) -> None:
        self._db.execute("INSERT OR REPLACE INTO about VALUES (?, ?)", (key, value))

    def has_units(self) -> bool:
        """Whether anything was published yet."""
        return self._db.execute("SELECT 1 FROM unit LIMIT 1").fetchone() is not None

    def plan(self, rows: Iterable[Row]) -> None:
        """Store the plan, and mark every unit as unwanted for now."""
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
        """Yield planned rows with their numbers, from `first` to `last`.

        In pages: a query that is not at its end, as after an error, keeps the journal locked.
        """
        while page := self._db.execute(
            "SELECT number, split, result FROM row WHERE number BETWEEN ? AND ?"
            " AND split = coalesce(?, split) AND kind = coalesce(?, kind)"
            " AND extension = coalesce(?, extension) ORDER BY number LIMIT ?",
            (first, last, split, kind, extension, PAGE),
        ).fetchall():
            first = page[-1][0] + 1
            for number, name, text in page:
                yield number, Row(name, Result(*json.loads(text)))

    def counts(self) -> list[Count]:
        found = self._db.execute(
            "SELECT split, kind, extension, model, count(*), sum(bytes) FROM row"
            " GROUP BY split, kind, extension, model ORDER BY min(number)"
        )
        return [Count(*row) for row in found]

    def want(self, path: str) -> tuple[str, int] | None:
        """Mark a unit as wanted; return `(key, bytes)` of the published one."""
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

    def note_present(self, objects: Iterable[tuple[str, int]]) -> None:
        self._db.executemany("INSERT OR REPLACE INTO present VALUES (?, ?)", objects)

    def is_present(self, path: str, size: int) -> bool:
        query = "SELECT 1 FROM present WHERE path = ? AND bytes = ?"
        return self._db.execute(query, (path, size)).fetchone() is not None

    def units(self) -> Iterator[tuple[str, str, int]]:
        """Path, key and bytes of each published unit, by path."""
        return iter(self._db.execute("SELECT path, key, bytes FROM unit ORDER BY path"))

    def adopt(self, units: Iterable[tuple[str, str, int]]) -> None:
        """Take units over from a journal that is lost."""
        self._db.executemany("INSERT OR IGNORE INTO unit VALUES (?, ?, ?, 0)", units)

    def commit(self) -> None:
        self._db.commit()


def _stored(row: Row) -> tuple[str, str, str, str, int, str]:
    result = row.result
    # The vendor's URL gives the file to anyone who has it, and an export is made to be shared.
    held = json.dumps(astuple(replace(result, url="")))
    return row.split, row.kind.value, row.extension, result.model, result.bytes, held


@contextmanager
def opened_journal(path: Path) -> Iterator[Journal]:
    """Open the journal exclusively.

    Raises LockedError if another export is running, OutputError, StorageError, DiskFullError.
    """
    db = None
    try:
        db = open_side_file(path, autocommit=False)
        # Locked from the first write until it is closed, or its process dies.
        db.execute("PRAGMA locking_mode = EXCLUSIVE")
        db.executescript(SCHEMA)
        yield Journal(db)
        db.commit()
    except DatabaseError as exc:
        raise _translated(exc, path) from exc
    finally:
        if db is not None:
            db.close()


def _translated(exc: DatabaseError, path: Path) -> BatchgenError:
    where = str(path)
    match fault_of(exc):
        case Fault.LOCKED:
            return LockedError(
                "another export is running in this folder",
                where=where,
                next_step="wait for it, or name another folder",
            )
        case Fault.FULL:
            next_step = "make room; run the same command again to continue"
            return DiskFullError("the disk is full", where=where, next_step=next_step)
        case Fault.NOT_WRITABLE:
            next_step = "check the folder and its permissions"
            what = f"the export's journal cannot be written: {exc}"
            return OutputError(what, where=where, next_step=next_step)
        case _:
            next_step = "remove the export's folder, then run the same command again"
            what = f"the export's journal is damaged: {exc}"
            return StorageError(what, where=where, next_step=next_step)
