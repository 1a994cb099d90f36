"""The one thread that reads the state, with its one connection: SQLite's are bound to a thread."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
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


class Reader:
    """Opens the state when there is one, and again when another stands in its place."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="watch-reader")
        self._db: sqlite3.Connection | None = None
        self._of: FileId | None = None

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
        if self._db is None or self._of != stands:
            self.close()
            self._db, self._of = self._open(), stands
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

    def _open(self) -> sqlite3.Connection:
        db = open_for_reading(self._path)
        # It begins and ends its transactions itself.
        db.isolation_level = None
        if is_a_copy(db):
            db.close()
            raise SchemaVersionError(
                "the state file is of an older version, in which nothing can be watched",
                where=str(self._path),
                next_step="the next batchgen run brings it up to date; until then see"
                " batchgen report",
            )
        return db
