"""How the jobs of a selection stand: what `batchgen status` shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from batchgen.jobs import JobState
from batchgen.state import queries
from batchgen.state.due import UNDER_WAY
from batchgen.state.queries import Selection
from batchgen.state.records import FailureCause

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

    from batchgen.state.records import Counts, JobStatus

_UNDER_WAY = ", ".join(f"'{state.value}'" for state in sorted(UNDER_WAY))
_SHOWN = f"(job.listed = 1 OR job.state IN ({_UNDER_WAY}))"


def counts_of(db: sqlite3.Connection, selection: Selection) -> Counts:
    """Selected jobs by model and state; of all jobs, the state has a quicker answer."""
    if selection == Selection():
        return queries.counts(db)
    condition, values = selection.where()
    table: dict[str, dict[JobState, int]] = {}
    for state, model, count in db.execute(
        f"SELECT state, model, count(*) FROM job WHERE {_SHOWN} AND {condition}"  # noqa: S608 - every value is bound
        " GROUP BY state, model",
        values,
    ):
        table.setdefault(model, {})[JobState(state)] = count
    return table


def causes_of(db: sqlite3.Connection, selection: Selection, limit: int) -> list[FailureCause]:
    """Why selected jobs are not done, the commonest causes first."""
    if selection == Selection():
        return queries.failures(db, limit)
    condition, values = selection.where()
    rows = db.execute(
        "SELECT cause.state, cause.error_code, jobs, job.error, job.id FROM ("  # noqa: S608 - every value is bound
        "SELECT state, error_code, count(*) AS jobs, min(seq) AS first FROM job"
        f" WHERE error_code IS NOT NULL AND state != 'done' AND {_SHOWN} AND {condition}"
        " GROUP BY state, error_code ORDER BY jobs DESC, state, error_code LIMIT ?"
        ") AS cause JOIN job ON job.seq = cause.first"
        " ORDER BY jobs DESC, cause.state, cause.error_code",
        (*values, limit),
    )
    return [FailureCause(JobState(row[0]), row[1], row[2], row[3] or "", row[4]) for row in rows]


def statuses_of(db: sqlite3.Connection, selection: Selection) -> Iterator[JobStatus]:
    """Every selected job in the manifest's order, as a stream."""
    everything = queries.job_statuses(db)
    if selection == Selection():
        yield from everything
        return
    condition, values = selection.where()
    one = f"SELECT 1 FROM job WHERE id = ? AND {condition}"  # noqa: S608 - every value is bound
    for job in everything:
        if db.execute(one, (job.id, *values)).fetchone():
            yield job
