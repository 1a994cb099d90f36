"""Where checked jobs wait until the whole manifest is known to be sound.

On the disk, not in memory, so a million jobs are as light as ten. Nothing reaches the state file
before the last problem could have been found.
"""

from __future__ import annotations

import json
import sqlite3
import tempfile
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from batchgen.downloads.naming import name_key, safe_name
from batchgen.state.database import translated
from batchgen.state.names import distinct_name
from batchgen.state.queries import Selection

if TYPE_CHECKING:
    from collections.abc import Iterator

    from batchgen.jobs import Job

_SCHEMA = """
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
CREATE TABLE claim (id TEXT PRIMARY KEY, line INTEGER) WITHOUT ROWID;
CREATE TABLE incoming (
    id TEXT NOT NULL, model TEXT NOT NULL, body TEXT NOT NULL, tags TEXT NOT NULL,
    name TEXT NOT NULL, name_key TEXT NOT NULL UNIQUE
);
BEGIN;
"""


class Staging:
    """A scratch database. `claim` names an earlier job with the same id; `add` stages a job."""

    def __init__(self, path: Path, db: sqlite3.Connection) -> None:
        self.path = path
        self._db = db

    def claim(self, job_id: str, line: int) -> int | None:
        """Take an id for the job at `line`; the line of the job that has it already, if one has."""
        with translated(self.path):
            taken = self._db.execute(
                "INSERT INTO claim VALUES (?, ?) ON CONFLICT DO NOTHING", (job_id, line)
            ).rowcount
            if taken:
                return None
            (earlier,) = self._db.execute(
                "SELECT line FROM claim WHERE id = ?", (job_id,)
            ).fetchone()
        return int(earlier)

    def add(self, job: Job) -> None:
        name = safe_name(job.name)
        with translated(self.path):
            while not self._insert(job, name):
                name = distinct_name(name, job.id)

    def _insert(self, job: Job, name: str) -> bool:
        inserted = self._db.execute(
            "INSERT INTO incoming VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
            (job.id, job.model, job.body, json.dumps(job.tags), name, name_key(name)),
        )
        return inserted.rowcount == 1

    def counts(self, selection: Selection | None = None) -> dict[str, int]:
        """Staged jobs by model; the selected ones, or all."""
        condition, values = (selection or Selection()).where()
        return dict(
            self._db.execute(
                f"SELECT model, count(*) FROM incoming AS job WHERE {condition} GROUP BY model",
                values,
            )
        )

    def finish(self) -> None:
        """Close the transaction, so that the state's connection can read what was staged."""
        with translated(self.path):
            self._db.execute("CREATE UNIQUE INDEX incoming_by_id ON incoming (id)")
            self._db.execute("COMMIT")


@contextmanager
def open_staging() -> Iterator[Staging]:
    """A fresh staging area, removed at the end."""
    with tempfile.TemporaryDirectory(prefix="batchgen-") as folder:
        path = Path(folder) / "staging.db"
        with closing(sqlite3.connect(path, isolation_level=None)) as db:
            db.executescript(_SCHEMA)
            yield Staging(path, db)
