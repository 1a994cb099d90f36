"""Where checked jobs wait until the whole manifest is known to be sound.

It is on disk, so a million jobs take no more memory than ten. Nothing reaches the state before the
last problem could have been found. Only the jobs of a huge first manifest are added in parts, by
appending.py, while its first jobs are already under way.
"""

from __future__ import annotations

import json
import re
import sqlite3
import tempfile
from contextlib import closing, contextmanager
from dataclasses import fields
from functools import lru_cache
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING

from batchgen.fs import name_key, safe_name
from batchgen.state import staged_checks
from batchgen.state.database import add_functions, storable, translated
from batchgen.state.file_names import make_names_unique
from batchgen.state.records import STAGED, JobRow
from batchgen.state.selection import Selection

if TYPE_CHECKING:
    from collections.abc import Iterator

    from batchgen.jobs import Job, RejectedJob
    from batchgen.state.records import Duplicate, MissingNeed, NeedCycle
    from batchgen.state.staged_checks import NeededModel


_LIKE_CONTENT = re.compile("[a-z0-9]+-[0-9a-f]{10}")

BUFFERED = 500
"""Jobs per call of SQLite: more would save no time and keep more prompts in memory."""

_MADE = ("tags", "name", "name_key")
"""Columns of `job` that are computed from a manifest's job; the others are copied."""

_AS_WRITTEN = tuple(column for column in STAGED if column not in _MADE)
STAGED_COLUMNS = (*_AS_WRITTEN, *_MADE)
"""Those of `staged_values`."""

_as_written = attrgetter(*_AS_WRITTEN)
_NUMBERS = {field.name for field in fields(JobRow) if field.type in {"int", "bool"}}
_KINDS = ", ".join(f"{name} {'INTEGER' if name in _NUMBERS else 'TEXT'}" for name in STAGED_COLUMNS)

# No index while rows come in: inserting into the middle of one is slow for a million rows.
_SCHEMA = f"""
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
PRAGMA cache_size = -2000;
CREATE TABLE job (seq INTEGER PRIMARY KEY, {_KINDS}, file TEXT, line INTEGER);
CREATE TABLE need (
    job INTEGER NOT NULL, needs TEXT NOT NULL, PRIMARY KEY (job, needs)
) WITHOUT ROWID;
-- Jobs that are not sound, as far as the others meet them: by their ids.
CREATE TABLE refused (
    seq INTEGER PRIMARY KEY, id TEXT NOT NULL, file TEXT NOT NULL, line INTEGER NOT NULL
);
CREATE TEMP VIEW named AS
    SELECT seq, id, model, body, file, line, sweep FROM job
    UNION ALL SELECT seq, id, '', '', file, line, '' FROM refused;
-- Of staged jobs nobody has picked any; a selection may ask all the same.
CREATE TABLE judged (seq INTEGER, id TEXT, judgement TEXT);
BEGIN;
"""

_INSERT = (
    f"INSERT INTO job (seq, {', '.join(STAGED_COLUMNS)}, file, line)"
    f" VALUES (?, {', '.join('?' * len(STAGED_COLUMNS))}, ?, ?)"
)
_INSERT_JUDGED = (
    "INSERT INTO job (seq, id, model, body, sweep, file, line) VALUES (?, ?, ?, ?, ?, ?, ?)"
)

MOST_STEMS = 1000

Row = tuple[int | str | bool, ...]


class Staging:
    """A scratch database: `add` every job, then `finish`, then ask what is wrong with them."""

    def __init__(self, path: Path, db: sqlite3.Connection, *, to_judge: bool = False) -> None:
        self.path = path
        self._db = db
        self._to_judge = to_judge
        self._jobs: list[Row] = []
        self._needs: list[tuple[int, str]] = []
        self._count = 0
        self._refused = 0
        self._refusals: list[Row] = []
        self._is_finished = False
        self._doubtful: set[str] = set()

    def add(self, job: Job) -> None:
        self._count += 1
        seq = self._count + self._refused
        self._jobs.append(_judged_row(seq, job) if self._to_judge else _row(seq, job))
        if job.needs:
            self._needs += [(seq, needed) for needed in job.needs]
        if len(self._jobs) >= BUFFERED:
            self._flush()

    def refuse(self, job: RejectedJob) -> None:
        """Note a job that cannot be made: jobs that need it or have its id are still judged."""
        if self._is_finished:
            return
        if job.is_stem:
            # If there are too many, the empty stem stands in for the rest: it matches every id.
            self._doubtful.add(job.id if len(self._doubtful) < MOST_STEMS else "")
            return
        self._refused += 1
        seq = self._count + self._refused
        self._refusals.append((seq, job.id, storable(job.file), job.line))
        self._needs += [(seq, needed) for needed in job.needs]
        if len(self._refusals) >= BUFFERED:
            self._flush()

    def _flush(self) -> None:
        with translated(self.path):
            self._db.executemany(_INSERT_JUDGED if self._to_judge else _INSERT, self._jobs)
            self._db.executemany("INSERT OR IGNORE INTO need VALUES (?, ?)", self._needs)
            self._db.executemany("INSERT INTO refused VALUES (?, ?, ?, ?)", self._refusals)
        self._refusals.clear()
        self._jobs.clear()
        self._needs.clear()

    def finish(self) -> None:
        """Close the transaction, so that the state's connection can read what was staged."""
        self._flush()
        self._is_finished = True
        with translated(self.path):
            # Not unique: `duplicates` lists those, all of them at once.
            self._db.execute("CREATE INDEX job_by_id ON job (id)")
            self._db.execute("CREATE INDEX refused_by_id ON refused (id)")
            if not self._to_judge:
                make_names_unique(self._db)
            self._db.execute("COMMIT")

    def is_self_contained(self) -> bool:
        """Whether every need names a job that was added so far; ask before `finish`."""
        self._flush()
        with translated(self.path):
            found = self._db.execute("SELECT needs FROM need EXCEPT SELECT id FROM job LIMIT 1")
            return found.fetchone() is None

    def __len__(self) -> int:
        return self._count

    def counts(self, selection: Selection | None = None) -> dict[str, int]:
        """Staged jobs by model; the selected ones, or all. All of them count as pending."""
        condition, values = (selection or Selection()).where()
        return dict(
            self._db.execute(
                "SELECT model, count(*) FROM (SELECT *, 'pending' AS state FROM job) AS job"
                f" WHERE {condition} GROUP BY model",
                values,
            )
        )

    def duplicates(self, limit: int) -> list[Duplicate]:
        """Jobs with the id of an earlier job."""
        with translated(self.path):
            return staged_checks.duplicates(self._db, limit, self._jobs_view)

    def missing_needs(self, limit: int) -> list[MissingNeed]:
        """Needs that name neither a staged job nor a refused one."""
        with translated(self.path):
            return staged_checks.missing_needs(self._db, limit, self._jobs_view, self._doubtful)

    def needed_models(self) -> Iterator[NeededModel]:
        """Every need, with the model of the needed job."""
        with translated(self.path):
            yield from staged_checks.needed_models(self._db)

    def need_cycles(self, limit: int) -> list[NeedCycle]:
        """Jobs that need each other in a cycle, so that none of them could start."""
        with translated(self.path):
            return staged_checks.need_cycles(self._db, limit, self._jobs_view)

    @property
    def _jobs_view(self) -> str:
        """The plain table is faster, and is complete unless a job was refused."""
        return "named" if self._refused else "job"


@lru_cache(64)
def _tags(tags: tuple[str, ...]) -> str:
    return json.dumps(tags)


def _row(seq: int, job: Job) -> Row:
    name = safe_name(job.name)
    return (seq, *staged_values(job, name, name_key(name)), storable(job.file), job.line)


def staged_values(job: Job, name: str, key: str) -> Row:
    """The values of STAGED_COLUMNS."""
    return (*_as_written(job), _tags(job.tags), name, key)


def _judged_row(seq: int, job: Job) -> Row:
    """Only what is needed to judge a job's id and needs; most inputs are left out."""
    body = job.body if job.needs or _LIKE_CONTENT.fullmatch(job.id) else ""
    return seq, job.id, job.model, body, job.sweep, storable(job.file), job.line


@contextmanager
def open_staging(*, to_judge: bool = False) -> Iterator[Staging]:
    """Open a new staging area, which is removed at the end.

    With `to_judge`, it keeps only what is needed to judge the jobs.
    """
    with tempfile.TemporaryDirectory(prefix="batchgen-") as folder:
        path = Path(folder) / "staging.db"
        with closing(sqlite3.connect(path, isolation_level=None)) as db:
            add_functions(db)
            db.executescript(_SCHEMA)
            yield Staging(path, db, to_judge=to_judge)
