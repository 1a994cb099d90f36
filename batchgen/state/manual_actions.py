"""What people decide about jobs: resolve, retry, cancel and approve.

These functions need the connection that may write. Those that can refuse return the reason.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from batchgen.jobs import JobState
from batchgen.state.conditions import (
    ENDED_UNDONE,
    HAS_NEEDS,
    HAS_OPEN_REQUEST,
    IS_UPLOADING,
)
from batchgen.state.meta import Meta, drop_meta
from batchgen.state.reviews import REJECTED_JOBS, stay_done
from batchgen.state.transitions import move, turn_back
from batchgen.state.triggers import without_triggers

if TYPE_CHECKING:
    import sqlite3

    from batchgen.state.selection import Selection


BY_HAND = "adopted by hand"
"""The `answer` of an attempt whose request id a person gave."""


def adopt(db: sqlite3.Connection, seq: int, request_id: str, at: float) -> str | None:
    """Follow the request that a person found. Returns an objection, if any."""
    taken = db.execute(
        "SELECT job.id FROM attempt JOIN job ON job.seq = attempt.job WHERE request_id = ?"
        # A held job may get its own request back.
        " AND NOT (job.seq = ? AND outcome IS NULL)",
        (request_id, seq),
    ).fetchone()
    if taken:
        return f"request {request_id} already belongs to job {taken[0]}"
    # There must be an open attempt to take the request.
    if not _may_decide(db, seq):
        return _nothing_to_decide(db, seq)
    _keep_own_request(db, seq, request_id, at)
    move(db, seq, JobState.QUEUED)
    db.execute(
        f"UPDATE attempt SET request_id = ?, accepted_at = ?, answer = '{BY_HAND}',"
        " cost = NULL, result = NULL WHERE job = ? AND outcome IS NULL",
        (request_id, at, seq),
    )
    return None


def _keep_own_request(db: sqlite3.Connection, seq: int, request_id: str, at: float) -> None:
    """Keep a lost or set-aside request that the vendor gave to the job: it may be paid for.

    The adopted request becomes a new attempt; the old one stays recorded, and its price counts as
    spent. The request of a held job may be another job's, and one given by a person may be
    mistyped: those are overwritten.
    """
    given_up = db.execute(
        "UPDATE attempt SET outcome = 'written_off', ended_at = ? WHERE job = ? AND outcome IS NULL"
        f" AND request_id != ? AND answer IS NOT '{BY_HAND}'"
        " AND (SELECT state FROM job WHERE seq = attempt.job) IN ('failed', 'lost')",
        (at, seq, request_id),
    ).rowcount
    if given_up:
        db.execute(
            "INSERT INTO attempt (job, number, body_sha256, model, body, price, submitted_at)"
            " SELECT job, number + 1, body_sha256, attempt.model, attempt.body, price, submitted_at"
            " FROM attempt JOIN job ON seq = job AND number = attempts WHERE seq = ?",
            (seq,),
        )
        db.execute("UPDATE job SET attempts = attempts + 1 WHERE seq = ?", (seq,))


def resubmit(db: sqlite3.Connection, seq: int, at: float) -> str | None:
    """Allow another submit, although the first one may have been charged.

    A known request is asked for first, and the job is paid for again only if that has ended without
    files: the vendor may have today what it did not find earlier.
    """
    if _state(db, seq) in {JobState.FAILED, JobState.LOST} and has_open_request(db, seq):
        _ask_first(db, seq)
        return None
    return _give_up(db, seq, "resubmitted", JobState.PENDING, at)


def resubmit_within(db: sqlite3.Connection, seq: int, most: int, at: float) -> str | None:
    """Allow it for `on_unknown: resubmit`, at most `most` times per job."""
    (used,) = db.execute(
        "SELECT count(*) FROM attempt WHERE job = ? AND outcome = 'resubmitted'", (seq,)
    ).fetchone()
    if used >= most:
        return f"already resubmitted {used} times, each time without an answer"
    return resubmit(db, seq, at)


def resubmit_all(db: sqlite3.Connection, most: int, at: float) -> int:
    """Do so for every job that got no answer. Returns how many.

    Not for jobs whose requests were mixed up: those requests exist and are paid for, and only a
    person can say which job each belongs to.
    """
    unanswered = db.execute(
        "SELECT seq FROM job WHERE state = 'unknown'"
        " AND error_code NOT IN ('duplicate_request', 'two_requests')"
    ).fetchall()
    return sum(resubmit_within(db, seq, most, at) is None for (seq,) in unanswered)


def write_off(db: sqlite3.Connection, seq: int, at: float) -> str | None:
    """Give a request up: the job fails, and its price stays counted as spent.

    This also gives up a paid result that cannot be downloaded; its URLs and its cost are kept.
    """
    if _state(db, seq) is JobState.FETCHING:
        move(db, seq, JobState.FAILED, "written_off", "written off by hand")
        return None
    if _state(db, seq) is JobState.FAILED and has_open_request(db, seq):
        # It has failed already; from now on, no run asks for its request.
        db.execute(
            "UPDATE job SET error_code = 'written_off', error = 'written off by hand'"
            " WHERE seq = ?",
            (seq,),
        )
    return _give_up(db, seq, "written_off", JobState.FAILED, at)


def _give_up(db: sqlite3.Connection, seq: int, outcome: str, to: JobState, at: float) -> str | None:
    if not _may_decide(db, seq):
        return _nothing_to_decide(db, seq)
    code, reason = (None, None) if to is JobState.PENDING else (outcome, "written off by hand")
    move(db, seq, to, code, reason)
    # The last decision counts: a resubmit takes an earlier cancel back.
    db.execute("UPDATE job SET cancel_asked = 0 WHERE seq = ?", (seq,))
    db.execute(
        "UPDATE attempt SET outcome = ?, ended_at = ? WHERE job = ? AND outcome IS NULL",
        (outcome, at, seq),
    )
    return None


def _state(db: sqlite3.Connection, seq: int) -> JobState:
    return JobState(db.execute("SELECT state FROM job WHERE seq = ?", (seq,)).fetchone()[0])


def _may_decide(db: sqlite3.Connection, seq: int) -> bool:
    """Unknown, lost or set aside: only a person can find out what became of the request."""
    state = _state(db, seq)
    if state is JobState.FAILED:
        return has_open_request(db, seq)
    return state in {JobState.UNKNOWN, JobState.LOST}


def has_open_request(db: sqlite3.Connection, seq: int) -> bool:
    (found,) = db.execute(f"SELECT {HAS_OPEN_REQUEST} FROM job WHERE seq = ?", (seq,)).fetchone()
    return bool(found)


def is_uploading(db: sqlite3.Connection, seq: int) -> bool:
    (found,) = db.execute(f"SELECT {IS_UPLOADING} FROM job WHERE seq = ?", (seq,)).fetchone()
    return bool(found)


def _ask_first(db: sqlite3.Connection, seq: int) -> None:
    """Follow the open request once more; the job runs again only if it has ended without files."""
    move(db, seq, JobState.QUEUED)
    db.execute(
        "UPDATE job SET failures = 0, cancel_asked = 0, again_asked = 1 WHERE seq = ?", (seq,)
    )


def _nothing_to_decide(db: sqlite3.Connection, seq: int) -> str:
    job_id, state = db.execute("SELECT id, state FROM job WHERE seq = ?", (seq,)).fetchone()
    return f"job {job_id} is {state}, not unknown: there is nothing to resolve"


def cancel(db: sqlite3.Connection, seq: int) -> bool:
    """Cancel a job that was not sent; returns False if only the vendor can cancel it.

    In that case the cancel is recorded: it survives a runner that dies before asking the vendor,
    and the job is not retried. A job that was to be made again keeps its paid result.
    """
    if _state(db, seq) in {JobState.PENDING, JobState.BLOCKED}:
        if stay_done(db, seq):
            return True
        reason = "cancelled by hand before it was submitted"
        return move(db, seq, JobState.CANCELLED, "cancelled", reason)
    db.execute(
        "UPDATE job SET cancel_asked = 1 WHERE seq = ?"
        " AND state IN ('submitting', 'queued', 'running')",
        (seq,),
    )
    return False


def retry(db: sqlite3.Connection, seq: int) -> JobState | None:
    """Start an ended job again. Returns its new state; None if there is nothing to retry.

    A request that was too slow or had no files is asked for first: the job is paid for again only
    if it has ended without files. A lost request is only asked for: `resolve` can give it up.
    """
    state = _state(db, seq)
    if state not in {JobState.FAILED, JobState.CANCELLED, JobState.LOST}:
        return None
    if has_open_request(db, seq):
        _ask_first(db, seq)
        if state is JobState.LOST:
            db.execute("UPDATE job SET again_asked = 0 WHERE seq = ?", (seq,))
    else:
        db.execute("UPDATE job SET failures = 0, cancel_asked = 0 WHERE seq = ?", (seq,))
        move(db, seq, JobState.PENDING)
    # It is blocked instead of pending if a job that it needs has failed.
    return _state(db, seq)


def may_go_again(*, rejected: bool = False, state: str = "state") -> str:
    """An SQL condition for jobs that ended without being done; `state` is the column to test.

    With `rejected`, also for jobs whose result a person rejected; that result is kept.
    """
    ended = f"{state} IN {ENDED_UNDONE}"
    if not rejected:
        return ended
    return f"({ended} OR ({state} = 'done' AND seq IN ({REJECTED_JOBS})))"


def retry_selected(db: sqlite3.Connection, selection: Selection, again: str) -> int:
    """Start the selected jobs again for which `again` (`may_go_again`) holds. Returns how many.

    Inside the caller's transaction: after a crash, either all of them go again or none.
    """
    condition, values = selection.where()
    # Their numbers first: restarting one job changes others that the condition tests.
    db.execute(
        f"CREATE TEMP TABLE again AS SELECT seq, {HAS_OPEN_REQUEST} AS asked,"
        f" state = 'lost' AS is_lost, {HAS_NEEDS} AS is_linked"
        f" FROM job WHERE listed = 1 AND {again} AND {condition}",
        values,
    )
    with without_triggers(db):
        # With neither a request nor a need, a job is only a row, and there may be a million.
        count = db.execute(
            "UPDATE job SET state = 'pending', failures = 0, cancel_asked = 0, error_code = NULL,"
            " error = NULL, again_asked = 0, cause = NULL WHERE seq IN"
            " (SELECT seq FROM temp.again WHERE NOT (asked OR is_linked))"
        ).rowcount
    count += db.execute(
        "UPDATE job SET state = iif(again.asked, 'queued', 'pending'), failures = 0,"
        " cancel_asked = 0, error_code = NULL, error = NULL,"
        " again_asked = (again.asked AND NOT again.is_lost)"
        " FROM temp.again AS again WHERE job.seq = again.seq AND (again.asked OR again.is_linked)"
    ).rowcount
    db.execute("DROP TABLE temp.again")
    return count


def approve(db: sqlite3.Connection, seq: int, at: float) -> str | None:  # noqa: ARG001 - as its kin
    """Open the gate of a done job: jobs that need it may start. Returns an objection, if any."""
    job_id, state, gate, approved = db.execute(
        "SELECT id, state, gate, approved FROM job WHERE seq = ?", (seq,)
    ).fetchone()
    if not gate:
        return f"job {job_id} has no gate: nothing waits for its approval"
    if state != JobState.DONE:
        return f"job {job_id} is {state}, not done: there is nothing to approve yet"
    if approved:
        return f"job {job_id} is approved already"
    db.execute("UPDATE job SET approved = 1 WHERE seq = ?", (seq,))
    return None


def settle_dead_run(db: sqlite3.Connection, at: float) -> int:
    """At start, under the lock: mark submits of a dead run as unknown. Returns how many.

    Not those that were still being uploaded: half a body cannot be accepted, so their jobs are
    pending again. `at` is in epoch seconds.
    """
    drop_meta(db, Meta.LIMITS)  # those of a run end with it
    never_sent = f"SELECT seq, attempts FROM job WHERE state = 'submitting' AND {IS_UPLOADING}"
    for seq, number in db.execute(never_sent).fetchall():
        turn_back(db, seq, number, "not_sent", _CUT_OFF, at)
    return db.execute(
        "UPDATE job SET state = 'unknown', error_code = 'interrupted',"
        " error = 'the run ended while the submit was under way; it may have been charged'"
        " WHERE state = 'submitting'"
    ).rowcount


_CUT_OFF = "the run ended before all of the input was sent"


def reopen(db: sqlite3.Connection) -> int:
    """At start: ask again for requests that were set aside or not found. Returns how many."""
    return db.execute(
        "UPDATE job SET state = 'queued', error_code = NULL, error = NULL"
        # Searched from the few open attempts, not from all failed jobs.
        " WHERE seq IN (SELECT job FROM attempt WHERE outcome IS NULL AND request_id IS NOT NULL)"
        " AND state IN ('failed', 'lost')"
    ).rowcount
