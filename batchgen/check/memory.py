"""What earlier checks have seen, in `measures.db`: a cache, which may be deleted at any time.

Measures are kept by content, and a file that nobody touched since is not read again. Anything
unsound about the cache, or another version of the measuring code, makes it anew.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from batchgen.check.looks import LOOK_BYTES
from batchgen.check.measures import Measure
from batchgen.downloads.disk import disk_errors
from batchgen.errors import DiskFullError, StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from batchgen.check.examining import Stamp

VERSION = 1
"""Of the measuring code: what another one saw cannot be compared."""
_BUSY_TIMEOUT_MS = 10_000
_SCHEMA = f"""
BEGIN IMMEDIATE;
CREATE TABLE measure (sha256 TEXT PRIMARY KEY, spread INTEGER NOT NULL, share REAL NOT NULL,
    motion INTEGER, looks BLOB NOT NULL, trouble TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE seen (path TEXT PRIMARY KEY, sha256 TEXT NOT NULL, bytes INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL, inode INTEGER NOT NULL) STRICT, WITHOUT ROWID;
PRAGMA user_version = {VERSION};
COMMIT;
"""
_COLUMNS = "sha256, spread, share, motion, looks, trouble"


class Memory:
    """Made by `open_memory`."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def was_seen(self, path: str, sha256: str, stamp: Stamp) -> bool:
        """Whether this very file was read before, and had this content."""
        row = (path, sha256, stamp.bytes, stamp.mtime_ns, _signed(stamp.inode))
        found = self._db.execute(
            "SELECT 1 FROM seen WHERE path = ? AND sha256 = ? AND bytes = ? AND mtime_ns = ?"
            " AND inode = ?",
            row,
        )
        return found.fetchone() is not None

    def see(self, path: str, sha256: str, stamp: Stamp) -> None:
        row = (path, sha256, stamp.bytes, stamp.mtime_ns, _signed(stamp.inode))
        self._db.execute("INSERT OR REPLACE INTO seen VALUES (?, ?, ?, ?, ?)", row)

    def measure(self, sha256: str) -> Measure | None:
        found = self._db.execute(f"SELECT {_COLUMNS} FROM measure WHERE sha256 = ?", (sha256,))  # noqa: S608 - our own words
        row = found.fetchone()
        if row is None:
            return None
        _, spread, share, motion, looks, trouble = row
        parts = (looks[at : at + LOOK_BYTES] for at in range(0, len(looks), LOOK_BYTES))
        return Measure(spread, share, motion, tuple(parts), trouble)

    def keep(self, sha256: str, one: Measure) -> None:
        row = (sha256, one.spread, one.share, one.motion, b"".join(one.looks), one.trouble)
        self._db.execute("INSERT OR REPLACE INTO measure VALUES (?, ?, ?, ?, ?, ?)", row)


def _signed(inode: int) -> int:
    """SQLite's integers end at 2^63; some file systems number beyond."""
    return inode - (1 << 64) if inode >= 1 << 63 else inode


@contextmanager
def open_memory(path: Path) -> Iterator[Memory]:
    """Open or make it. Each thing is kept at once: a Ctrl-C loses nothing.

    Raises OutputError, StorageError or DiskFullError where the disk does not take it.
    """
    with _translated(path), ExitStack() as stack:
        db = _opened(path)
        stack.callback(db.close)
        yield Memory(db)


def _opened(path: Path) -> sqlite3.Connection:
    with disk_errors(path):
        # It tells of what is private: only the owner reads it. SQLite keeps the mode.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    db = sqlite3.connect(path, isolation_level=None)
    if _is_sound(db):
        return db
    db.close()
    with disk_errors(path):
        for ending in ("", "-wal", "-shm"):
            path.with_name(path.name + ending).unlink(missing_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    db = sqlite3.connect(path, isolation_level=None)
    _configure(db)
    db.executescript(_SCHEMA)
    return db


def _configure(db: sqlite3.Connection) -> None:
    db.execute(f"PRAGMA busy_timeout = {_BUSY_TIMEOUT_MS}")
    db.execute("PRAGMA journal_mode = WAL")
    # Nothing can be lost that could not be measured again.
    db.execute("PRAGMA synchronous = OFF")


def _is_sound(db: sqlite3.Connection) -> bool:
    try:
        _configure(db)
        (version,) = db.execute("PRAGMA user_version").fetchone()
        (verdict,) = db.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.DatabaseError as exc:
        if exc.sqlite_errorcode & 0xFF in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
            return False
        raise
    return bool(version == VERSION and verdict == "ok")


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as exc:
        where = str(path)
        if (getattr(exc, "sqlite_errorcode", None) or 0) & 0xFF == sqlite3.SQLITE_FULL:
            raise DiskFullError("the disk is full", where=where, next_step="make room") from exc
        raise StorageError(
            f"the measures of earlier checks cannot be used ({exc})",
            where=where,
            next_step="delete that file: it is a cache; then give the same command again",
        ) from exc
