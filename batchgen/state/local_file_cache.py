"""Hashes, types and sizes of the user's own files, in the user's cache folder.

An unchanged file is not read twice. The cache may be deleted at any time, and its failures are
never errors: then files are read again. A wrong entry never sends wrong bytes, since files are
hashed again as they are sent.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from batchgen.input_files import LocalFile, Unusable
from batchgen.state.database import (
    DatabaseError,
    Fault,
    fault_of,
    open_side_file,
    transaction,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from batchgen.input_files import LookAt
    from batchgen.state.database import Connection

NAME = "local-files.db"
VERSION = 1
"""Of the table, and of what is read from a file."""
YOUNG = 5.0
"""Seconds after a change in which a file may change again without a new time of change."""
AT_ONCE = 500
"""Entries written in one transaction."""
_WAIT = 1.0
"""Seconds to wait for another process."""
_TABLE = """CREATE TABLE IF NOT EXISTS file (path BLOB PRIMARY KEY, bytes INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL, inode TEXT NOT NULL, sha256 TEXT NOT NULL, media_type TEXT NOT NULL,
    width INTEGER, height INTEGER) STRICT, WITHOUT ROWID"""
_FIND = (
    "SELECT sha256, media_type, bytes, width, height FROM file"
    " WHERE path = ? AND bytes = ? AND mtime_ns = ? AND inode = ?"
)


class _Stamp(NamedTuple):
    """Identifies a version of a file. The inode is text: SQLite has no unsigned 64 bits."""

    bytes: int
    mtime_ns: int
    inode: str


class LocalFileCache:
    """`look` with a memory in this folder; without one, `look` alone.

    The cache is opened at the first file. Only one thread may call it at a time.
    """

    def __init__(
        self, folder: Path | None, look: LookAt, now: Callable[[], float] = time.time
    ) -> None:
        self._folder = folder
        self._look = look
        self._now = now
        self._db: Connection | None = None
        self._is_open = False
        self._new: list[tuple[object, ...]] = []

    def __call__(self, path: Path) -> LocalFile | Unusable:
        try:
            key, before = os.fsencode(path.absolute()), _stamp(path)
        except (OSError, ValueError):
            return self._look(path)
        if (known := self._known(key, before)) is not None and os.access(path, os.R_OK):
            return known
        found = self._look(path)
        if isinstance(found, LocalFile) and self._is_settled(path, before):
            self._remember(key, before, found)
        return found

    def close(self) -> None:
        self._write()
        if self._db is not None:
            self._db.close()
        self._db, self._is_open, self._folder = None, False, None

    def _is_settled(self, path: Path, before: _Stamp) -> bool:
        """Whether it did not change while it was read, nor so recently that it may do so unseen."""
        with suppress(OSError):
            return _stamp(path) == before and self._now() - before.mtime_ns / 1e9 > YOUNG
        return False

    def _known(self, key: bytes, stamp: _Stamp) -> LocalFile | None:
        if (db := self._opened()) is None:
            return None
        try:
            row = db.execute(_FIND, (key, *stamp)).fetchone()
        except (DatabaseError, ValueError):
            self._give_up()
            return None
        return None if row is None else LocalFile(*row)

    def _remember(self, key: bytes, stamp: _Stamp, found: LocalFile) -> None:
        # Its size may be known as soon as a reader for its format is installed.
        without_size = found.width is None and found.media_type.startswith("image/")
        if without_size or self._opened() is None:
            return
        self._new.append((key, *stamp, found.sha256, found.media_type, found.width, found.height))
        if len(self._new) >= AT_ONCE:
            self._write()

    def _write(self) -> None:
        rows, self._new = self._new, []
        if self._db is None or not rows:
            return
        try:
            with transaction(self._db):
                self._db.executemany("INSERT OR REPLACE INTO file VALUES (?,?,?,?,?,?,?,?)", rows)
        except DatabaseError:
            self._give_up()

    def _give_up(self) -> None:
        """Go on without the cache."""
        db, self._db, self._new = self._db, None, []
        if db is not None:
            db.close()

    def _opened(self) -> Connection | None:
        if not self._is_open:
            self._is_open = True
            self._db = None if self._folder is None else _open(self._folder)
        return self._db


def _stamp(path: Path) -> _Stamp:
    found = path.stat()
    return _Stamp(found.st_size, found.st_mtime_ns, str(found.st_ino))


def _open(folder: Path) -> Connection | None:
    """Open or create the cache, anew if it is damaged or of another version."""
    path = folder / NAME
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for _ in range(2):
            # Readable by its owner only: paths are private. SQLite keeps the mode.
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
            if (db := _sound(path)) is not None:
                return db
            path.unlink(missing_ok=True)
    except (OSError, DatabaseError):
        return None
    return None


def _sound(path: Path) -> Connection | None:
    """Open the cache; None if it is to be made anew. Raises DatabaseError if it is locked."""
    db = open_side_file(path, wait=_WAIT, any_thread=True)
    try:
        # Anything lost can be read again.
        db.execute("PRAGMA synchronous = OFF")
        (version,) = db.execute("PRAGMA user_version").fetchone()
        if version == 0:
            db.execute(_TABLE)
            db.execute(f"PRAGMA user_version = {VERSION}")
            return db
        if version == VERSION:
            db.execute("SELECT * FROM file LIMIT 1").fetchone()
            return db
    except DatabaseError as exc:
        db.close()
        if fault_of(exc) is Fault.DAMAGED or "no such table" in str(exc):
            return None
        raise
    db.close()
    return None
