"""Circles of needs among staged jobs: of any length, in a few bytes a job."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

from batchgen.state.records import NeedCycle, Origin

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator


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
