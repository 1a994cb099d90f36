"""Ids of staged jobs that stand twice, or that a need names and no job has."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from itertools import islice
from typing import TYPE_CHECKING

from batchgen.jobs import content_id
from batchgen.state.records import Duplicate, MissingNeed, Origin

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection, Iterator

NEIGHBOURS = 20
"""Ids on either side in the alphabet that a mistyped one is compared with: not a million."""


@dataclass(frozen=True, slots=True)
class NeededModel:
    """A job, and the model of one job that it needs."""

    job_id: str
    body: str
    origin: Origin
    needed: str
    needed_model: str
    sweep: str = ""


def duplicates(db: sqlite3.Connection, limit: int, jobs: str = "job") -> list[Duplicate]:
    """At most `limit` of them; `jobs` is the table, or the view, that has all."""
    rows = db.execute(
        "SELECT job.id, job.model, job.body, first.file, first.line, job.file, job.line, job.sweep"
        f" FROM (SELECT id, min(seq) AS seq FROM {jobs} GROUP BY id HAVING count(*) > 1) AS twice"
        f" JOIN {jobs} AS job ON job.id = twice.id AND job.seq > twice.seq"
        f" JOIN {jobs} AS first ON first.seq = twice.seq"
        " ORDER BY job.seq LIMIT ?",
        (limit,),
    )
    return [
        Duplicate(
            job_id,
            Origin(file, line),
            Origin(*again),
            has_own_id=not model or job_id != content_id(model, body),
            sweep=sweep,
        )
        for job_id, model, body, file, line, *again, sweep in rows
    ]


def missing_needs(
    db: sqlite3.Connection, limit: int, jobs: str = "job", doubtful: Collection[str] = ()
) -> list[MissingNeed]:
    """At most `limit` of them; an id that begins with one of `doubtful` may be there after all."""
    stems = tuple(doubtful)
    rows = db.execute(
        "SELECT job.id, need.needs, job.file, job.line, job.sweep"
        f" FROM need JOIN {jobs} AS job ON job.seq = need.job"
        f" WHERE NOT EXISTS (SELECT 1 FROM {jobs} AS needed WHERE needed.id = need.needs)"
        " ORDER BY need.job, need.needs"
    )
    certain = [*islice((row for row in rows if not row[1].startswith(stems)), limit)]
    return [
        MissingNeed(job_id, needs, Origin(file, line), _nearest(db, needs), sweep)
        for job_id, needs, file, line, sweep in certain
    ]


def needed_models(db: sqlite3.Connection) -> Iterator[NeededModel]:
    rows = db.execute(
        "SELECT job.id, job.body, job.file, job.line, needed.id, needed.model, job.sweep"
        " FROM need JOIN job ON job.seq = need.job JOIN job AS needed ON needed.id = need.needs"
        " ORDER BY need.job, need.needs"
    )
    for job_id, body, file, line, *needed in rows:
        yield NeededModel(job_id, body, Origin(file, line), *needed)


def _nearest(db: sqlite3.Connection, job_id: str) -> str | None:
    """The known id that looks most like it; a slip in the first letter is not found."""
    sides = (("<", "DESC"), (">", "ASC"))
    ids = [
        found
        for sign, order in sides
        for (found,) in db.execute(
            f"SELECT DISTINCT id FROM job WHERE id {sign} ? ORDER BY id {order} LIMIT ?",
            (job_id, NEIGHBOURS),
        )
    ]
    return next(iter(get_close_matches(job_id, ids, 1)), None)
