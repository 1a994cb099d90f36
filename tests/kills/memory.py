"""What a killed process left in its state file, read from a copy.

The file itself is not opened: who opens it first after a crash recovers SQLite's log, and that
must be the next run, as it is for a person.
"""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

STATE_FILES = ("state.db", "state.db-wal")


@dataclass(frozen=True, slots=True)
class Attempt:
    """`request_id` None: no answer was recorded. `outcome` None: it has not ended.

    `interrupted`: its process died while it was submitting.
    """

    job: str
    number: int
    request_id: str | None
    outcome: str | None
    interrupted: bool = False


@dataclass(frozen=True, slots=True)
class SavedFile:
    """`path` is relative to the run's folder."""

    job: str
    request_id: str
    path: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Memory:
    """The state of one moment. `to_approve` are done jobs behind a gate that is shut."""

    states: dict[str, str] = field(default_factory=dict)
    attempts: tuple[Attempt, ...] = ()
    files: tuple[SavedFile, ...] = ()
    to_approve: tuple[str, ...] = ()

    def jobs_in(self, *states: str) -> list[str]:
        return [job for job, state in self.states.items() if state in states]

    @property
    def on_the_wire(self) -> frozenset[tuple[str, int]]:
        """Attempts that dead processes were submitting and nobody has decided about, by number."""
        return frozenset((one.job, one.number) for one in self.attempts if one.interrupted)

    @property
    def latest(self) -> dict[str, Attempt]:
        """Of each job that was submitted, the attempt with the highest number."""
        return {one.job: one for one in self.attempts}

    @property
    def request_ids(self) -> frozenset[str]:
        return frozenset(one.request_id for one in self.attempts if one.request_id is not None)


def read_memory(run_folder: Path) -> Memory:
    """Nothing is remembered before the first process has made its tables."""
    with tempfile.TemporaryDirectory() as scratch:
        for name in STATE_FILES:
            if (run_folder / name).exists():
                shutil.copy(run_folder / name, scratch)
        with closing(sqlite3.connect(Path(scratch) / STATE_FILES[0])) as db:
            if db.execute("SELECT 1 FROM sqlite_master WHERE name = 'file'").fetchone() is None:
                return Memory()
            return _read(db)


def _read(db: sqlite3.Connection) -> Memory:
    attempts = db.execute(
        # A `resolve` that came after the kill has called them unknown already.
        "SELECT id, number, request_id, outcome, outcome IS NULL AND (state = 'submitting'"
        " OR (state = 'unknown' AND job.error_code IS 'interrupted'))"
        " FROM attempt JOIN job ON seq = job ORDER BY seq, number"
    )
    files = db.execute(
        "SELECT job.id, request_id, path, sha256 FROM file JOIN job ON seq = file.job"
        " JOIN attempt ON attempt.job = file.job AND number = file.attempt"
        " WHERE verified_at IS NOT NULL"
    )
    shut = db.execute("SELECT id FROM job WHERE state = 'done' AND gate AND NOT approved")
    return Memory(
        dict(db.execute("SELECT id, state FROM job ORDER BY seq")),
        tuple(
            Attempt(job, number, request_id, outcome, bool(cut))
            for job, number, request_id, outcome, cut in attempts
        ),
        tuple(SavedFile(*row) for row in files),
        tuple(job for (job,) in shut),
    )
