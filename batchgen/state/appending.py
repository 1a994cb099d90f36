"""Jobs of a huge first manifest that are taken up while its first ones are under way."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from batchgen.downloads.naming import name_key, safe_name
from batchgen.state.distinct import distinct_name

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence

    from batchgen.jobs import Job


@dataclass(frozen=True, slots=True)
class Unfit:
    """A job that was not taken up: its id is known already, or `missing`, a need, is not there."""

    job: Job
    missing: str | None = None


def append_jobs(db: sqlite3.Connection, jobs: Sequence[Job]) -> list[Unfit]:
    """Take up new jobs behind those of the state; those that do not fit are left out.

    What they need must be there, or before them in `jobs`.
    """
    return [unfit for job in jobs if (unfit := _append(db, job)) is not None]


def _append(db: sqlite3.Connection, job: Job) -> Unfit | None:
    if db.execute("SELECT 1 FROM job WHERE id = ?", (job.id,)).fetchone():
        return Unfit(job)
    needed = {need: _seq(db, need) for need in job.needs}
    missing = next((need for need, seq in needed.items() if seq is None), None)
    if missing is not None:
        return Unfit(job, missing)
    name, key = _free_name(db, job)
    (seq,) = db.execute(
        "INSERT INTO job (id, model, body, name, name_key, tags, priority, sweep, gate)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING seq",
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
        ),
    ).fetchone()
    _add_needs(db, seq, (need for need in needed.values() if need is not None))
    return None


def _seq(db: sqlite3.Connection, job_id: str) -> int | None:
    row = db.execute("SELECT seq FROM job WHERE id = ?", (job_id,)).fetchone()
    return None if row is None else int(row[0])


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


def _add_needs(db: sqlite3.Connection, seq: int, needed: Iterable[int]) -> None:
    db.executemany("INSERT INTO need (job, needs) VALUES (?, ?)", [(seq, one) for one in needed])
