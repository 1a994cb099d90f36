"""Reviews of results: picks by people, flaws by a check.

Both are about one very file: a retry makes another one, which nobody has judged yet.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from batchgen.jobs import JobState
from batchgen.state.conditions import Judgement
from batchgen.state.transitions import move

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Mapping

    from batchgen.state.selection import Selection


class Pick(StrEnum):
    """A person's verdict on a file."""

    KEEP = "keep"
    REJECT = "reject"


REJECTED_JOBS = "SELECT seq FROM judged WHERE judgement = 'rejected'"
"""In SQL: their latest results were rejected."""

_VERIFIED = (
    "FROM file JOIN job ON job.seq = file.job AND job.attempts = file.attempt"
    " WHERE job.seq = ? AND file.position = coalesce(?, file.position)"
    " AND file.verified_at IS NOT NULL"
)


def pick(
    db: sqlite3.Connection, seq: int, position: int | None, verdict: Pick | None
) -> str | None:
    """Judge a file of the latest result, or all its files; None takes a pick back.

    What is rejected no more is not made again, where a retry has set it going. Returns why not, if
    not. `position` is the vendor's, from 1.
    """
    found = db.execute(f"SELECT file.id {_VERIFIED}", (seq, position)).fetchall()
    if not found:
        return _no_result(db, seq, position)
    db.executemany("UPDATE file SET pick = ? WHERE id = ?", [(verdict, file) for (file,) in found])
    if verdict is not Pick.REJECT:
        stay_done(db, seq)
    return None


def stay_done(db: sqlite3.Connection, seq: int) -> bool:
    """A paid result that was to be made again, and was not submitted yet, is done after all.

    Not where the job has another input by now: `model` says so of the attempt.
    """
    (is_whole,) = db.execute(
        "SELECT EXISTS (SELECT 1 FROM attempt WHERE attempt.job = job.seq AND number = attempts"
        " AND outcome IN ('succeeded', 'reused') AND model IS NULL)"
        " AND (SELECT count(*) > 0 AND count(*) = count(verified_at)"
        " FROM file WHERE file.job = job.seq AND attempt = attempts)"
        " FROM job WHERE seq = ? AND state IN ('pending', 'blocked')"
        " UNION ALL SELECT 0 LIMIT 1",
        (seq,),
    ).fetchone()
    return bool(is_whole) and move(db, seq, JobState.DONE)


def find_flaws(
    db: sqlite3.Connection, seq: int, position: int | None, flaws: Mapping[str, str]
) -> str | None:
    """Store what a check found about a file, in place of what an earlier one found.

    `flaws`: kind to words. Returns why not, if not.
    """
    found = db.execute(f"SELECT file.id {_VERIFIED}", (seq, position)).fetchall()
    if not found:
        return _no_result(db, seq, position)
    for (file,) in found:
        db.execute("DELETE FROM flaw WHERE file = ?", (file,))
        rows = [(file, kind, words) for kind, words in flaws.items()]
        db.executemany("INSERT INTO flaw (file, kind, words) VALUES (?, ?, ?)", rows)
    return None


def forget(db: sqlite3.Connection, file_id: int) -> None:
    """Another content came in the file's place: the review is not about that."""
    db.execute("UPDATE file SET pick = NULL WHERE id = ? AND pick IS NOT NULL", (file_id,))
    db.execute("DELETE FROM flaw WHERE file = ?", (file_id,))


def _no_result(db: sqlite3.Connection, seq: int, position: int | None) -> str:
    job_id, state = db.execute("SELECT id, state FROM job WHERE seq = ?", (seq,)).fetchone()
    which = "no result" if position is None else f"no file {position}"
    return f"job {job_id}, which is {state}, has {which} to pick"


@dataclass(frozen=True, slots=True)
class ReviewCounts:
    """Jobs that were kept and rejected, and files with each kind of flaw."""

    kept: int
    rejected: int
    flaws: Mapping[str, int]


def count_reviews(db: sqlite3.Connection, selection: Selection) -> ReviewCounts:
    """Of listed jobs' latest results."""
    condition, values = selection.where()
    judged = db.execute(
        "SELECT judgement, count(*) FROM judged CROSS JOIN job ON job.seq = judged.seq"
        f" WHERE job.listed = 1 AND {condition} GROUP BY judgement",
        values,
    )
    counts = dict(judged.fetchall())
    flaws = db.execute(
        "SELECT kind, count(*) FROM flaw CROSS JOIN file ON file.id = flaw.file"
        " CROSS JOIN job ON job.seq = file.job AND job.attempts = file.attempt"
        f" WHERE job.listed = 1 AND {condition} GROUP BY kind ORDER BY count(*) DESC, kind",
        values,
    )
    kept, rejected = (int(counts.get(one.value, 0)) for one in Judgement)
    return ReviewCounts(kept, rejected, dict(flaws.fetchall()))


def results_to_pick(
    db: sqlite3.Connection, selection: Selection, position: int | None
) -> Iterator[tuple[str, int]]:
    """`(id, attempt)` of the selected jobs with a result, or with a file at that position.

    As a stream.
    """
    condition, values = selection.where()
    return db.execute(
        "SELECT job.id, job.attempts FROM job WHERE EXISTS (SELECT 1 FROM file"
        " WHERE file.job = job.seq AND file.attempt = job.attempts AND verified_at IS NOT NULL"
        f" AND position = coalesce(?, position)) AND {condition} ORDER BY job.seq",
        (position, *values),
    )
