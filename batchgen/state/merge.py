"""The manifest of today meets the memory of the run: what is new, changed, gone.

Jobs that were never attempted hold no memory, so they simply follow the manifest. What may have
been paid is never touched unasked.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from batchgen.downloads.naming import name_key
from batchgen.jobs import JobState
from batchgen.state.database import translated
from batchgen.state.names import distinct_name

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator
    from pathlib import Path

    from batchgen.state.queries import Selection
    from batchgen.state.records import Counts
    from batchgen.state.staging import Staging


class OnChanged(StrEnum):
    """What to do with a job whose input changed after it may have been paid."""

    REFUSE = "refuse"
    RERUN = "rerun"
    KEEP = "keep"


@dataclass(frozen=True, slots=True)
class ChangedJob:
    """A job with a new input. `live`: it is under way or unknown, so it cannot be rerun now."""

    id: str
    state: str
    live: bool


@dataclass(frozen=True, slots=True)
class Difference:
    """How the manifest differs from the state. `new` jobs were never attempted before."""

    new: int
    known: int
    orphaned: int
    changed: tuple[ChangedJob, ...]


_ATTEMPTED = "(job.attempts > 0 OR job.state != 'pending')"

# Refused or never sent: nothing was charged, so a new input is taken up without asking.
_UNPAID = (
    "NOT EXISTS (SELECT 1 FROM attempt WHERE attempt.job = job.seq AND (outcome IS NULL"
    " OR outcome NOT IN ('not_sent', 'throttled', 'halted', 'refused')))"
)

_CHANGED = (
    "FROM job JOIN incoming.incoming AS today USING (id)"
    " WHERE (job.body != today.body OR job.model != today.model)"
)

_LIVE = "('submitting', 'queued', 'running', 'fetching', 'unknown')"


@contextmanager
def _attached(db: sqlite3.Connection, staging: Staging, path: Path) -> Iterator[None]:
    with translated(path):
        db.execute("ATTACH DATABASE ? AS incoming", (str(staging.path),))
        try:
            yield
        finally:
            if db.in_transaction:
                db.execute("ROLLBACK")
            db.execute("DETACH DATABASE incoming")


def compare(db: sqlite3.Connection, staging: Staging, path: Path) -> Difference:
    """What a merge would meet; changes nothing."""
    with _attached(db, staging, path):
        return _difference(db)


def counts_after_merge(
    db: sqlite3.Connection, staging: Staging, path: Path, selection: Selection
) -> Counts:
    """The manifest's selected jobs by model and state, as they would be; changes nothing."""
    condition, values = selection.where()
    table: dict[str, dict[JobState, int]] = {}
    with _attached(db, staging, path):
        for model, state, count in db.execute(
            "SELECT job.model, coalesce(known.state, 'pending'), count(*)"
            " FROM incoming.incoming AS job LEFT JOIN main.job AS known ON known.id = job.id"
            f" WHERE {condition} GROUP BY 1, 2",
            values,
        ):
            table.setdefault(model, {})[JobState(state)] = count
    return table


def merge(
    db: sqlite3.Connection, staging: Staging, path: Path, on_changed: OnChanged
) -> Difference:
    """Bring the state up to the manifest, in one transaction.

    With OnChanged.REFUSE nothing is written where a paid job has a new input: the caller finds
    those in the difference.
    """
    with _attached(db, staging, path):
        db.execute("BEGIN IMMEDIATE")
        difference = _difference(db)
        if difference.changed and on_changed is OnChanged.REFUSE:
            return difference
        _forget_never_attempted(db)
        _take_up_unpaid(db)
        if on_changed is OnChanged.RERUN:
            _rerun_changed(db)
        _update_listing(db)
        _insert_new(db)
        db.execute("COMMIT")
        return difference


def _difference(db: sqlite3.Connection) -> Difference:
    changed = db.execute(
        f"SELECT job.id, job.state, job.state IN {_LIVE} {_CHANGED}"
        f" AND {_ATTEMPTED} AND NOT {_UNPAID} ORDER BY job.seq"
    )
    jobs = tuple(ChangedJob(job_id, state, bool(live)) for job_id, state, live in changed)
    (staged,) = db.execute("SELECT count(*) FROM incoming.incoming").fetchone()
    (known,) = db.execute(
        f"SELECT count(*) FROM job JOIN incoming.incoming USING (id) WHERE {_ATTEMPTED}"
    ).fetchone()
    (orphaned,) = db.execute(
        f"SELECT count(*) FROM job WHERE {_ATTEMPTED}"
        " AND id NOT IN (SELECT id FROM incoming.incoming)"
    ).fetchone()
    return Difference(staged - known, known, orphaned, jobs)


def _forget_never_attempted(db: sqlite3.Connection) -> None:
    db.execute(
        f"DELETE FROM job WHERE NOT {_ATTEMPTED} AND NOT EXISTS ("
        "SELECT 1 FROM incoming.incoming AS today WHERE today.id = job.id"
        " AND today.model = job.model AND today.body = job.body"
        " AND today.name = job.name AND today.tags = job.tags)"
    )


def _take_up_unpaid(db: sqlite3.Connection) -> None:
    db.execute(
        "UPDATE job SET model = today.model, body = today.body,"
        # What a person cancelled stays cancelled; a retry then sends the new input.
        " state = CASE state WHEN 'cancelled' THEN state ELSE 'pending' END,"
        " error_code = NULL, error = NULL FROM incoming.incoming AS today"
        " WHERE today.id = job.id AND job.state IN ('pending', 'failed', 'blocked', 'cancelled')"
        f" AND (job.body != today.body OR job.model != today.model) AND {_UNPAID}"
    )


def _rerun_changed(db: sqlite3.Connection) -> None:
    """Old attempts keep the input they were made with; the files they left stay where they are."""
    due = f"SELECT job.seq {_CHANGED} AND {_ATTEMPTED} AND job.state NOT IN {_LIVE}"
    due += " AND NOT EXISTS (SELECT 1 FROM attempt WHERE job = job.seq AND outcome IS NULL)"
    db.execute(
        "UPDATE attempt SET (model, body) ="
        " (SELECT model, body FROM job WHERE seq = attempt.job)"
        f" WHERE body IS NULL AND attempt.job IN ({due})"
    )
    db.execute(
        "UPDATE job SET body = today.body, model = today.model, state = 'pending',"
        " failures = 0, cancel_asked = 0, error_code = NULL, error = NULL"
        " FROM incoming.incoming AS today"
        f" WHERE today.id = job.id AND job.seq IN ({due})"
    )


def _update_listing(db: sqlite3.Connection) -> None:
    db.execute(
        "UPDATE job SET listed = 0 WHERE listed AND id NOT IN (SELECT id FROM incoming.incoming)"
    )
    db.execute(
        "UPDATE job SET listed = 1, tags = today.tags FROM incoming.incoming AS today"
        " WHERE today.id = job.id AND (NOT listed OR job.tags != today.tags)"
    )


def _insert_new(db: sqlite3.Connection) -> None:
    """New jobs in the manifest's order; a name that an older job or file has is made distinct."""
    taken = db.execute(
        "SELECT id, name FROM incoming.incoming AS today WHERE id NOT IN (SELECT id FROM job)"
        " AND (name_key IN (SELECT name_key FROM job) OR name_key IN (SELECT name_key FROM file))"
    ).fetchall()
    for job_id, name in taken:
        other = distinct_name(name, job_id)
        db.execute(
            "UPDATE incoming.incoming SET name = ?, name_key = ? WHERE id = ?",
            (other, name_key(other), job_id),
        )
    db.execute(
        "INSERT INTO job (id, model, body, name, name_key, tags)"
        " SELECT id, model, body, name, name_key, tags FROM incoming.incoming"
        " WHERE id NOT IN (SELECT id FROM job) ORDER BY rowid"
    )
