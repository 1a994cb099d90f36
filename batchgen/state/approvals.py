"""Which jobs wait for a person's word, and what that word sets going."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from batchgen.state.marks import REJECTED_JOBS

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator

    from batchgen.state.selection import Selection

# Not an approval that nobody can give: a job that left the manifest is not asked about.
_ASKS = "state = 'done' AND gate = 1 AND approved = 0 AND listed = 1"


@dataclass(frozen=True, slots=True)
class Awaiting:
    """A done job behind its gate. `files` are below the run's folder, in the vendor's order.

    `rejected`: a person's word about the result is no already; what needs it would be paid.
    """

    seq: int
    id: str
    attempts: int
    rejected: bool
    files: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Held:
    """Why selected jobs stay pending: `to_approve` jobs wait for a person, and hold others back.

    `waiting` is how many are held back, by them or by a job that is not done yet.
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


def released_by(db: sqlite3.Connection, approved: Iterable[int]) -> int:
    """How many jobs could go on if these were approved: nothing else holds them back."""
    (count,) = db.execute(
        "SELECT count(*) FROM (SELECT need.job FROM need JOIN job ON job.seq = need.job"
        " WHERE need.needs IN (SELECT value FROM json_each(?))"
        " AND job.state = 'pending' AND job.listed = 1"
        " GROUP BY need.job HAVING count(*) = job.waiting)",
        (json.dumps(list(approved)),),
    ).fetchone()
    return int(count)


def held_back(db: sqlite3.Connection, selection: Selection) -> Held:
    """What of the selection waits, and for how many approvals."""
    condition, values = selection.where()
    pending = f"job.state = 'pending' AND job.listed = 1 AND job.waiting > 0 AND {condition}"
    (waiting,) = db.execute(f"SELECT count(*) FROM job WHERE {pending}", values).fetchone()
    if not waiting:
        return NOTHING_HELD
    (to_approve,) = db.execute(
        f"SELECT count(*) FROM job AS gated WHERE {_ASKS} AND EXISTS ("
        "SELECT 1 FROM need JOIN job ON job.seq = need.job"
        f" WHERE need.needs = gated.seq AND {pending})",
        values,
    ).fetchone()
    return Held(int(to_approve), int(waiting))


def approved_ids(db: sqlite3.Connection) -> Iterator[str]:
    rows = db.execute("SELECT id FROM job WHERE gate = 1 AND approved = 1 AND listed = 1")
    return (job_id for (job_id,) in rows)


def why_not(db: sqlite3.Connection, job_id: str) -> str | None:
    """Why a job does not wait for approval; None where there is no such job."""
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
