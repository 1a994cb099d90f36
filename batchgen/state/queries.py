"""Readers: short functions that take a connection and hand out records."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING

from batchgen.errors import UsageError
from batchgen.jobs import JobState
from batchgen.state.files import SAVED_FILES
from batchgen.state.records import (
    Counts,
    FailureCause,
    JobStatus,
    LiveRequest,
    Money,
    PendingJob,
    SavedFile,
)

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

# Attempts whose price counts though no result named a cost: open, or ended in a way that may cost.
_MAY_COST = (
    "(outcome IS NULL OR outcome IN ('succeeded', 'failed', 'lost', 'written_off', 'resubmitted'))"
)


# The vendor has it, or had it a moment ago: a result will tell the cost.
_IN_FLIGHT = "(outcome IS NULL AND job.state NOT IN ('unknown', 'lost'))"


# A job that left the manifest is shown as long as something of it is under way or unknown.
_SHOWN = "(listed = 1 OR state IN ('submitting', 'queued', 'running', 'fetching', 'unknown'))"


# An exact name wins: the id `img[1]` is a glob too, but one that names another job.
_NAMED = (
    "CASE WHEN EXISTS (SELECT 1 FROM job AS one WHERE one.{column} = ?)"
    " THEN job.{column} = ? ELSE job.{column} GLOB ? END"
)


@dataclass(frozen=True, slots=True)
class Selection:
    """Which jobs a command is about: globs on ids and models, exact tags; empty means all.

    `last` bounds the manifest's order: no job after the one with this number.
    """

    jobs: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    last: int | None = None

    def __post_init__(self) -> None:
        # A string is a sequence of letters, and the letter * names everything.
        if any(isinstance(names, str) for names in (self.jobs, self.models, self.tags)):
            raise UsageError("a selection takes several names: write ('girl*',), not 'girl*'")

    def up_to(self, last: int) -> Selection:
        return replace(self, last=last)

    def where(self) -> tuple[str, tuple[str | int, ...]]:
        """An SQL condition on the table job, and its parameters."""
        parts = [
            _any_of(_NAMED.format(column="id"), self.jobs),
            _any_of(_NAMED.format(column="model"), self.models),
            _any_of("EXISTS (SELECT 1 FROM json_each(job.tags) WHERE value = ?)", self.tags),
        ]
        named = (one for name in (*self.jobs, *self.models) for one in (name, name, name))
        values: tuple[str | int, ...] = (*named, *self.tags)
        if self.last is not None:
            parts.append("job.seq <= ?")
            values += (self.last,)
        return " AND ".join(parts), values


def _any_of(condition: str, values: tuple[str, ...]) -> str:
    return "(" + " OR ".join([condition] * len(values)) + ")" if values else "1"


def counts(db: sqlite3.Connection) -> Counts:
    """Jobs by model and state; the index alone answers it."""
    table: dict[str, dict[JobState, int]] = {}
    for state, model, count in db.execute(
        f"SELECT state, model, count(*) FROM job WHERE {_SHOWN} GROUP BY state, model"
    ):
        table.setdefault(model, {})[JobState(state)] = count
    return table


def totals(table: Counts) -> dict[JobState, int]:
    """Jobs by state, over all models, in the order in which people are shown them."""
    found = {state: sum(row.get(state, 0) for row in table.values()) for state in JobState}
    return {state: count for state, count in found.items() if count}


def pending_page(
    db: sqlite3.Connection, model: str, selection: Selection, after: int, limit: int
) -> list[PendingJob]:
    """The next pending jobs of a model, in the manifest's order, after the one numbered `after`."""
    condition, values = selection.where()
    rows = db.execute(
        "SELECT seq, id, model, body, failures FROM job"
        f" WHERE state = 'pending' AND model = ? AND listed = 1 AND seq > ? AND {condition}"
        " ORDER BY seq LIMIT ?",
        (model, after, *values, limit),
    )
    return [PendingJob(*row) for row in rows]


def pending_models(db: sqlite3.Connection) -> list[str]:
    """Models with pending jobs, in the order in which the manifest first names them."""
    rows = db.execute(
        "SELECT model FROM job WHERE state = 'pending' AND listed = 1 GROUP BY model"
        " ORDER BY min(seq)"
    )
    return [model for (model,) in rows]


def shown_models(db: sqlite3.Connection) -> list[str]:
    """Every model that a run may submit to, now or after a retry or a person's word."""
    rows = db.execute(f"SELECT DISTINCT model FROM job WHERE {_SHOWN} ORDER BY model")
    return [model for (model,) in rows]


def cancels_due(db: sqlite3.Connection) -> list[int]:
    """Requests that a person wants cancelled, and that may still be with the vendor."""
    rows = db.execute(
        "SELECT seq FROM job WHERE state IN ('queued', 'running') AND cancel_asked = 1"
    )
    return [seq for (seq,) in rows]


def nth_pending(db: sqlite3.Connection, selection: Selection, count: int) -> int:
    """The number of the last of the first `count` selected pending jobs; 0 where there is none."""
    condition, values = selection.where()
    (seq,) = db.execute(
        "SELECT coalesce(max(seq), 0) FROM (SELECT seq FROM job"
        f" WHERE state = 'pending' AND listed = 1 AND {condition} ORDER BY seq LIMIT ?)",
        (*values, count),
    ).fetchone()
    return int(seq)


def pending_job(db: sqlite3.Connection, seq: int) -> PendingJob | None:
    row = db.execute(
        "SELECT seq, id, model, body, failures FROM job"
        " WHERE seq = ? AND state = 'pending' AND listed",
        (seq,),
    ).fetchone()
    return PendingJob(*row) if row else None


_LIVE = (
    "SELECT seq, id, job.model, job.body, failures, state, number, request_id, accepted_at, price"
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


def _live(row: tuple[object, ...]) -> LiveRequest:
    seq, job_id, model, body, failures, state, *rest = row
    return LiveRequest(seq, job_id, model, body, failures, JobState(str(state)), *rest)  # type: ignore[arg-type]


def fetching(db: sqlite3.Connection) -> list[int]:
    """Jobs whose results are paid and not all on the disk."""
    return [seq for (seq,) in db.execute("SELECT seq FROM job WHERE state = 'fetching'")]


def select_jobs(
    db: sqlite3.Connection, selection: Selection, states: tuple[JobState, ...]
) -> list[tuple[int, str, str]]:
    """`(seq, id, model)` of the selected jobs in one of the states."""
    condition, values = selection.where()
    marks = ", ".join("?" * len(states))
    return db.execute(
        f"SELECT seq, id, model FROM job WHERE state IN ({marks}) AND {condition} ORDER BY seq",
        (*(state.value for state in states), *values),
    ).fetchall()


def select_any(db: sqlite3.Connection, selection: Selection) -> bool:
    """Whether the selection names a job at all."""
    condition, values = selection.where()
    return bool(db.execute(f"SELECT 1 FROM job WHERE {condition} LIMIT 1", values).fetchone())


def expected_seconds(db: sqlite3.Connection, model: str) -> float | None:
    """How long the last requests of a model took, by their median; None before the first."""
    rows = db.execute(
        "SELECT ended_at - accepted_at FROM job JOIN attempt"
        " ON attempt.job = job.seq AND attempt.number = job.attempts"
        " WHERE job.state = 'done' AND job.model = ? ORDER BY job.seq DESC LIMIT 32",
        (model,),
    ).fetchall()
    durations = sorted(seconds for (seconds,) in rows if seconds is not None)
    return durations[len(durations) // 2] if durations else None


def money(db: sqlite3.Connection) -> Money:
    spent, reserved, unknown, unpriced = db.execute(
        "SELECT total(cost),"
        f" total(CASE WHEN cost IS NULL AND {_IN_FLIGHT} THEN price END),"
        f" total(CASE WHEN cost IS NULL AND {_MAY_COST} AND NOT {_IN_FLIGHT} THEN price END),"
        f" count(CASE WHEN cost IS NULL AND price IS NULL AND {_MAY_COST} THEN 1 END)"
        " FROM attempt JOIN job ON job.seq = attempt.job"
    ).fetchone()
    return Money(spent, reserved, unpriced, unknown)


def attempts_of(db: sqlite3.Connection, seq: int) -> int:
    return int(db.execute("SELECT attempts FROM job WHERE seq = ?", (seq,)).fetchone()[0])


def open_price(db: sqlite3.Connection, seq: int) -> float | None:
    """USD that the open attempt of a job was expected to cost; None where nobody knows."""
    row = db.execute(
        "SELECT price FROM attempt WHERE job = ? AND outcome IS NULL", (seq,)
    ).fetchone()
    return row[0] if row else None


def not_home(db: sqlite3.Connection, selection: Selection) -> list[tuple[str, str]]:
    """`(id, why)` of the selected jobs whose paid results could not be downloaded."""
    condition, values = selection.where()
    return db.execute(
        "SELECT id, coalesce(error, error_code) FROM job"
        f" WHERE state = 'fetching' AND error_code IS NOT NULL AND {condition} ORDER BY seq",
        values,
    ).fetchall()


def saved_files(db: sqlite3.Connection) -> Iterator[SavedFile]:
    return (SavedFile(*row) for row in db.execute(SAVED_FILES))


def job_statuses(db: sqlite3.Connection) -> Iterator[JobStatus]:
    """Every job in the manifest's order, as a stream: two cursors that walk side by side."""
    # The jobs' cursor is opened first: while it has rows to give, both see one snapshot.
    jobs = db.execute(
        "SELECT seq, id, model, state, attempts, (SELECT request_id FROM attempt"
        " WHERE job = seq AND request_id IS NOT NULL ORDER BY number DESC LIMIT 1),"
        f" job.error_code, job.error FROM job WHERE {_SHOWN} ORDER BY seq"
    )
    files = groupby(
        db.execute(SAVED_FILES.replace("SELECT ", "SELECT file.job, ", 1)), key=lambda row: row[0]
    )
    next_files = next(files, None)
    for seq, job_id, model, state, attempts, request_id, code, error in jobs:
        saved: tuple[SavedFile, ...] = ()
        while next_files is not None and next_files[0] < seq:
            next_files = next(files, None)  # of a job that is not shown
        if next_files is not None and next_files[0] == seq:
            saved = tuple(SavedFile(*row[1:]) for row in next_files[1])
            next_files = next(files, None)
        yield JobStatus(job_id, model, JobState(state), attempts, request_id, saved, code, error)


def failures(db: sqlite3.Connection, limit: int) -> list[FailureCause]:
    """Why jobs are not done, the commonest causes first."""
    rows = db.execute(
        "SELECT state, error_code, count(*), min(error), min(id) FROM job"
        f" WHERE error_code IS NOT NULL AND state != 'done' AND {_SHOWN}"
        " GROUP BY state, error_code ORDER BY count(*) DESC, state, error_code LIMIT ?",
        (limit,),
    )
    return [FailureCause(JobState(row[0]), row[1], row[2], row[3] or "", row[4]) for row in rows]


def get_meta(db: sqlite3.Connection, key: str) -> str | None:
    row = db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    return row[0] if row else None


def set_meta(db: sqlite3.Connection, key: str, value: str) -> None:
    db.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", (key, value))
