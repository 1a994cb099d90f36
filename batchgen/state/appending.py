"""Jobs of a huge first manifest that are taken up while its first ones are under way."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from batchgen.downloads.naming import name_key, safe_name
from batchgen.state.distinct import distinct_name
from batchgen.state.records import Origin
from batchgen.state.staged_ids import NeededModel

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence

    from batchgen.jobs import Job


@dataclass(frozen=True, slots=True)
class Unfit:
    """A job that was not taken up: its id is known already, or `missing`, a need, is not there.

    Or `unlike`, one that it needs, does not make what the job wants of it.
    """

    job: Job
    missing: str | None = None
    unlike: NeededModel | None = None


Objects: TypeAlias = Callable[[NeededModel], object]
"""Says of a need whether anything is wrong with what the needed job's model makes."""


def append_jobs(
    db: sqlite3.Connection, jobs: Sequence[Job], objects: Objects | None = None
) -> list[Unfit]:
    """Take up new jobs behind those of the state; those that do not fit are left out.

    What they need must be there, or before them in `jobs`.
    """
    return [unfit for job in jobs if (unfit := _append(db, job, objects)) is not None]


def _append(db: sqlite3.Connection, job: Job, objects: Objects | None) -> Unfit | None:
    if db.execute("SELECT 1 FROM job WHERE id = ?", (job.id,)).fetchone():
        return Unfit(job)
    needed: list[int] = []
    for need in job.needs:
        found = db.execute("SELECT seq, model FROM job WHERE id = ?", (need,)).fetchone()
        if found is None:
            return Unfit(job, missing=need)
        seq, model = found
        one = NeededModel(job.id, job.body, Origin(job.file, job.line), need, model)
        if objects is not None and objects(one):
            return Unfit(job, unlike=one)
        needed.append(seq)
    _insert(db, job, needed)
    return None


def _insert(db: sqlite3.Connection, job: Job, needed: Iterable[int]) -> None:
    name, key = _free_name(db, job)
    (seq,) = db.execute(
        "INSERT INTO job (id, model, body, name, name_key, tags, priority, sweep, gate, axes)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING seq",
        (
            job.id,
            job.model,
            job.body,
            name,
            key,
            json.dumps(job.tags),
            job.priority,
            job.sweep,
            job.gate,
            job.axes,
        ),
    ).fetchone()
    db.executemany("INSERT INTO need (job, needs) VALUES (?, ?)", [(seq, one) for one in needed])


def _free_name(db: sqlite3.Connection, job: Job) -> tuple[str, str]:
    name = safe_name(job.name)
    while True:
        key = name_key(name)
        taken = db.execute(
            "SELECT 1 FROM job WHERE name_key = ? UNION ALL SELECT 1 FROM file WHERE name_key = ?",
            (key, key),
        ).fetchone()
        if not taken:
            return name, key
        name = distinct_name(name, job.id)
