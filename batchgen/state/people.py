"""What a person may decide about a job: resolve, retry, cancel. Takes the writing connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

from batchgen.jobs import JobState
from batchgen.state.queries import Selection, select_jobs
from batchgen.state.steps import move

if TYPE_CHECKING:
    import sqlite3


def adopt(db: sqlite3.Connection, seq: int, request_id: str, at: float) -> str | None:
    """The person found the request in the vendor's list: follow it. Returns why not, if not."""
    taken = db.execute(
        "SELECT job.id FROM attempt JOIN job ON job.seq = attempt.job WHERE request_id = ?"
        # A held job may have its own request back.
        " AND NOT (job.seq = ? AND outcome IS NULL)",
        (request_id, seq),
    ).fetchone()
    if taken:
        return f"request {request_id} belongs to job {taken[0]} already"
    # The table of legal moves knows other ways to queued; those have no open attempt to adopt into.
    if not _is_unknown(db, seq):
        return _not_unknown(db, seq)
    move(db, seq, JobState.QUEUED)
    db.execute(
        "UPDATE attempt SET request_id = ?, accepted_at = ?, answer = 'adopted by hand'"
        " WHERE job = ? AND outcome IS NULL",
        (request_id, at, seq),
    )
    return None


def resubmit(db: sqlite3.Connection, seq: int, at: float) -> str | None:
    """The person allows another submit, though the first one may have been charged."""
    return _give_up(db, seq, "resubmitted", JobState.PENDING, at)


def resubmit_all(db: sqlite3.Connection, at: float) -> int:
    """The manifest allows it where no answer came: `on_unknown: resubmit`. How many.

    Not where requests were mixed up: those exist and are paid, so only a person can tell whose.
    """
    unanswered = db.execute(
        "SELECT seq FROM job WHERE state = 'unknown'"
        " AND error_code NOT IN ('duplicate_request', 'two_requests')"
    ).fetchall()
    return sum(resubmit(db, seq, at) is None for (seq,) in unanswered)


def write_off(db: sqlite3.Connection, seq: int, at: float) -> str | None:
    """The person gives the request up: the job failed, its price stays counted as spent."""
    return _give_up(db, seq, "written_off", JobState.FAILED, at)


def _give_up(db: sqlite3.Connection, seq: int, outcome: str, to: JobState, at: float) -> str | None:
    if not _is_unknown(db, seq):
        return _not_unknown(db, seq)
    code, reason = (None, None) if to is JobState.PENDING else (outcome, "written off by hand")
    move(db, seq, to, code, reason)
    db.execute(
        "UPDATE attempt SET outcome = ?, ended_at = ? WHERE job = ? AND outcome IS NULL",
        (outcome, at, seq),
    )
    return None


def _is_unknown(db: sqlite3.Connection, seq: int) -> bool:
    (state,) = db.execute("SELECT state FROM job WHERE seq = ?", (seq,)).fetchone()
    return bool(state == JobState.UNKNOWN)


def _not_unknown(db: sqlite3.Connection, seq: int) -> str:
    job_id, state = db.execute("SELECT id, state FROM job WHERE seq = ?", (seq,)).fetchone()
    return f"job {job_id} is {state}, not unknown: there is nothing to resolve"


def cancel_pending(db: sqlite3.Connection, seq: int) -> bool:
    """A job that was never sent is cancelled here, without asking the vendor."""
    (state,) = db.execute("SELECT state FROM job WHERE seq = ?", (seq,)).fetchone()
    return state == JobState.PENDING and move(
        db, seq, JobState.CANCELLED, "cancelled", "cancelled by hand before it was submitted"
    )


def retry(db: sqlite3.Connection, seq: int) -> JobState | None:
    """Set an ended job going again; the state it has now, None where there is nothing to retry.

    A request that outlived its timeout is asked again, not paid again.
    """
    state, open_request = db.execute(
        "SELECT state, (SELECT request_id FROM attempt WHERE job = seq AND outcome IS NULL)"
        " FROM job WHERE seq = ?",
        (seq,),
    ).fetchone()
    if state not in {JobState.FAILED, JobState.CANCELLED, JobState.LOST}:
        return None
    db.execute("UPDATE job SET failures = 0 WHERE seq = ?", (seq,))
    to = JobState.QUEUED if open_request else JobState.PENDING
    move(db, seq, to)
    return to


def retry_selected(db: sqlite3.Connection, selection: Selection) -> int:
    """Set every selected job going again that ended without being done. How many."""
    ended = (JobState.FAILED, JobState.CANCELLED, JobState.LOST)
    return sum(retry(db, seq) is not None for seq, _, _ in select_jobs(db, selection, ended))


def settle_dead_run(db: sqlite3.Connection) -> int:
    """At start, under the lock: a submit of a run that died may have been sent. How many."""
    return db.execute(
        "UPDATE job SET state = 'unknown', error_code = 'interrupted',"
        " error = 'the run ended while the submit was under way; it may have been charged'"
        " WHERE state = 'submitting'"
    ).rowcount


def reopen_timed_out(db: sqlite3.Connection) -> int:
    """At start: requests that outlived their timeout may have delivered since. How many."""
    return db.execute(
        "UPDATE job SET state = 'queued', error_code = NULL, error = NULL"
        " WHERE state = 'failed' AND EXISTS ("
        "SELECT 1 FROM attempt WHERE job = seq AND outcome IS NULL AND request_id IS NOT NULL)"
    ).rowcount
