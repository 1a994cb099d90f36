"""Questions about picks and flaws, for a selection of jobs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from batchgen.state.marks import Judgement

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping

    from batchgen.state.selection import Selection


@dataclass(frozen=True, slots=True)
class Marks:
    """Jobs that were kept and rejected, and files with each kind of flaw."""

    kept: int
    rejected: int
    flaws: Mapping[str, int]


def count_marks(db: sqlite3.Connection, selection: Selection) -> Marks:
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
    return Marks(kept, rejected, dict(flaws.fetchall()))


def results_to_pick(
    db: sqlite3.Connection, selection: Selection, position: int | None
) -> list[tuple[str, int]]:
    """`(id, attempt)` of the selected jobs with a result, or with a file at that position."""
    condition, values = selection.where()
    return db.execute(
        "SELECT job.id, job.attempts FROM job WHERE EXISTS (SELECT 1 FROM file"
        " WHERE file.job = job.seq AND file.attempt = job.attempts AND verified_at IS NOT NULL"
        f" AND position = coalesce(?, position)) AND {condition} ORDER BY job.seq",
        (position, *values),
    ).fetchall()
