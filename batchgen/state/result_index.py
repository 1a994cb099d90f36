"""An index of the results of all runs on this machine, in a database of the user's own.

It only says where to look: before a result is reused, the state of its run and the bytes of its
files decide. So losing it costs nothing but a rebuild.
"""

from __future__ import annotations

import hashlib
from contextlib import closing, contextmanager
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING

from batchgen.fs import disk_errors
from batchgen.state.database import open_side_file, transaction, translated

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from batchgen.state.database import Connection
    from batchgen.state.reuse import Work

VERSION = 1
PATIENCE = 2.0
"""Seconds that another run may hold the index."""

_SCHEMA = """
    DROP TABLE IF EXISTS result;
    CREATE TABLE result (
        work TEXT NOT NULL, folder TEXT NOT NULL, run TEXT NOT NULL, job TEXT NOT NULL,
        attempt INTEGER NOT NULL, origin TEXT NOT NULL,
        PRIMARY KEY (work, folder, job, attempt)
    ) STRICT, WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a result is: the folder of its run, the id of its state, job and attempt.

    `work` is a hash of what was asked for and from whom; `origin` is the `key` of reuse.Source.
    """

    work: str
    folder: str
    run: str
    job: str
    attempt: int
    origin: str


def work_key(provider: str, work: Work) -> str:
    """`provider` as the state records it: rehearsals and real runs never share a key."""
    return hashlib.sha256("\n".join((provider, *work)).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class ResultIndex:
    """Each call opens and closes the file; it may not exist yet. Raises the tree's errors."""

    path: Path

    def add(self, entries: Iterable[Entry]) -> None:
        with self._writing() as db:
            _insert(db, entries)

    def replace(self, entries: Iterable[Entry]) -> int:
        """Make these the only entries. How many."""
        with self._writing() as db:
            db.execute("DELETE FROM result")
            _insert(db, entries)
            (count,) = db.execute("SELECT count(*) FROM result").fetchone()
            return int(count)

    def remove(self) -> None:
        """Delete the file, with the journal of a change that was not finished."""
        with disk_errors(self.path):
            for ending in ("", "-journal", "-wal", "-shm"):
                self.path.with_name(f"{self.path.name}{ending}").unlink(missing_ok=True)

    def drop(self, entries: Iterable[Entry]) -> None:
        with self._writing() as db:
            db.executemany(
                "DELETE FROM result WHERE work = ? AND folder = ? AND job = ? AND attempt = ?",
                [(one.work, one.folder, one.job, one.attempt) for one in entries],
            )

    def drop_job(self, folder: str, job: str) -> None:
        with self._writing() as db:
            db.execute("DELETE FROM result WHERE folder = ? AND job = ?", (folder, job))

    def find(self, works: Iterable[str]) -> dict[str, list[Entry]]:
        """The entries of each of these; one without any is not among them."""
        with self._open() as db:
            if db is None:
                return {}
            found: dict[str, list[Entry]] = {}
            for work in set(works):
                rows = db.execute(
                    "SELECT work, folder, run, job, attempt, origin FROM result WHERE work = ?"
                    " ORDER BY folder, job, attempt",
                    (work,),
                ).fetchall()
                if rows:
                    found[work] = [Entry(*row) for row in rows]
            return found

    def folders(self) -> list[str]:
        with self._open() as db:
            if db is None:
                return []
            return [one for (one,) in db.execute("SELECT DISTINCT folder FROM result")]

    @contextmanager
    def _open(self) -> Iterator[Connection | None]:
        """None where there is no index, or one of another version."""
        if not self.path.exists():
            yield None
            return
        with translated(self.path), closing(open_side_file(self.path, wait=PATIENCE)) as db:
            (version,) = db.execute("PRAGMA user_version").fetchone()
            yield db if version == VERSION else None

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with translated(self.path), closing(open_side_file(self.path, wait=PATIENCE)) as db:
            db.execute("PRAGMA synchronous = NORMAL")
            with transaction(db):
                (version,) = db.execute("PRAGMA user_version").fetchone()
                if version != VERSION:
                    for statement in _SCHEMA.split(";"):
                        db.execute(statement)
                    db.execute(f"PRAGMA user_version = {VERSION}")
                yield db


def _insert(db: Connection, entries: Iterable[Entry]) -> None:
    db.executemany("INSERT OR REPLACE INTO result VALUES (?, ?, ?, ?, ?, ?)", map(astuple, entries))
