"""What is wrong among staged jobs: duplicate ids, needs that no job has, and cycles.

Cycles of any length are found in a few bytes a job.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import islice
from typing import TYPE_CHECKING

from batchgen.jobs import content_id
from batchgen.state.records import Duplicate, MissingNeed, NeedCycle, Origin

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


def need_cycles(db: sqlite3.Connection, limit: int, jobs: str = "job") -> list[NeedCycle]:
    """At most `limit` of them, by their first jobs; a need that names no job is left aside.

    `jobs` is the table, or the view, that has all of them.
    """
    if db.execute("SELECT 1 FROM need LIMIT 1").fetchone() is None:
        return []
    db.execute("CREATE TEMP TABLE edge (needs INTEGER, job INTEGER, PRIMARY KEY (needs, job))")
    db.execute(
        "INSERT INTO edge SELECT needed.seq, need.job"
        f" FROM need JOIN {jobs} AS needed ON needed.id = need.needs"
    )
    try:
        held = _never_free(db, jobs)
        walks = (_cycle_from(db, start, held) for start in range(len(held)) if held[start])
        found = (cycle for cycle in walks if cycle)
        return [_named(db, cycle, jobs) for cycle, _ in zip(found, range(limit), strict=False)]
    finally:
        db.execute("DROP TABLE edge")


def _never_free(db: sqlite3.Connection, jobs: str) -> array[int]:
    """How many needs of each job, by its number, are never done: 0 for all that can begin.

    As the run itself would go: who needs nothing is done, which may set others free.
    """
    (last,) = db.execute(f"SELECT max(seq) FROM {jobs}").fetchone()
    left = array("I", bytes(4 * (last + 1)))
    for (job,) in db.execute("SELECT job FROM edge"):
        left[job] += 1
    free = array("I")
    for (needed,) in db.execute("SELECT DISTINCT needs FROM edge"):
        if not left[needed]:
            free.append(needed)
    while free:
        for (job,) in db.execute("SELECT job FROM edge WHERE needs = ?", (free.pop(),)):
            left[job] -= 1
            if not left[job]:
                free.append(job)
    return left


def _cycle_from(db: sqlite3.Connection, start: int, held: array[int]) -> list[int]:
    """Go from a job to one that it waits for, until a job comes again; none where all is known.

    A job that was passed is not gone through again: `held` is set to 0 for it.
    """
    way: dict[int, int] = {}
    job: int | None = start
    while job is not None and held[job] and job not in way:
        way[job] = len(way)
        job = next(_held_needs(db, job, held), None)
    for passed in way:
        held[passed] = 0
    return list(way)[way[job] :] if job in way else []


def _held_needs(db: sqlite3.Connection, job: int, held: array[int]) -> Iterator[int]:
    rows = db.execute("SELECT needs FROM edge WHERE job = ?", (job,))
    return (needed for (needed,) in rows if held[needed])


def _named(db: sqlite3.Connection, cycle: list[int], jobs: str) -> NeedCycle:
    """From the job that the manifest names first; each needs the next one."""
    first = cycle.index(min(cycle))
    rows = [
        db.execute(f"SELECT id, file, line FROM {jobs} WHERE seq = ?", (seq,)).fetchone()
        for seq in (*cycle[first:], *cycle[:first])
    ]
    return NeedCycle(tuple(row[0] for row in rows), Origin(*rows[0][1:]))
