"""What a state knows of the requests that a log names, and how it takes back those it has lost."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from batchgen.jobs import JobState, digest_of
from batchgen.state.manual_actions import BY_HAND
from batchgen.state.transitions import accepted

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_WHY = "the state lost the answer to this submit; it may have been charged"


def has_attempts(db: sqlite3.Connection) -> bool:
    return bool(db.execute("SELECT EXISTS (SELECT 1 FROM attempt)").fetchone()[0])


def job_without_answer(db: sqlite3.Connection, job: str, number: int) -> int | None:
    """The number of a job whose attempt of that number has no request yet."""
    row = db.execute(
        "SELECT seq FROM job JOIN attempt ON attempt.job = seq"
        " WHERE id = ? AND number = ? AND request_id IS NULL",
        (job, number),
    ).fetchone()
    return row[0] if row else None


def requests_if_readable(db: sqlite3.Connection) -> list[tuple[str, str]] | None:
    """Jobs and all their requests; None where SQLite cannot read its file any more."""
    try:
        return db.execute(
            "SELECT id, request_id FROM attempt JOIN job ON seq = job WHERE request_id IS NOT NULL"
        ).fetchall()
    except sqlite3.Error:
        return None


def is_known(db: sqlite3.Connection, request_id: str, job: str) -> bool:
    """Whether an attempt has this request, or a person gave the job another one instead."""
    row = db.execute(
        "SELECT EXISTS (SELECT 1 FROM attempt WHERE request_id = ?) OR EXISTS ("
        f"SELECT 1 FROM attempt JOIN job ON seq = job WHERE id = ? AND answer = '{BY_HAND}')",
        (request_id, job),
    ).fetchone()
    return bool(row[0])


def was_attempted(db: sqlite3.Connection, job: str) -> bool | None:
    """None where no job has this id."""
    row = db.execute("SELECT attempts FROM job WHERE id = ?", (job,)).fetchone()
    return None if row is None else bool(row[0])


def give_back(
    db: sqlite3.Connection, requests: Mapping[str, str], unanswered: Iterable[str], at: float
) -> dict[str, str]:
    """Record requests, id to job in the order of their acceptance; returns those no job takes.

    `unanswered` are jobs whose submit may have been accepted: they become unknown. `at` is in epoch
    seconds. The caller holds the transaction.
    """
    # Only the latest request of a job counts: the earlier ones had ended without a result.
    latest = {job: request_id for request_id, job in requests.items()}
    left = {
        request_id: job
        for job, request_id in latest.items()
        if not _give_back(db, job, request_id, at)
    }
    for job in unanswered:
        _record_attempt(db, job, JobState.UNKNOWN, at)
    return left


def _give_back(db: sqlite3.Connection, job: str, request_id: str, at: float) -> bool:
    """To the attempt that has no answer, or to a new one."""
    row = db.execute(
        "SELECT job, number FROM attempt JOIN job ON job.seq = attempt.job"
        " WHERE id = ? AND outcome IS NULL AND request_id IS NULL",
        (job,),
    ).fetchone() or _record_attempt(db, job, JobState.SUBMITTING, at)
    if row is None:
        return False
    seq, number = row
    return accepted(db, seq, number, request_id, "from run.log", at).queued


def _record_attempt(
    db: sqlite3.Connection, job: str, state: JobState, at: float
) -> tuple[int, int] | None:
    """Record an earlier submit; None where the job is not pending, or does not exist."""
    row = db.execute(
        "UPDATE job SET state = ?, attempts = attempts + 1, error_code = 'interrupted', error = ?"
        " WHERE id = ? AND state IN ('pending', 'blocked') RETURNING seq, attempts, body",
        (state, _WHY, job),
    ).fetchone()
    if row is None:
        return None
    seq, number, body = row
    db.execute(
        "INSERT INTO attempt (job, number, body_sha256, submitted_at) VALUES (?, ?, ?, ?)",
        (seq, number, digest_of(body), at),
    )
    return seq, number
