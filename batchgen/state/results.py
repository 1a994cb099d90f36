"""Results that a dataset is made of: the verified files of each job's latest attempt."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from batchgen.state.marks import Pick

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Mapping

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


@dataclass(frozen=True, slots=True)
class MarkedResult:
    """A result of a done job, and what was said of it. `is_chosen`: the selection means it."""

    result: Result
    attempt: int
    pick: Pick | None
    flaws: Mapping[str, str]
    is_chosen: bool


DONE: Condition = ("job.state = 'done'", ())
EVERY: Condition = ("1", ())

_COLUMNS = (
    "job.id, file.position, coalesce(attempt.model, job.model), coalesce(attempt.body, job.body),"
    " job.tags, job.sweep, attempt.request_id, attempt.cost, file.path, file.bytes, file.sha256,"
    " file.media_type, file.width, file.height, file.seconds, file.frames"
)


# CROSS JOIN keeps to the order in which it is written: the jobs' own, so nothing is sorted.
_TABLES = (
    "job CROSS JOIN attempt ON attempt.job = job.seq AND attempt.number = job.attempts"
    " CROSS JOIN file ON file.job = job.seq AND file.attempt = job.attempts"
)
_IN_ORDER = "ORDER BY job.seq, file.position"
_FLAWS = "(SELECT json_group_object(kind, words) FROM flaw WHERE flaw.file = file.id)"


def finished(selection: Selection) -> Condition:
    """Ask for done jobs, unless the selection says itself which states it wants."""
    return EVERY if selection.states else DONE


def results(db: sqlite3.Connection, selection: Selection, only: Condition) -> Iterator[Result]:
    """Results of the selected jobs in the manifest's order, as a stream.

    `only` is a further condition on the tables `job`, `attempt` and `file`.
    """
    condition, values = selection.where()
    further, more = only
    rows = db.execute(
        f"SELECT {_COLUMNS} FROM {_TABLES}"
        f" WHERE job.listed = 1 AND file.verified_at IS NOT NULL AND {condition} AND ({further})"
        f" {_IN_ORDER}",
        (*values, *more),
    )
    return (Result(*row) for row in rows)


def marked_results(db: sqlite3.Connection, selection: Selection) -> Iterator[MarkedResult]:
    """All results of done jobs, also those that are not selected: they may be alike."""
    condition, values = selection.where()
    rows = db.execute(
        f"SELECT {_COLUMNS}, attempt.number, file.pick, {_FLAWS}, ({condition}) FROM {_TABLES}"
        " WHERE job.listed = 1 AND file.verified_at IS NOT NULL AND job.state = 'done'"
        f" {_IN_ORDER}",
        values,
    )
    for *columns, attempt, pick, flaws, is_chosen in rows:
        word = pick and Pick(pick)
        known = {} if flaws == "{}" else json.loads(flaws)
        yield MarkedResult(Result(*columns), attempt, word, known, bool(is_chosen))
