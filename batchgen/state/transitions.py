"""Every change of a job's state: short functions that take the writing connection.

Each moves a job only along jobs.LEGAL_TARGETS. It returns False, and changes nothing, if the job is
no longer in the state that the caller expected: a cancel or another decision was quicker.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from batchgen.jobs import LEGAL_SOURCES, JobState
from batchgen.state.conditions import DUE
from batchgen.state.file_names import claim_file_names

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence


def is_followed(db: sqlite3.Connection, seq: int) -> bool:
    return bool(
        db.execute(
            "SELECT 1 FROM job WHERE seq = ? AND state IN ('queued', 'running')", (seq,)
        ).fetchone()
    )


def is_open(db: sqlite3.Connection, seq: int, number: int) -> bool:
    return bool(
        db.execute(
            "SELECT 1 FROM attempt WHERE job = ? AND number = ? AND outcome IS NULL", (seq, number)
        ).fetchone()
    )


def is_cancel_asked(db: sqlite3.Connection, seq: int) -> bool:
    return bool(db.execute("SELECT cancel_asked FROM job WHERE seq = ?", (seq,)).fetchone()[0])


@dataclass(frozen=True, slots=True)
class Closing:
    """What is written on an attempt when it is closed. `outcome` as in schema.sql."""

    outcome: str
    code: str | None = None
    error: str | None = None
    cost: float | None = None
    result: str | None = None


def close_attempt(
    db: sqlite3.Connection, seq: int, number: int, closing: Closing, at: float
) -> bool:
    """Close an open attempt; False where it is closed already."""
    return (
        db.execute(
            "UPDATE attempt SET outcome = ?, ended_at = ?, error_code = ?, error = ?, cost = ?,"
            " result = ? WHERE job = ? AND number = ? AND outcome IS NULL",
            (
                closing.outcome,
                at,
                closing.code,
                closing.error,
                closing.cost,
                closing.result,
                seq,
                number,
            ),
        ).rowcount
        == 1
    )


def move(
    db: sqlite3.Connection,
    seq: int,
    to: JobState,
    code: str | None = None,
    reason: str | None = None,
) -> bool:
    """One legal step of a job; False where the table of jobs.LEGAL_TARGETS does not allow it."""
    return (
        db.execute(
            "UPDATE job SET state = ?, error_code = ?, error = ?"
            f" WHERE seq = ? AND state IN {_SOURCES[to]}",
            (to.value, code, reason, seq),
        ).rowcount
        == 1
    )


_SOURCES = {
    state: "(" + ", ".join(f"'{source.value}'" for source in sources) + ")"
    for state, sources in LEGAL_SOURCES.items()
}


def begin_attempt(
    db: sqlite3.Connection,
    seq: int,
    body_sha256: str,
    price: float | None,
    at: float,
    body: str | None = None,
    *,
    uploading: bool = False,
) -> int | None:
    """Record the intent to submit; the POST may go out once this is durable.

    `body` is what is sent, where that is not the job's own. With `uploading` the last part of it
    may not go out before `handed_over` is durable too. Returns the attempt's number, None where the
    job is not due any more.
    """
    row = db.execute(
        "UPDATE job SET state = 'submitting', error_code = NULL, error = NULL,"
        " attempts = attempts + 1, again_asked = 0"
        f" WHERE seq = ? AND {DUE} RETURNING attempts",
        (seq,),
    ).fetchone()
    if row is None:
        return None
    db.execute(
        "INSERT INTO attempt (job, number, body_sha256, body, price, submitted_at, uploading)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (seq, row[0], body_sha256, body, price, at, uploading),
    )
    return int(row[0])


def handed_over(db: sqlite3.Connection, seq: int, number: int) -> bool:
    """Once this is durable, the last part of a large body may go out, and may be accepted.

    False where the attempt is closed: nothing more of it may go out.
    """
    return (
        db.execute(
            "UPDATE attempt SET uploading = 0 WHERE job = ? AND number = ? AND outcome IS NULL",
            (seq, number),
        ).rowcount
        == 1
    )


def reject(db: sqlite3.Connection, seq: int, code: str, reason: str) -> bool:
    """A pending job failed before anything was sent: its input cannot be right."""
    return (
        db.execute(
            "UPDATE job SET state = 'failed', error_code = ?, error = ?"
            " WHERE seq = ? AND state = 'pending'",
            (code, reason, seq),
        ).rowcount
        == 1
    )


@dataclass(frozen=True, slots=True)
class Acceptance:
    """What recording a request's id found. `queued`: the job is to be followed now.

    `twin` is the id of another job that has the same request.
    """

    queued: bool
    twin: str | None = None


def accepted(
    db: sqlite3.Connection, seq: int, number: int, request_id: str, answer: str, at: float
) -> Acceptance:
    """Record the request's id. The answer may be late: the job may be unknown already.

    One id for two jobs: both are held, since nobody knows whose it is. An attempt that a
    person settled meanwhile keeps the id, for the record, and the job stays as it is. A request
    that a person adopted meanwhile is not overwritten: there are two now, so the job is held.
    """
    twin = db.execute(
        "SELECT job.seq, job.id, number FROM attempt JOIN job ON job.seq = attempt.job"
        " WHERE request_id = ? AND (job, number) != (?, ?)",
        (request_id, seq, number),
    ).fetchone()
    if twin is not None:
        return _hold_both(db, (seq, number), twin, request_id, answer)
    row = db.execute(
        "UPDATE attempt SET request_id = ?, answer = ?, accepted_at = ?"
        " WHERE job = ? AND number = ? AND (request_id IS NULL OR request_id = ?)"
        " RETURNING outcome",
        (request_id, answer, at, seq, number, request_id),
    ).fetchone()
    if row is None:
        return _hold_two_requests(db, seq, number, request_id, answer)
    return Acceptance(queued=row[0] is None and move(db, seq, JobState.QUEUED))


def _hold_two_requests(
    db: sqlite3.Connection, seq: int, number: int, request_id: str, answer: str
) -> Acceptance:
    db.execute("UPDATE attempt SET answer = ? WHERE job = ? AND number = ?", (answer, seq, number))
    reason = f"the late answer names request {request_id}, but another one was adopted by hand"
    _hold(db, seq, number, "two_requests", reason)
    return Acceptance(queued=False)


def _hold_both(
    db: sqlite3.Connection,
    attempt: tuple[int, int],
    twin: tuple[int, str, int],
    request_id: str,
    answer: str,
) -> Acceptance:
    db.execute("UPDATE attempt SET answer = ? WHERE job = ? AND number = ?", (answer, *attempt))
    twin_seq, twin_id, twin_number = twin
    (job_id,) = db.execute("SELECT id FROM job WHERE seq = ?", attempt[:1]).fetchone()
    for seq, number, other in ((*attempt, twin_id), (twin_seq, twin_number, job_id)):
        reason = f"the vendor gave request {request_id} to this job and to {other}"
        _hold(db, seq, number, "duplicate_request", reason)
    return Acceptance(queued=False, twin=twin_id)


def _hold(db: sqlite3.Connection, seq: int, number: int, code: str, reason: str) -> None:
    """Only while the attempt is open: a settled one says nothing about the job now."""
    if is_open(db, seq, number):
        move(db, seq, JobState.UNKNOWN, code, reason)


def unclear(
    db: sqlite3.Connection, seq: int, number: int, code: str, reason: str, answer: str
) -> bool:
    """The outcome of a submit cannot be known: the job waits for a person, its attempt is open.

    Only while this attempt is being submitted: an answer that was recorded in the meantime is the
    truth, and a later attempt is another story.
    """
    if db.execute(
        "SELECT 1 FROM job WHERE seq = ? AND attempts = ? AND state = 'submitting'", (seq, number)
    ).fetchone():
        db.execute(
            "UPDATE attempt SET answer = ? WHERE job = ? AND number = ?", (answer, seq, number)
        )
        return move(db, seq, JobState.UNKNOWN, code, reason)
    return False


def running(db: sqlite3.Connection, seq: int) -> bool:
    return move(db, seq, JobState.RUNNING)


def turn_back(
    db: sqlite3.Connection, seq: int, number: int, outcome: str, reason: str, at: float
) -> bool:
    """The submit ended without a charge, and nothing is wrong with the job: pending again."""
    closed = _close_unaccepted(db, seq, number, Closing(outcome, error=reason), at)
    if closed and is_cancel_asked(db, seq):
        words = "cancelled by hand; nothing was charged"
        return move(db, seq, JobState.CANCELLED, "cancelled", words)
    return closed and move(db, seq, JobState.PENDING)


def refused(
    db: sqlite3.Connection, seq: int, number: int, code: str, reason: str, at: float
) -> bool:
    closed = _close_unaccepted(db, seq, number, Closing("refused", code, reason), at)
    return closed and move(db, seq, JobState.FAILED, code, reason)


def _close_unaccepted(
    db: sqlite3.Connection, seq: int, number: int, closing: Closing, at: float
) -> bool:
    """Not if a person adopted a request meanwhile: that one is followed, and may be charged."""
    adopted = db.execute(
        "SELECT 1 FROM attempt WHERE job = ? AND number = ? AND request_id IS NOT NULL",
        (seq, number),
    ).fetchone()
    return adopted is None and close_attempt(db, seq, number, closing, at)


def refuse_model(db: sqlite3.Connection, model: str, code: str, reason: str) -> int:
    """Every pending job of a model fails, since the vendor refuses the model. Returns how many."""
    return db.execute(
        "UPDATE job SET state = 'failed', error_code = ?, error = ?"
        " WHERE state = 'pending' AND listed AND model = ?",
        (code, reason, model),
    ).rowcount


def delivered(
    db: sqlite3.Connection,
    seq: int,
    number: int,
    urls: Sequence[str],
    cost: float | None,
    result: str,
    at: float,
) -> bool:
    """The request succeeded: its URLs are on the disk before a download starts."""
    if not (is_followed(db, seq) and is_open(db, seq, number)):
        return False
    move(db, seq, JobState.FETCHING)
    closing = Closing("succeeded", cost=cost, result=result)
    close_attempt(db, seq, number, closing, at)
    for position, (url, (name, key)) in enumerate(
        zip(urls, claim_file_names(db, seq, number, len(urls)), strict=True), start=1
    ):
        db.execute(
            "INSERT INTO file (job, attempt, position, url, name, name_key)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            (seq, number, position, url, name, key),
        )
    return True


@dataclass(frozen=True, slots=True)
class Ending:
    """How a request ended without a result. `again`: the job is pending once more at once.

    `blameless`: it is no failure of the job, and does not count against `run.retries`.
    """

    state: JobState
    code: str
    reason: str
    cost: float | None = None
    result: str = ""
    again: bool = False
    blameless: bool = False


def ended(db: sqlite3.Connection, seq: int, number: int, ending: Ending, at: float) -> bool:
    """The request ended without a result: failed, cancelled or lost.

    A job that is held meanwhile stays held: else `again` would submit what a person must decide.
    """
    if not (is_followed(db, seq) and is_open(db, seq, number)):
        return False
    if not move(db, seq, ending.state, ending.code, ending.reason):
        return False
    if ending.state is JobState.LOST and not ending.again:
        # What the vendor does not find today it may find tomorrow: the attempt stays open, so the
        # next run asks again, and nothing is paid again without a person's decision.
        return True
    closing = Closing(ending.state.value, ending.code, ending.reason, ending.cost, ending.result)
    close_attempt(db, seq, number, closing, at)
    if ending.state is JobState.FAILED and not ending.blameless:
        db.execute("UPDATE job SET failures = failures + 1 WHERE seq = ?", (seq,))
    if ending.again and not is_cancel_asked(db, seq):
        move(db, seq, JobState.PENDING)
    return True


def set_aside(
    db: sqlite3.Connection,
    seq: int,
    number: int,
    code: str,
    reason: str,
    cost: float | None = None,
    result: str = "",
) -> bool:
    """Nobody waits any longer, but the vendor may still deliver: the attempt stays open.

    Too slow, or a success without files; that one has a `result`, kept beside the open attempt,
    also where a later run gets no answer. A person's wish to pay again, should it have ended, is
    met once.
    """
    if not (is_followed(db, seq) and is_open(db, seq, number)):
        return False
    db.execute("UPDATE job SET again_asked = 0 WHERE seq = ?", (seq,))
    db.execute(
        "UPDATE attempt SET cost = coalesce(?, cost), result = coalesce(nullif(?, ''), result)"
        " WHERE job = ? AND number = ?",
        (cost, result, seq, number),
    )
    return move(db, seq, JobState.FAILED, code, reason)


def renew_url(db: sqlite3.Connection, file_id: int, url: str) -> None:
    db.execute("UPDATE file SET url = ? WHERE id = ? AND verified_at IS NULL", (url, file_id))


def refresh_url(db: sqlite3.Connection, file_id: int, url: str) -> None:
    """The vendor gave a new URL for a file that is downloaded already, for a job that needs it."""
    db.execute("UPDATE file SET url = ? WHERE id = ? AND verified_at IS NOT NULL", (url, file_id))


def trouble(db: sqlite3.Connection, seq: int, code: str, reason: str) -> None:
    """Note why a download failed; the job stays where it is."""
    db.execute("UPDATE job SET error_code = ?, error = ? WHERE seq = ?", (code, reason, seq))
