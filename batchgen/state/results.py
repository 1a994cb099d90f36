"""Results that a dataset is made of: the verified files of each job's latest attempt."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Mapping

    from batchgen.state.selection import Selection


@dataclass(frozen=True, slots=True)
class Result:
    """One file and all that is known of it. `body`, `tags` and `axes` are JSON.

    `path` is relative to the run's folder, `position` the vendor's order from 1, `cost` USD of the
    whole attempt.
    """

    job_id: str
    position: int
    model: str
    body: str
    tags: str
    sweep: str
    axes: str
    pick: str | None
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


class Picked(StrEnum):
    """Which files, by a person's pick."""

    KEPT = "kept"
    NOT_REJECTED = "not rejected"
    ALL = "all"


_PICKED = {
    Picked.KEPT: "file.pick = 'keep'",
    Picked.NOT_REJECTED: "file.pick IS NOT 'reject'",
    Picked.ALL: "1",
}


@dataclass(frozen=True, slots=True)
class MarkedResult:
    """A result of a done job, and what was said of it. `is_chosen`: the selection means it."""

    result: Result
    attempt: int
    flaws: Mapping[str, str]
    is_chosen: bool


_COLUMNS = (
    "job.id, file.position, coalesce(attempt.model, job.model), coalesce(attempt.body, job.body),"
    " job.tags, job.sweep, job.axes, file.pick, attempt.request_id, attempt.cost, file.path,"
    " file.bytes, file.sha256, file.media_type, file.width, file.height, file.seconds, file.frames"
)

# CROSS JOIN keeps to the order in which it is written: the jobs' own, so nothing is sorted.
_TABLES = (
    "job CROSS JOIN attempt ON attempt.job = job.seq AND attempt.number = job.attempts"
    " CROSS JOIN file ON file.job = job.seq AND file.attempt = job.attempts"
)
_VERIFIED = "job.listed = 1 AND file.verified_at IS NOT NULL"
_IN_ORDER = "ORDER BY job.seq, file.position"
_FLAWS = "(SELECT json_group_object(kind, words) FROM flaw WHERE flaw.file = file.id)"


def results(db: sqlite3.Connection, selection: Selection, picked: Picked) -> Iterator[Result]:
    """Results of the selected jobs in the manifest's order, as a stream.

    Of done jobs only, unless the selection says itself which states it wants.
    """
    condition, values = selection.where()
    finished = "1" if selection.states else "job.state = 'done'"
    rows = db.execute(
        f"SELECT {_COLUMNS} FROM {_TABLES}"
        f" WHERE {_VERIFIED} AND {finished} AND {_PICKED[picked]} AND {condition} {_IN_ORDER}",
        values,
    )
    return (Result(*row) for row in rows)


def count_rejected(db: sqlite3.Connection, selection: Selection) -> int:
    """Files of the selected jobs that NOT_REJECTED leaves out."""
    condition, values = selection.where()
    (count,) = db.execute(
        "SELECT count(*) FROM file INDEXED BY file_by_pick"
        " CROSS JOIN job ON job.seq = file.job AND job.attempts = file.attempt"
        f" WHERE file.pick = 'reject' AND job.listed = 1 AND {condition}",
        values,
    ).fetchone()
    return int(count)


def marked_results(db: sqlite3.Connection, selection: Selection) -> Iterator[MarkedResult]:
    """All results of done jobs, also those that are not selected: they may be alike."""
    condition, values = selection.where()
    rows = db.execute(
        f"SELECT {_COLUMNS}, attempt.number, {_FLAWS}, ({condition}) FROM {_TABLES}"
        f" WHERE {_VERIFIED} AND job.state = 'done' {_IN_ORDER}",
        values,
    )
    for *columns, attempt, flaws, is_chosen in rows:
        known = {} if flaws == "{}" else json.loads(flaws)
        yield MarkedResult(Result(*columns), attempt, known, bool(is_chosen))
