"""What the engine asks of the state besides its jobs: short readers that take a connection."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from batchgen.jobs import JobState

if TYPE_CHECKING:
    import sqlite3


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a job stands, and why, where it is in trouble."""

    state: JobState
    error: str | None


def standing(db: sqlite3.Connection, seq: int) -> Standing:
    state, error = db.execute(
        "SELECT state, coalesce(error, error_code) FROM job WHERE seq = ?", (seq,)
    ).fetchone()
    return Standing(JobState(state), error)


def under_way(db: sqlite3.Connection) -> list[tuple[int, str, str]]:
    """`(seq, model, sweep)` of what an earlier run left with the vendor, or to download."""
    return db.execute(
        "SELECT seq, model, sweep FROM job WHERE listed = 1"
        " AND state IN ('queued', 'running', 'fetching') ORDER BY seq"
    ).fetchall()


def blocked_jobs(db: sqlite3.Connection) -> dict[str, int]:
    """Blocked jobs of the manifest by model; the index alone answers it."""
    return dict(
        db.execute(
            "SELECT model, count(*) FROM job WHERE state = 'blocked' AND listed = 1 GROUP BY model"
        )
    )
