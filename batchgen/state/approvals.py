"""Gates: which jobs wait for approval, and which jobs wait for those.

The decision itself is in manual_actions.py.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from batchgen.state.conditions import TO_APPROVE
from batchgen.state.reviews import REJECTED_JOBS

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterator

    from batchgen.state.selection import Selection


# A job that left the manifest does not wait for approval.
_ASKS = f"{TO_APPROVE} AND listed = 1"


@dataclass(frozen=True, slots=True)
class Awaiting:
    """A done job behind its gate. `files` are below the run's folder, in the vendor's order.

    `rejected`: a person has already rejected the result, and jobs that need it would cost.
    """

    seq: int
    id: str
    attempts: int
    rejected: bool
    files: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Chosen:
    """How many of the `waiting` jobs are to be approved.

    `released`: how many jobs could start then, as nothing else holds them back.
    """

    count: int
    waiting: int
    released: int


@dataclass(frozen=True, slots=True)
class Held:
    """Why selected jobs stay pending: `to_approve` jobs wait for a person and hold others back.

    `waiting` is how many jobs are held back, by those or by a job that is not done yet.
    """

    to_approve: int = 0
    waiting: int = 0


NOTHING_HELD = Held()


def awaiting(db: sqlite3.Connection) -> Iterator[Awaiting]:
    """Every job that waits for approval, in the manifest's order."""
    rows = db.execute(
        f"SELECT seq, id, attempts, seq IN ({REJECTED_JOBS}),"
        " (SELECT json_group_array(path) FROM (SELECT path FROM file"
        " WHERE file.job = seq AND attempt = attempts AND path IS NOT NULL ORDER BY position))"
        f" FROM job WHERE {_ASKS} ORDER BY seq"
    )
    for seq, job_id, attempts, rejected, paths in rows:
        yield Awaiting(seq, job_id, attempts, bool(rejected), tuple(json.loads(paths)))


def choose(db: sqlite3.Connection, is_chosen: Callable[[str, bool], bool]) -> Chosen:
    """Hold on to the waiting jobs that are chosen by their id and whether they were rejected."""
    db.execute("DROP TABLE IF EXISTS temp.approving")
    db.execute("CREATE TEMP TABLE approving (seq INTEGER PRIMARY KEY)")
    waiting = 0

    def numbers() -> Iterator[tuple[int]]:
        nonlocal waiting
        query = f"SELECT seq, id, seq IN ({REJECTED_JOBS}) FROM job WHERE {_ASKS}"
        for seq, job_id, rejected in db.execute(query):
            waiting += 1
            if is_chosen(job_id, bool(rejected)):
                yield (seq,)

    count = db.executemany("INSERT INTO temp.approving VALUES (?)", numbers()).rowcount
    return Chosen(max(count, 0), waiting, _released(db))


def _released(db: sqlite3.Connection) -> int:
    (count,) = db.execute(
        "SELECT count(*) FROM (SELECT need.job FROM need CROSS JOIN job ON job.seq = need.job"
        " WHERE need.needs IN (SELECT seq FROM temp.approving)"
        " AND job.state = 'pending' AND job.listed = 1"
        " GROUP BY need.job HAVING count(*) = job.waiting)"
    ).fetchone()
    return int(count)


def chosen_jobs(db: sqlite3.Connection) -> Iterator[tuple[str, int]]:
    """`(id, attempt)` of the jobs that `choose` holds on to, as a stream."""
    return db.execute("SELECT id, attempts FROM temp.approving CROSS JOIN job USING (seq)")


def held_back(db: sqlite3.Connection, selection: Selection) -> Held:
    """How many selected jobs wait, and for how many approvals."""
    condition, values = selection.where()
    pending = f"job.state = 'pending' AND job.listed = 1 AND job.waiting > 0 AND {condition}"
    (waiting,) = db.execute(f"SELECT count(*) FROM job WHERE {pending}", values).fetchone()
    if not waiting:
        return NOTHING_HELD
    (to_approve,) = db.execute(
        f"SELECT count(*) FROM job AS gated WHERE {_ASKS} AND EXISTS ("
        "SELECT 1 FROM need CROSS JOIN job ON job.seq = need.job"
        f" WHERE need.needs = gated.seq AND {pending})",
        values,
    ).fetchone()
    return Held(int(to_approve), int(waiting))


def approved_ids(db: sqlite3.Connection) -> Iterator[str]:
    return _ids(db, "gate = 1 AND approved = 1 AND listed = 1")


def waiting_ids(db: sqlite3.Connection) -> Iterator[str]:
    return _ids(db, f"{_ASKS} ORDER BY seq")


def _ids(db: sqlite3.Connection, condition: str) -> Iterator[str]:
    return (job_id for (job_id,) in db.execute(f"SELECT id FROM job WHERE {condition}"))


def waits(db: sqlite3.Connection, job_id: str) -> bool:
    """Whether the job waits for approval."""
    return bool(db.execute(f"SELECT 1 FROM job WHERE id = ? AND {_ASKS}", (job_id,)).fetchone())


def why_not(db: sqlite3.Connection, job_id: str) -> str | None:
    """Why a job does not wait for approval; None if there is no such job."""
    row = db.execute(
        "SELECT gate, approved, state, listed FROM job WHERE id = ?", (job_id,)
    ).fetchone()
    if row is None:
        return None
    gate, approved, state, listed = row
    if not listed:
        return f"{job_id} is no longer in the manifest"
    if not gate:
        return f"{job_id} has no gate: nothing waits for its approval"
    if approved:
        return f"{job_id} is approved already"
    return f"{job_id} is {state}, not done yet: there is nothing to approve"
