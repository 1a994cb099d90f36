"""What every move is made of: a legal step of a job, the closing of an attempt, and questions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from batchgen.jobs import ENTRANCES, JobState

if TYPE_CHECKING:
    import sqlite3


def is_followed(db: sqlite3.Connection, seq: int) -> bool:
    return bool(
        db.execute(
            "SELECT 1 FROM job WHERE seq = ? AND state IN ('queued', 'running')", (seq,)
        ).fetchone()
    )


def is_open(db: sqlite3.Connection, seq: int, number: int) -> bool:
    return bool(
        db.execute(
            "SELECT 1 FROM attempt WHERE job = ? AND number = ? AND outcome IS NULL", (seq, number)
        ).fetchone()
    )


def is_cancel_asked(db: sqlite3.Connection, seq: int) -> bool:
    return bool(db.execute("SELECT cancel_asked FROM job WHERE seq = ?", (seq,)).fetchone()[0])


@dataclass(frozen=True, slots=True)
class Closing:
    """What is written on an attempt when it is closed. `outcome` as in schema.sql."""

    outcome: str
    code: str | None = None
    error: str | None = None
    cost: float | None = None
    result: str | None = None


def close_attempt(
    db: sqlite3.Connection, seq: int, number: int, closing: Closing, at: float
) -> bool:
    """Close an open attempt; False where it is closed already."""
    return (
        db.execute(
            "UPDATE attempt SET outcome = ?, ended_at = ?, error_code = ?, error = ?, cost = ?,"
            " result = ? WHERE job = ? AND number = ? AND outcome IS NULL",
            (
                closing.outcome,
                at,
                closing.code,
                closing.error,
                closing.cost,
                closing.result,
                seq,
                number,
            ),
        ).rowcount
        == 1
    )


def move(
    db: sqlite3.Connection,
    seq: int,
    to: JobState,
    code: str | None = None,
    reason: str | None = None,
) -> bool:
    """One legal step of a job; False where the table of jobs.LEGAL does not allow it."""
    return (
        db.execute(
            "UPDATE job SET state = ?, error_code = ?, error = ?"
            f" WHERE seq = ? AND state IN {_SOURCES[to]}",
            (to.value, code, reason, seq),
        ).rowcount
        == 1
    )


_SOURCES = {
    state: "(" + ", ".join(f"'{source.value}'" for source in sources) + ")"
    for state, sources in ENTRANCES.items()
}
