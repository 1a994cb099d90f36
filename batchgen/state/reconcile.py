"""Bringing the state up to today's manifest, in one transaction.

Nothing is remembered of jobs that were never attempted, so they simply follow the manifest. Jobs
that may have been paid for are never touched without asking. Dependencies follow the manifest too;
the triggers of the schema count what a job waits for, block it and release it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from batchgen.state.difference import (
    LIVE,
    NEVER_ATTEMPTED,
    attached,
    choose_reruns,
    find_difference,
    take_up_renamed,
)
from batchgen.state.file_names import make_names_unique, rename
from batchgen.state.records import FOLLOWS_MANIFEST, STAGED
from batchgen.state.selection import Selection

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path

    from batchgen.state.staging import Staging


_UNWANTED = """
    SELECT need.job, need.needs FROM main.need
    JOIN main.job AS dependant ON dependant.seq = need.job
    JOIN main.job AS needed ON needed.seq = need.needs
    WHERE need.job IN ({leaving}) OR need.needs IN ({leaving}) OR NOT EXISTS (
        SELECT 1 FROM incoming.job AS today
        JOIN incoming.need AS wanted ON wanted.job = today.seq AND wanted.needs = needed.id
        WHERE today.id = dependant.id)
"""

_WANTED = """
    INSERT INTO main.need (job, needs)
    SELECT dependant.seq, needed.seq FROM incoming.need AS wanted
    JOIN incoming.job AS today ON today.seq = wanted.job
    JOIN main.job AS dependant ON dependant.id = today.id
    JOIN main.job AS needed ON needed.id = wanted.needs
    WHERE NOT EXISTS (
        SELECT 1 FROM main.need WHERE need.job = dependant.seq AND need.needs = needed.seq)
"""


def drop_edges(db: sqlite3.Connection, leaving: str) -> None:
    """Drop needs that the manifest no longer has, and those of jobs in the query `leaving`."""
    if db.execute("SELECT 1 FROM main.need LIMIT 1").fetchone() is None:
        return
    db.execute(f"CREATE TEMP TABLE unwanted AS {_UNWANTED.format(leaving=leaving)}")
    db.execute("DELETE FROM main.need WHERE (job, needs) IN (SELECT job, needs FROM temp.unwanted)")
    db.execute("DROP TABLE temp.unwanted")


def add_edges(db: sqlite3.Connection) -> None:
    """Add the missing needs; all jobs must be in the state by now."""
    if db.execute("SELECT 1 FROM incoming.need LIMIT 1").fetchone() is not None:
        db.execute(_WANTED)


class OnChanged(StrEnum):
    """What to do with a job whose input changed after it may have been paid for."""

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
class RenamedJob:
    """A job that may have been paid for and has a different id today, with the same input."""

    before: str
    now: str
    state: str


@dataclass(frozen=True, slots=True)
class Difference:
    """How the manifest differs from the state. `new` jobs were never attempted before."""

    new: int
    known: int
    orphaned: int
    changed: tuple[ChangedJob, ...]
    renamed: tuple[RenamedJob, ...] = ()

    @property
    def asks_a_person(self) -> bool:
        return bool(self.changed or self.renamed)


def merge(
    db: sqlite3.Connection,
    staging: Staging,
    path: Path,
    on_changed: OnChanged,
    selection: Selection | None = None,
) -> Difference:
    """Bring the state up to the manifest, in one transaction.

    With OnChanged.REFUSE, nothing is written if a paid job has a new input or a new id: the caller
    finds those in the difference. OnChanged.RERUN concerns only the selected jobs.
    """
    selected = selection or Selection()
    with attached(db, staging, path):
        db.execute("BEGIN IMMEDIATE")
        difference = _difference(db)
        if difference.asks_a_person and on_changed is OnChanged.REFUSE:
            return difference
        if on_changed is OnChanged.RERUN:
            choose_reruns(db, selected)
        take_up_renamed(db)
        # First, since a job that is still in a need cannot be deleted.
        drop_edges(db, _LEAVING)
        _forget_never_attempted(db)
        _take_up_unpaid(db)
        _forget_todays_inputs(db)
        _rerun_changed(db)
        if on_changed is OnChanged.RERUN:
            _note_todays_inputs(db)
        _update_listing(db)
        _insert_new(db)
        add_edges(db)
        db.execute("COMMIT")
        return difference


def _difference(db: sqlite3.Connection) -> Difference:
    find_difference(db)
    changed = db.execute(
        f"SELECT job.id, job.state, job.state IN {LIVE}"
        " FROM temp.difference JOIN job ON job.seq = difference.seq"
        " WHERE difference.asks ORDER BY job.seq"
    )
    jobs = tuple(ChangedJob(job_id, state, bool(live)) for job_id, state, live in changed)
    staged, known = db.execute(
        "SELECT count(*), count(CASE WHEN attempted THEN 1 END) FROM temp.difference"
    ).fetchone()
    (orphaned,) = db.execute(
        f"SELECT count(*) FROM temp.gone JOIN job USING (seq) WHERE NOT {NEVER_ATTEMPTED}"
    ).fetchone()
    return Difference(staged - known, known, orphaned, jobs, _renamed(db))


def _renamed(db: sqlite3.Connection) -> tuple[RenamedJob, ...]:
    rows = db.execute(
        "SELECT job.id, today.id, job.state FROM temp.difference AS diff"
        " JOIN incoming.job AS today ON today.seq = diff.today"
        " JOIN main.job AS job ON job.seq = diff.moved ORDER BY today.seq"
    )
    return tuple(RenamedJob(*row) for row in rows)


# Jobs never attempted that are not in the manifest, or have another file name there.
_LEAVING = (
    f"SELECT seq FROM temp.gone JOIN job USING (seq) WHERE {NEVER_ATTEMPTED}"
    " UNION ALL SELECT seq FROM temp.difference WHERE renamed AND NOT attempted"
)


def _forget_never_attempted(db: sqlite3.Connection) -> None:
    db.execute(f"DELETE FROM job WHERE seq IN ({_LEAVING})")
    db.execute("UPDATE temp.difference SET seq = NULL WHERE renamed AND NOT attempted")


# The known jobs joined with today's, for `UPDATE job … FROM`.
_TODAY = (
    "FROM temp.difference AS diff JOIN incoming.job AS today ON today.seq = diff.today"
    " WHERE job.seq = diff.seq"
)


def _take_up_unpaid(db: sqlite3.Connection) -> None:
    taken_up = "diff.changed AND NOT diff.asks"
    # A blocked job is released by the job that blocks it.
    kept = "job.state = 'blocked'"
    db.execute(
        "UPDATE job SET model = today.model, body = today.body,"
        f" error_code = iif({kept}, job.error_code, NULL), error = iif({kept}, job.error, NULL)"
        f" {_TODAY} AND {taken_up}"
    )
    # What a person cancelled stays cancelled; a retry then sends the new input. This is a separate
    # statement: it releases blocked jobs, which a statement that also writes them would undo.
    db.execute(f"UPDATE job SET state = 'pending' {_TODAY} AND {taken_up} AND job.state = 'failed'")


def _rerun_changed(db: sqlite3.Connection) -> None:
    """Old attempts keep the input that they were made with, and their files stay in place."""
    db.execute(
        "UPDATE attempt SET model = coalesce(attempt.model, job.model),"
        " body = coalesce(attempt.body, job.body) FROM job"
        " WHERE job.seq = attempt.job AND job.seq IN (SELECT seq FROM temp.difference WHERE rerun)"
    )
    db.execute(
        "UPDATE job SET body = today.body, model = today.model, state = 'pending',"
        " failures = 0, cancel_asked = 0, error_code = NULL, error = NULL"
        f" {_TODAY} AND diff.rerun"
    )


# It covers every way in which such a job can run again while this connection is open: a person's
# decision, `on_unknown`, `retries`. Otherwise the old input would be paid for now, and today's by
# the next run as well.
_SENDS_TODAYS_INPUT = """
    CREATE TEMP TRIGGER sends_todays_input AFTER UPDATE OF state ON main.job
    WHEN NEW.state = 'pending' AND EXISTS (SELECT 1 FROM todays_input WHERE seq = NEW.seq)
    BEGIN
        UPDATE attempt SET model = coalesce(model, NEW.model), body = coalesce(body, NEW.body)
        WHERE job = NEW.seq;
        UPDATE job SET model = today.model, body = today.body, failures = 0
        FROM todays_input AS today WHERE job.seq = NEW.seq AND today.seq = NEW.seq;
        DELETE FROM todays_input WHERE seq = NEW.seq;
    END
"""


def _note_todays_inputs(db: sqlite3.Connection) -> None:
    """The new inputs of jobs that cannot be rerun now, in case they run again during this run."""
    db.execute(
        "CREATE TEMP TABLE todays_input"
        " (seq INTEGER PRIMARY KEY, model TEXT NOT NULL, body TEXT NOT NULL)"
    )
    noted = db.execute(
        "INSERT INTO temp.todays_input SELECT job.seq, today.model, today.body"
        " FROM main.job AS job JOIN temp.difference AS diff ON diff.seq = job.seq"
        " JOIN incoming.job AS today ON today.seq = diff.today"
        " WHERE diff.asks AND NOT diff.rerun"
    ).rowcount
    if noted:
        db.execute(_SENDS_TODAYS_INPUT)


def _forget_todays_inputs(db: sqlite3.Connection) -> None:
    db.execute("DROP TRIGGER IF EXISTS temp.sends_todays_input")
    db.execute("DROP TABLE IF EXISTS temp.todays_input")


def _update_listing(db: sqlite3.Connection) -> None:
    db.execute("UPDATE job SET listed = 0 WHERE seq IN (SELECT seq FROM temp.gone) AND listed")
    followed = ", ".join(f"{column} = today.{column}" for column in FOLLOWS_MANIFEST)
    # The same work as before, but its files may have other paths.
    body = "body = iif(diff.changed, job.body, today.body)"
    db.execute(f"UPDATE job SET listed = 1, {body}, {followed} {_TODAY} AND diff.relisted")


_NEW = "SELECT today FROM temp.difference WHERE seq IS NULL"

_NAME_TAKEN = (
    f"SELECT seq FROM incoming.job WHERE seq IN ({_NEW})"
    " AND (name_key IN (SELECT name_key FROM main.job)"
    " OR name_key IN (SELECT name_key FROM main.file))"
)


def _insert_new(db: sqlite3.Connection) -> int:
    """Add new jobs in the manifest's order; a name that an older job or file has is made unique."""
    while rename(db, "incoming.job", _NAME_TAKEN):
        # The new name may already belong to another staged job.
        make_names_unique(db, "incoming")
    columns = ", ".join(STAGED)
    return db.execute(
        f"INSERT INTO job ({columns}) SELECT {columns}"
        f" FROM incoming.job WHERE seq IN ({_NEW}) ORDER BY seq"
    ).rowcount
