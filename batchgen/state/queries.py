"""Readers: short functions that take a connection and hand out records.

What may be submitted is asked in due.py, what it costs in costs.py.
"""

from __future__ import annotations

import json
from itertools import groupby
from typing import TYPE_CHECKING

from batchgen.jobs import JobState
from batchgen.state.conditions import UNDER_WAY, VISIBLE
from batchgen.state.costs import money, open_price
from batchgen.state.due import (
    DueKey,
    due_page,
    first_due,
    models_in,
    needed_files,
    pending_job,
    pending_models,
    unproven_sweeps,
    visible_models,
)
from batchgen.state.files import saved_files
from batchgen.state.records import (
    JOB_COLUMNS,
    Counts,
    FailureCause,
    Failures,
    JobRow,
    JobStatus,
    LiveRequest,
    job_row,
)
from batchgen.state.selection import Selection

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator

__all__ = [
    "DueKey",
    "Selection",
    "attempts_of",
    "cancels_due",
    "counts",
    "due_page",
    "expected_seconds",
    "failures",
    "fetching",
    "first_due",
    "job_statuses",
    "live_request",
    "live_requests",
    "money",
    "needed_files",
    "not_downloaded",
    "open_price",
    "pending_job",
    "pending_models",
    "select_any",
    "select_jobs",
    "totals",
    "unanswered",
    "unproven_sweeps",
    "visible_models",
]

EVERYTHING = Selection()


def counts(db: sqlite3.Connection, selection: Selection = EVERYTHING) -> Counts:
    """Selected jobs by model and state; of all jobs, the index alone answers it."""
    return _all_counts(db) if selection == EVERYTHING else _counts_of(db, selection)


def _counts_of(db: sqlite3.Connection, selection: Selection) -> Counts:
    condition, values = selection.where()
    table: dict[str, dict[JobState, int]] = {}
    for state, model, count in db.execute(
        f"SELECT state, model, count(*) FROM job WHERE {VISIBLE} AND {condition}"
        " GROUP BY state, model",
        values,
    ):
        table.setdefault(model, {})[JobState(state)] = count
    return table


def _all_counts(db: sqlite3.Connection) -> Counts:
    table: dict[str, dict[JobState, int]] = {}
    for state in JobState:
        for listed in (True, False) if state in UNDER_WAY else (True,):
            for model in models_in(db, state, listed=listed):
                # Counted in one range of the index each: GROUP BY compares every two neighbours.
                (count,) = db.execute(
                    "SELECT count(*) FROM job INDEXED BY job_by_state"
                    " WHERE state = ? AND listed = ? AND model = ?",
                    (state.value, listed, model),
                ).fetchone()
                row = table.setdefault(model, {})
                row[state] = row.get(state, 0) + count
    return table


def totals(table: Counts) -> dict[JobState, int]:
    """Jobs by state, over all models, in the order in which they are shown."""
    found = {state: sum(row.get(state, 0) for row in table.values()) for state in JobState}
    return {state: count for state, count in found.items() if count}


def job_numbered(db: sqlite3.Connection, seq: int) -> JobRow:
    return job_row(db.execute(f"SELECT {JOB_COLUMNS} FROM job WHERE seq = ?", (seq,)).fetchone())


def job_named(db: sqlite3.Connection, job_id: str) -> JobRow | None:
    row = db.execute(f"SELECT {JOB_COLUMNS} FROM job WHERE id = ?", (job_id,)).fetchone()
    return job_row(row) if row else None


def cancels_due(db: sqlite3.Connection) -> list[int]:
    """Requests that a person wants cancelled, and that may still be with the vendor."""
    rows = db.execute(
        "SELECT seq FROM job WHERE state IN ('queued', 'running') AND cancel_asked = 1"
    )
    return [seq for (seq,) in rows]


_LIVE = (
    "SELECT seq, id, job.model, job.body, failures, state, number, request_id, accepted_at,"
    " coalesce(cost, price), result IS NOT NULL, again_asked"
    " FROM job JOIN attempt ON attempt.job = seq AND number = attempts"
    " WHERE request_id IS NOT NULL AND state "
)


def live_requests(db: sqlite3.Connection) -> list[LiveRequest]:
    """Every request that the vendor still has; as many as were in flight at once."""
    rows = db.execute(_LIVE + "IN ('queued', 'running') ORDER BY seq")
    return [_live(row) for row in rows]


def live_request(db: sqlite3.Connection, seq: int) -> LiveRequest | None:
    row = db.execute(_LIVE + "IN ('queued', 'running') AND seq = ?", (seq,)).fetchone()
    return _live(row) if row else None


def unanswered(db: sqlite3.Connection, since: float) -> list[tuple[int, str, float]]:
    """Submits without an answer, the last first: the job's number, the model, and when.

    Also of jobs that were submitted again by `on_unknown: resubmit`, or by a person. `since` and
    the times are in epoch seconds.
    """
    return db.execute(
        # Searched by the outcome: a million refused or reused attempts have no request either.
        "SELECT seq, coalesce(attempt.model, job.model), submitted_at"
        " FROM attempt INDEXED BY attempt_money JOIN job ON job.seq = attempt.job"
        " WHERE (outcome IS NULL OR outcome = 'resubmitted')"
        " AND (outcome = 'resubmitted' OR state = 'unknown')"
        " AND request_id IS NULL AND submitted_at > ? ORDER BY submitted_at DESC, seq",
        (since,),
    ).fetchall()


def _live(row: tuple[object, ...]) -> LiveRequest:
    seq, job_id, model, body, failures, state, *rest, was_empty, again_asked = row
    flags = bool(was_empty), bool(again_asked)
    return LiveRequest(seq, job_id, model, body, failures, JobState(str(state)), *rest, *flags)  # type: ignore[arg-type, call-arg]


def fetching(db: sqlite3.Connection) -> list[int]:
    """Jobs whose results are paid for and not all on the disk."""
    return [seq for (seq,) in db.execute("SELECT seq FROM job WHERE state = 'fetching'")]


def select_jobs(
    db: sqlite3.Connection, selection: Selection, states: tuple[JobState, ...]
) -> Iterator[tuple[int, str, str]]:
    """`(seq, id, model)` of the selected jobs in one of the states, a million if need be."""
    condition, values = selection.where()
    marks = ", ".join("?" * len(states))
    yield from db.execute(
        f"SELECT seq, id, model FROM job WHERE state IN ({marks}) AND {condition} ORDER BY seq",
        (*(state.value for state in states), *values),
    )


def only_selected(
    db: sqlite3.Connection, seqs: Iterable[int], selection: Selection
) -> frozenset[int]:
    """Those of the jobs that are selected."""
    condition, values = selection.where()
    rows = db.execute(
        "SELECT seq FROM json_each(?) AS one CROSS JOIN job ON job.seq = one.value"
        f" WHERE {condition}",
        (json.dumps([*seqs]), *values),
    )
    return frozenset(seq for (seq,) in rows)


def paid_for(db: sqlite3.Connection, selection: Selection) -> Iterator[tuple[int, str]]:
    """`(seq, id)` of selected jobs that are lost, set aside or not downloaded."""
    condition, values = selection.where()
    return db.execute(
        "SELECT seq, id FROM job WHERE (state IN ('lost', 'fetching') OR (state = 'failed'"
        # Searched from the few open attempts, not from all failed jobs.
        " AND seq IN (SELECT job FROM attempt WHERE outcome IS NULL AND request_id IS NOT NULL)))"
        f" AND {condition} ORDER BY state = 'failed', seq",
        values,
    )


def select_any(db: sqlite3.Connection, selection: Selection) -> bool:
    """Whether the selection names a job at all."""
    condition, values = selection.where()
    return bool(db.execute(f"SELECT 1 FROM job WHERE {condition} LIMIT 1", values).fetchone())


THROTTLED_AT_LEAST = 3
THROTTLED_SPAN = 60.0
"""Seconds. A single 429 says little of what the vendor takes in the long run."""
THROTTLED_GAP = 600.0


def throttled_pace(db: sqlite3.Connection, model: str) -> float | None:
    """Seconds between two requests that the vendor accepted while it last throttled this model.

    It takes in all of the vendor's limits, of the rate and of what is in flight. None where it was
    not throttled for long, or took nothing.
    """
    rows = db.execute(
        "SELECT submitted_at FROM attempt JOIN job ON job.seq = attempt.job"
        " WHERE outcome = 'throttled' AND coalesce(attempt.model, job.model) = ?"
        " ORDER BY submitted_at DESC LIMIT 1000",
        (model,),
    )
    times: list[float] = []
    for (at,) in rows:
        if times and times[-1] - at > THROTTLED_GAP:
            break
        times.append(at)
    if len(times) < THROTTLED_AT_LEAST or times[0] - times[-1] < THROTTLED_SPAN:
        return None
    (accepted,) = db.execute(
        "SELECT count(*) FROM attempt JOIN job ON job.seq = attempt.job"
        " WHERE accepted_at BETWEEN ? AND ? AND coalesce(attempt.model, job.model) = ?",
        (times[-1], times[0], model),
    ).fetchone()
    return (times[0] - times[-1]) / accepted if accepted else None


def expected_seconds(db: sqlite3.Connection, model: str) -> float | None:
    """How long some late requests of a model took, by their lower quartile; None before the first.

    Not the median: where nobody was there to look, as in an outage or between two runs, the end
    was seen late, and a first look that comes too late costs more than one that comes too early.
    """
    rows = db.execute(
        "SELECT ended_at - accepted_at FROM (SELECT seq, attempts FROM job INDEXED BY job_by_state"
        " WHERE state = 'done' AND listed = 1 AND model = ? ORDER BY sweep DESC, seq DESC LIMIT 32)"
        " AS job JOIN attempt ON attempt.job = job.seq AND attempt.number = job.attempts",
        (model,),
    ).fetchall()
    durations = sorted(seconds for (seconds,) in rows if seconds is not None)
    return durations[len(durations) // 4] if durations else None


def attempts_of(db: sqlite3.Connection, seq: int) -> int:
    return int(db.execute("SELECT attempts FROM job WHERE seq = ?", (seq,)).fetchone()[0])


def latest_requests(db: sqlite3.Connection, limit: int) -> list[str]:
    """The request ids that came last, whether from the vendor or from a person."""
    rows = db.execute(
        "SELECT request_id FROM attempt WHERE request_id IS NOT NULL"
        " ORDER BY accepted_at DESC LIMIT ?",
        (limit,),
    )
    return [request_id for (request_id,) in rows]


def not_downloaded(db: sqlite3.Connection, selection: Selection) -> list[tuple[str, str]]:
    """`(id, why)` of the selected jobs whose paid results could not be downloaded."""
    condition, values = selection.where()
    return db.execute(
        "SELECT id, coalesce(error, error_code) FROM job"
        f" WHERE state = 'fetching' AND error_code IS NOT NULL AND {condition} ORDER BY seq",
        values,
    ).fetchall()


def job_statuses(db: sqlite3.Connection, selection: Selection = EVERYTHING) -> Iterator[JobStatus]:
    """Every selected job in the manifest's order, as a stream: two cursors, side by side."""
    condition, values = selection.where()
    # The jobs' cursor is opened first: while it has rows to give, both see one snapshot.
    jobs = db.execute(
        "SELECT seq, id, model, state, attempts, error_code, error, (SELECT request_id FROM attempt"
        " WHERE job = seq AND request_id IS NOT NULL ORDER BY number DESC LIMIT 1)"
        f" FROM job WHERE {VISIBLE} AND {condition} ORDER BY seq",
        values,
    )
    files = groupby(saved_files(db), key=lambda file: file.seq)
    next_seq, group = next(files, (None, iter(())))
    for seq, job_id, model, state, attempts, error_code, error, request_id in jobs:
        while next_seq is not None and next_seq < seq:  # a job that is not shown
            next_seq, group = next(files, (None, iter(())))
        saved = tuple(group) if next_seq == seq else ()
        yield JobStatus(
            job_id, model, JobState(state), attempts, error_code, error, request_id, saved
        )


def failures(
    db: sqlite3.Connection,
    limit: int,
    selection: Selection = EVERYTHING,
    *,
    most_read: int | None = None,
) -> Failures:
    """Why selected jobs are not done: the commonest causes first, each with its first job.

    Where there are more than `most_read`, only states and codes are compared.
    """
    condition, values = selection.where()
    failed = f"cause IS NOT NULL AND error_code IS NOT NULL AND {VISIBLE} AND {condition}"
    key = "cause"
    if most_read is not None:
        (jobs,) = db.execute(f"SELECT count(*) FROM job WHERE {failed}", values).fetchone()
        key = "cause" if jobs <= most_read else "''"
    rows = db.execute(
        "SELECT cause.state, cause.error_code, cause.jobs, coalesce(job.error, ''), job.id,"
        " cause.key, cause.causes, cause.all_jobs FROM ("
        "SELECT *, count(*) OVER () AS causes, sum(jobs) OVER () AS all_jobs FROM ("
        f"SELECT state, error_code, {key} AS key, count(*) AS jobs, min(seq) AS first FROM job"
        f" WHERE {failed} GROUP BY 1, 2, 3"
        ") ORDER BY jobs DESC, state, error_code, first LIMIT ?"
        ") AS cause JOIN main.job AS job ON job.seq = cause.first"
        " ORDER BY cause.jobs DESC, cause.state, cause.error_code, cause.first",
        (*values, limit),
    ).fetchall()
    causes = tuple(FailureCause(JobState(row[0]), *row[1:6]) for row in rows)
    if not rows:
        return Failures((), 0, 0)
    shown = sum(cause.jobs for cause in causes)
    return Failures(causes, rows[0][6] - len(causes), rows[0][7] - shown)
