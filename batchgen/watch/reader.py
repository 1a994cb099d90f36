"""The one thread that reads the state, with its one connection: SQLite's are bound to a thread."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

from batchgen.downloads.disk import disk_errors
from batchgen.errors import MissingFileError, SchemaVersionError
from batchgen.state.database import open_for_reading, translated
from batchgen.state.watching import is_a_copy

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable
    from pathlib import Path

P = ParamSpec("P")
T = TypeVar("T")

FileId = tuple[int, int]
"""Device and number: another file of the same name has another one."""
LOG = "-wal"
"""What SQLite adds to the state's name for its write-ahead log."""


class Reader:
    """Opens the state when there is one, and again when another stands in its place.

    Likewise when another log lies beside it: then somebody took away the one that is read here,
    and what is written from now on would never be seen. `renewal` gives, of a state, the command
    that brings an older one up to date.
    """

    def __init__(self, path: Path, renewal: Callable[[sqlite3.Connection], str]) -> None:
        self._path = path
        self._log = path.with_name(path.name + LOG)
        self._renewal = renewal
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="watch-reader")
        self._db: sqlite3.Connection | None = None
        self._of: FileId | None = None
        self._log_of: FileId | None = None
        self.opened_times = 0

    async def ask(
        self,
        question: Callable[Concatenate[sqlite3.Connection, P], T],
        *args: P.args,
        **more: P.kwargs,
    ) -> T:
        """Ask within one moment of the state. Raises MissingFileError, and the state's errors."""
        return await self.work(lambda: self._ask(question, *args, **more))

    async def work(self, action: Callable[[], T]) -> T:
        """Run something else in the thread, so that it never meets a question half-way."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, action)

    def opened(self) -> tuple[sqlite3.Connection, FileId]:
        """Give the connection and whose it is. In the thread. Raises as `ask`."""
        stands = self._stands()
        if self._db is None or self._of != stands or self._log_of != self._log_stands():
            self.close()
            self._db, self._of = self._open(), stands
            # It is there once the state was opened: SQLite makes it for the first who reads.
            self._log_of = self._log_stands()
            self.opened_times += 1
        return self._db, stands

    def close(self) -> None:
        """In the thread; the next question opens again."""
        if self._db is not None:
            self._db.close()
        self._db = None

    async def aclose(self) -> None:
        await self.work(self.close)
        self._thread.shutdown()

    def _ask(
        self,
        question: Callable[Concatenate[sqlite3.Connection, P], T],
        *args: P.args,
        **more: P.kwargs,
    ) -> T:
        db, _ = self.opened()
        with translated(self._path):
            db.execute("BEGIN")
            try:
                return question(db, *args, **more)
            finally:
                db.execute("ROLLBACK")

    def _stands(self) -> FileId:
        with disk_errors(self._path):
            try:
                found = self._path.stat()
            except FileNotFoundError as exc:
                raise MissingFileError("nothing was run yet", where=str(self._path)) from exc
        return found.st_dev, found.st_ino

    def _log_stands(self) -> FileId | None:
        with disk_errors(self._log):
            try:
                found = self._log.stat()
            except FileNotFoundError:
                return None
        return found.st_dev, found.st_ino

    def _open(self) -> sqlite3.Connection:
        db = open_for_reading(self._path)
        # It begins and ends its transactions itself.
        db.isolation_level = None
        if is_a_copy(db):
            with closing(db):
                command = self._renewal(db)
            raise SchemaVersionError(
                "the state file is of an older version, in which nothing can be watched",
                where=str(self._path),
                next_step=f"bring it up to date with: {command}; until then see batchgen report",
            )
        return db
