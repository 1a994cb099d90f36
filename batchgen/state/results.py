"""Results that a dataset is made of: the verified files of each job's latest attempt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

    from batchgen.state.selection import Condition, Selection


@dataclass(frozen=True, slots=True)
class Result:
    """One file and all that is known of it. `body` and `tags` are JSON.

    `path` is relative to the run's folder, `position` the vendor's order from 1, `cost` USD of the
    whole attempt.
    """

    job_id: str
    position: int
    model: str
    body: str
    tags: str
    sweep: str
    request_id: str
    cost: float | None
    path: str
    bytes: int
    sha256: str
    media_type: str
    width: int
    height: int
    seconds: float | None
    frames: int | None


DONE: Condition = ("job.state = 'done'", ())
EVERY: Condition = ("1", ())

_COLUMNS = (
    "job.id, file.position, coalesce(attempt.model, job.model), coalesce(attempt.body, job.body),"
    " job.tags, job.sweep, attempt.request_id, attempt.cost, file.path, file.bytes, file.sha256,"
    " file.media_type, file.width, file.height, file.seconds, file.frames"
)


def finished(selection: Selection) -> Condition:
    """Ask for done jobs, unless the selection says itself which states it wants."""
    return EVERY if selection.states else DONE


def results(db: sqlite3.Connection, selection: Selection, only: Condition) -> Iterator[Result]:
    """Results of the selected jobs in the manifest's order, as a stream.

    `only` is a further condition on the tables `job`, `attempt` and `file`.
    """
    condition, values = selection.where()
    further, more = only
    # CROSS JOIN keeps to the order in which it is written: the jobs' own, so nothing is sorted.
    rows = db.execute(
        f"SELECT {_COLUMNS} FROM job"
        " CROSS JOIN attempt ON attempt.job = job.seq AND attempt.number = job.attempts"
        " CROSS JOIN file ON file.job = job.seq AND file.attempt = job.attempts"
        f" WHERE job.listed = 1 AND file.verified_at IS NOT NULL AND {condition} AND ({further})"
        " ORDER BY job.seq, file.position",
        (*values, *more),
    )
    return (Result(*row) for row in rows)
