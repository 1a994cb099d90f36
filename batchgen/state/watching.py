"""What tells a watcher that something moved, read from indexes alone. Takes a reading connection.

Nothing announces a change of SQLite to another process. What can be had cheaply is that there was
one (`version`), and a short word about each job, by which two looks are compared (`signatures`).
"""

from __future__ import annotations

import json
from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING

from batchgen.jobs import JobState
from batchgen.state.queries import get_meta

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

    from batchgen.state.marks import Pick

_STATES = tuple(JobState)
_STATE_BITS = 4
_FLAG_BITS = 2
_MARKS_AT = 32
_MOST_ATTEMPTS = (1 << (_MARKS_AT - _STATE_BITS - _FLAG_BITS)) - 1
_MARKS = (1 << (64 - _MARKS_AT)) - 1


def version(db: sqlite3.Connection) -> int:
    """Another number once another connection has changed anything (sqlite.org, data_version)."""
    (found,) = db.execute("PRAGMA data_version").fetchone()
    return int(found)


def signatures(db: sqlite3.Connection) -> array[int]:
    """A number for each job, at the place of its seq: another one once anything shown changed.

    0 where there is no job. 8 bytes a job: a million jobs are looked at within 8 MB.
    """
    (last,) = db.execute("SELECT coalesce(max(seq), 0) FROM job").fetchone()
    found = array("Q", bytes(8 * (last + 1)))
    for code, state in enumerate(_STATES, 1):
        rows = db.execute(
            f"SELECT seq, ((min(attempts, {_MOST_ATTEMPTS}) << {_FLAG_BITS}) | (listed << 1)"
            f" | approved) << {_STATE_BITS} | {code} FROM job INDEXED BY job_by_state"
            " WHERE state = ?",
            (state,),
        )
        for seq, value in rows:
            found[seq] = value
    _add_marks(db, found)
    return found


def _add_marks(db: sqlite3.Connection, found: array[int]) -> None:
    """Picks and flaws fold into the upper half, in whatever order they come."""
    picks = db.execute(
        "SELECT job, attempt, position, pick FROM file INDEXED BY file_by_pick"
        " WHERE pick IS NOT NULL"
    )
    for seq, *mark in picks:
        found[seq] ^= (hash(tuple(mark)) & _MARKS) << _MARKS_AT
    flaws = db.execute(
        "SELECT file.job, flaw.file, kind, words FROM flaw CROSS JOIN file ON file.id = flaw.file"
    )
    for seq, *mark in flaws:
        found[seq] ^= (hash(tuple(mark)) & _MARKS) << _MARKS_AT


@dataclass(frozen=True, slots=True)
class WatchedFile:
    """A verified file; `path` is below the run's folder, `attempt` and `position` count from 1."""

    job_id: str
    attempt: int
    position: int
    path: str
    sha256: str
    media_type: str
    pick: Pick | None


def watched_file(db: sqlite3.Connection, key: int) -> WatchedFile | None:
    """The file of that id, if it is there and verified."""
    row = db.execute(
        "SELECT job.id, file.attempt, position, path, sha256, media_type, pick"
        " FROM file JOIN job ON job.seq = file.job WHERE file.id = ? AND verified_at IS NOT NULL",
        (key,),
    ).fetchone()
    return WatchedFile(*row) if row else None


def numbers_of(db: sqlite3.Connection, job_ids: Iterable[str]) -> list[int]:
    """The numbers of those jobs, ascending; what is nobody's id has none."""
    rows = db.execute(
        "SELECT seq FROM job WHERE id IN (SELECT value FROM json_each(?)) ORDER BY seq",
        (json.dumps(list(job_ids)),),
    )
    return [seq for (seq,) in rows]


def rejected_among(db: sqlite3.Connection, job_ids: Iterable[str]) -> frozenset[str]:
    """Those of the jobs about whose latest result a person's word is no."""
    rows = db.execute(
        "SELECT id FROM judged WHERE judgement = 'rejected'"
        " AND id IN (SELECT value FROM json_each(?))",
        (json.dumps(list(job_ids)),),
    )
    return frozenset(job_id for (job_id,) in rows)


def is_a_copy(db: sqlite3.Connection) -> bool:
    """Whether this is an older state that was renewed aside: what happens does not reach it."""
    names = {name: file for _, name, file in db.execute("PRAGMA database_list")}
    return not names["main"]


def manifest_read(db: sqlite3.Connection) -> str:
    """What the jobs were made from: another text once the manifest was read anew, "" meanwhile."""
    return get_meta(db, "inputs") or ""


def has_due(db: sqlite3.Connection) -> bool:
    """Whether a run would submit anything: a job that waits for nothing."""
    (found,) = db.execute(
        "SELECT EXISTS (SELECT 1 FROM job INDEXED BY job_due"
        " WHERE state = 'pending' AND listed = 1 AND waiting = 0)"
    ).fetchone()
    return bool(found)


def has_more_attempts(db: sqlite3.Connection, count: int) -> bool:
    """Whether there are more than so many, without counting all of them."""
    (found,) = db.execute(
        "SELECT EXISTS (SELECT 1 FROM attempt LIMIT 1 OFFSET ?)", (count,)
    ).fetchone()
    return bool(found)
