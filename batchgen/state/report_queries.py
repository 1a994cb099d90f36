"""What a report shows, and how a live page finds out that something changed.

SQLite announces no change to another process. Two things are cheap to read, from indexes alone:
that there was a change (`version`), and a number for each job, to compare with the last reading
(`signatures`).
"""

from __future__ import annotations

import json
from array import array
from dataclasses import dataclass, fields
from itertools import groupby
from typing import TYPE_CHECKING

from batchgen.jobs import JobState
from batchgen.state.conditions import DUE, TROUBLED, VISIBLE
from batchgen.state.meta import Meta, get_meta
from batchgen.state.records import (
    ATTEMPT_COLUMNS,
    JOB_COLUMNS,
    RESULT_COLUMNS,
    Attempt,
    JobRow,
    ReportedJob,
    Result,
    job_row,
    result_of,
)

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator, Mapping, Sequence


@dataclass(frozen=True, slots=True)
class AttemptTimes:
    """One submit. Times are epoch seconds; `done_at`: when the last of its files was verified."""

    model: str
    submitted_at: float
    accepted_at: float | None
    ended_at: float | None
    outcome: str | None
    cost: float | None
    done_at: float | None


def reported_jobs(db: sqlite3.Connection, after: int, limit: int) -> list[ReportedJob]:
    """The next jobs in the manifest's order, after the one numbered `after`.

    In pages, so that 100,000 jobs are written without all being in memory.
    """
    return _jobs(db, f"{VISIBLE} AND job.seq > ? ORDER BY job.seq LIMIT ?", (after, limit))


def reported_between(db: sqlite3.Connection, first: int, last: int) -> list[ReportedJob]:
    """Those of the shown jobs that are numbered from `first` to `last`."""
    return _jobs(db, f"{VISIBLE} AND job.seq BETWEEN ? AND ? ORDER BY job.seq", (first, last))


def reported_among(db: sqlite3.Connection, seqs: Sequence[int]) -> list[ReportedJob]:
    """Those of the jobs that are shown, in the manifest's order."""
    among = "job.seq IN (SELECT value FROM json_each(?))"
    return _jobs(db, f"{VISIBLE} AND {among} ORDER BY job.seq", (json.dumps(list(seqs)),))


def _jobs(
    db: sqlite3.Connection, condition: str, values: tuple[int | str, ...]
) -> list[ReportedJob]:
    rows = db.execute(
        f"SELECT {JOB_COLUMNS}, {ATTEMPT_COLUMNS}"
        " FROM job LEFT JOIN attempt ON attempt.job = job.seq AND attempt.number = job.attempts"
        f" WHERE {condition}",
        values,
    ).fetchall()
    width = len(fields(JobRow))
    pairs = [(job_row(row[:width]), row[width:]) for row in rows]
    files = _files(db, [job.seq for job, _ in pairs])
    return [
        ReportedJob(job, Attempt(*latest) if job.attempts else None, files.get(job.seq, ()))
        for job, latest in pairs
    ]


def _files(db: sqlite3.Connection, seqs: Sequence[int]) -> Mapping[int, tuple[Result, ...]]:
    rows = db.execute(
        f"SELECT {RESULT_COLUMNS} FROM json_each(?) AS wanted"
        " CROSS JOIN job ON job.seq = wanted.value"
        " CROSS JOIN attempt ON attempt.job = job.seq AND attempt.number = job.attempts"
        " CROSS JOIN file ON file.job = job.seq AND file.attempt = job.attempts"
        " WHERE file.verified_at IS NOT NULL ORDER BY wanted.key, file.position",
        (json.dumps(list(seqs)),),
    )
    results = map(result_of, rows)
    return {seq: tuple(group) for seq, group in groupby(results, key=lambda one: one.seq)}


def troubled_jobs(db: sqlite3.Connection) -> Iterator[JobRow]:
    """Every visible job that is not done, and not without a decision, in the manifest's order."""
    rows = db.execute(f"SELECT {JOB_COLUMNS} FROM job WHERE {TROUBLED} AND {VISIBLE} ORDER BY seq")
    return map(job_row, rows)


def count_visible(db: sqlite3.Connection) -> Mapping[JobState, int]:
    """Shown jobs by state."""
    rows = db.execute(f"SELECT state, count(*) FROM job WHERE {VISIBLE} GROUP BY state")
    return {JobState(state): count for state, count in rows}


def attempt_times(db: sqlite3.Connection) -> Iterator[AttemptTimes]:
    """Every attempt of the run, in the order of the submits."""
    rows = db.execute(
        "SELECT coalesce(attempt.model, job.model), submitted_at, accepted_at, ended_at, outcome,"
        " cost, (SELECT max(verified_at) FROM file WHERE file.job = attempt.job"
        " AND file.attempt = attempt.number)"
        " FROM attempt JOIN job ON job.seq = attempt.job"
        " WHERE outcome IS NOT 'reused' ORDER BY submitted_at"
    )
    return (AttemptTimes(*row) for row in rows)


_STATES = tuple(JobState)
_STATE_BITS = 4
_FLAG_BITS = 2
_MARKS_AT = 32
_MOST_ATTEMPTS = (1 << (_MARKS_AT - _STATE_BITS - _FLAG_BITS)) - 1
_MARKS = (1 << (64 - _MARKS_AT)) - 1


def version(db: sqlite3.Connection) -> int:
    """Changes once another connection has changed anything (sqlite.org, data_version)."""
    (found,) = db.execute("PRAGMA data_version").fetchone()
    return int(found)


def signatures(db: sqlite3.Connection) -> array[int]:
    """A number for each job, at the index of its seq; it changes with anything shown of the job.

    0 where there is no job. A million jobs take 8 MB.
    """
    (last,) = db.execute("SELECT coalesce(max(seq), 0) FROM job").fetchone()
    found = array("Q", bytes(8 * (last + 1)))
    for code, state in enumerate(_STATES, 1):
        rows = db.execute(
            f"SELECT seq, ((min(attempts, {_MOST_ATTEMPTS}) << {_FLAG_BITS}) | (listed << 1)"
            f" | approved) << {_STATE_BITS} | {code} FROM job INDEXED BY job_by_state"
            " WHERE state = ?",
            (state,),
        )
        for seq, value in rows:
            found[seq] = value
    _add_marks(db, found)
    return found


def _add_marks(db: sqlite3.Connection, found: array[int]) -> None:
    """Picks and flaws fold into the upper half, in whatever order they come."""
    picks = db.execute(
        "SELECT job, attempt, position, pick FROM file INDEXED BY file_by_pick"
        " WHERE pick IS NOT NULL"
    )
    for seq, *mark in picks:
        found[seq] ^= (hash(tuple(mark)) & _MARKS) << _MARKS_AT
    flaws = db.execute(
        "SELECT file.job, flaw.file, kind, words FROM flaw CROSS JOIN file ON file.id = flaw.file"
    )
    for seq, *mark in flaws:
        found[seq] ^= (hash(tuple(mark)) & _MARKS) << _MARKS_AT


def numbers_of(db: sqlite3.Connection, job_ids: Iterable[str]) -> list[int]:
    """The numbers of those jobs, ascending; ids that no job has are left out."""
    rows = db.execute(
        "SELECT seq FROM job WHERE id IN (SELECT value FROM json_each(?)) ORDER BY seq",
        (json.dumps(list(job_ids)),),
    )
    return [seq for (seq,) in rows]


def rejected_among(db: sqlite3.Connection, job_ids: Iterable[str]) -> frozenset[str]:
    """Those of the jobs whose latest result a person rejected."""
    rows = db.execute(
        "SELECT id FROM judged WHERE judgement = 'rejected'"
        " AND id IN (SELECT value FROM json_each(?))",
        (json.dumps(list(job_ids)),),
    )
    return frozenset(job_id for (job_id,) in rows)


def manifest_read(db: sqlite3.Connection) -> str:
    """What the jobs were made from: changes once the manifest was read again; "" meanwhile."""
    return get_meta(db, Meta.INPUTS) or ""


def has_due(db: sqlite3.Connection) -> bool:
    """Whether a run would submit anything: a job that waits for nothing."""
    (found,) = db.execute(
        f"SELECT EXISTS (SELECT 1 FROM job INDEXED BY job_due WHERE {DUE})"
    ).fetchone()
    return bool(found)


def has_more_attempts(db: sqlite3.Connection, count: int) -> bool:
    """Whether there are more than `count`, without counting all of them."""
    (found,) = db.execute(
        "SELECT EXISTS (SELECT 1 FROM attempt LIMIT 1 OFFSET ?)", (count,)
    ).fetchone()
    return bool(found)
