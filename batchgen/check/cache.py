"""Measures of earlier checks, in `measures.db`: a cache, which may be deleted at any time.

Measures are stored by content, and an unchanged file is not read again. If the cache is damaged or
from another version of the measuring code, it is rebuilt.
"""

from __future__ import annotations

import os
from contextlib import ExitStack, closing, contextmanager, suppress
from typing import TYPE_CHECKING

from batchgen.check.measures import HASH_BYTES, Measure
from batchgen.errors import DiskFullError, OutputError, StorageError
from batchgen.fs import NO_FOLLOW, disk_errors
from batchgen.state.database import Connection, DatabaseError, Fault, fault_of, open_side_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from batchgen.storage.stamps import Stamp

VERSION = 4
"""Of the measuring code and the tables: measures of another version cannot be compared."""
_WAIT = 10.0
"""Seconds to wait for another check to release the file."""
_SCHEMA = f"""
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS measure (sha256 TEXT PRIMARY KEY, spread INTEGER NOT NULL,
    share REAL NOT NULL, motion INTEGER, hashes BLOB NOT NULL, trouble TEXT NOT NULL)
    STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS seen (path TEXT PRIMARY KEY, sha256 TEXT NOT NULL,
    bytes INTEGER NOT NULL, version TEXT NOT NULL)
    STRICT, WITHOUT ROWID;
PRAGMA user_version = {VERSION};
COMMIT;
"""
"""IF NOT EXISTS: two first checks may run at once."""
_COLUMNS = "sha256, spread, share, motion, hashes, trouble"


class MeasureCache:
    """Made by `open_memory`."""

    def __init__(self, db: Connection) -> None:
        self._db = db

    def is_unchanged(self, path: str, sha256: str, stamp: Stamp) -> bool:
        """Whether this file, unchanged since, was read before and had this content."""
        found = self._db.execute(
            "SELECT 1 FROM seen WHERE path = ? AND sha256 = ? AND bytes = ? AND version = ?",
            (path, sha256, stamp.bytes, stamp.version),
        )
        return found.fetchone() is not None

    def add_file(self, path: str, sha256: str, stamp: Stamp) -> None:
        row = (path, sha256, stamp.bytes, stamp.version)
        self._db.execute("INSERT OR REPLACE INTO seen VALUES (?, ?, ?, ?)", row)

    def measure(self, sha256: str) -> Measure | None:
        found = self._db.execute(f"SELECT {_COLUMNS} FROM measure WHERE sha256 = ?", (sha256,))  # noqa: S608 - constants
        row = found.fetchone()
        if row is None:
            return None
        _, spread, share, motion, hashes, trouble = row
        parts = (hashes[at : at + HASH_BYTES] for at in range(0, len(hashes), HASH_BYTES))
        return Measure(spread, share, motion, tuple(parts), trouble)

    def add_measure(self, sha256: str, one: Measure) -> None:
        row = (sha256, one.spread, one.share, one.motion, b"".join(one.hashes), one.trouble)
        self._db.execute("INSERT OR REPLACE INTO measure VALUES (?, ?, ?, ?, ?, ?)", row)


@contextmanager
def open_cache(path: Path) -> Iterator[MeasureCache]:
    """Open or create the cache. Everything is stored at once: Ctrl-C loses nothing.

    If it cannot be written, as in a read-only folder, it lives in memory until the block ends.
    Raises StorageError or DiskFullError if the disk fails.
    """
    with _translated(path), closing(_opened(path)) as db:
        yield MeasureCache(db)


def _opened(path: Path) -> Connection:
    try:
        return _on_the_disk(path)
    except OutputError:
        pass
    except DatabaseError as exc:
        if fault_of(exc) is not Fault.NOT_WRITABLE:
            raise
    with ExitStack() as on_refusal:
        db = open_side_file(None)
        on_refusal.callback(db.close)
        db.executescript(_SCHEMA)
        on_refusal.pop_all()
    return db


def _on_the_disk(path: Path) -> Connection:
    """Raises OutputError if it cannot be written."""
    inode = _create_private(path)
    if (db := _sound(path)) is not None:
        return db
    with disk_errors(path), suppress(FileNotFoundError):
        # If another check has already replaced it, keep the new one.
        if path.stat().st_ino == inode:
            path.unlink()
            for ending in ("-wal", "-shm"):
                path.with_name(path.name + ending).unlink(missing_ok=True)
    _create_private(path)
    if (db := _sound(path)) is not None:
        return db
    raise StorageError(
        "the measures of earlier checks keep getting damaged",
        where=str(path),
        next_step="check the disk, then run the same command again to continue",
    )


def _create_private(path: Path) -> int:
    """Create it readable by its owner only: paths are private. SQLite keeps the mode."""
    with disk_errors(path):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | NO_FOLLOW, 0o600)
        try:
            return os.fstat(descriptor).st_ino
        finally:
            os.close(descriptor)


def _sound(path: Path) -> Connection | None:
    """Open the cache; None if it is damaged or of another version."""
    with ExitStack() as on_refusal:
        db = open_side_file(path, wait=_WAIT)
        on_refusal.callback(db.close)
        if _is_sound(db):
            on_refusal.pop_all()
            return db
    return None


def _is_sound(db: Connection) -> bool:
    try:
        # Anything lost can be measured again.
        db.execute("PRAGMA synchronous = OFF")
        # One statement, because another check may be creating the tables at this moment.
        query = "SELECT user_version, (SELECT count(*) FROM sqlite_schema) FROM pragma_user_version"
        if db.execute(query).fetchone() == (0, 0):
            db.executescript(_SCHEMA)
        _use_wal(db)
        (version,) = db.execute("PRAGMA user_version").fetchone()
        (verdict,) = db.execute("PRAGMA quick_check(1)").fetchone()
    except DatabaseError as exc:
        if fault_of(exc) is Fault.DAMAGED:
            return False
        raise
    return bool(version == VERSION and verdict == "ok")


def _use_wal(db: Connection) -> None:
    """Switch to WAL, which is only faster: if another check prevents it, go on without."""
    try:
        db.execute("PRAGMA journal_mode = WAL")
    except DatabaseError as exc:
        if fault_of(exc) is not Fault.LOCKED:
            raise


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except DatabaseError as exc:
        where = str(path)
        if fault_of(exc) is Fault.FULL:
            raise DiskFullError("the disk is full", where=where, next_step="make room") from exc
        raise StorageError(
            f"the measures of earlier checks cannot be used ({exc})",
            where=where,
            next_step="delete that file, which is only a cache; then run the same command again",
        ) from exc
