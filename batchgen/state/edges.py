"""Which job needs which: the edges of the state, brought up to those of the manifest.

Triggers of the schema do the rest: they count what a job waits for, block it and set it going.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3

_UNWANTED = """
    SELECT need.job, need.needs FROM main.need
    JOIN main.job AS dependant ON dependant.seq = need.job
    JOIN main.job AS needed ON needed.seq = need.needs
    WHERE need.job IN ({leaving}) OR need.needs IN ({leaving}) OR NOT EXISTS (
        SELECT 1 FROM incoming.job AS today
        JOIN incoming.need AS wanted ON wanted.job = today.seq AND wanted.needs = needed.id
        WHERE today.id = dependant.id)
"""

_WANTED = """
    INSERT INTO main.need (job, needs)
    SELECT dependant.seq, needed.seq FROM incoming.need AS wanted
    JOIN incoming.job AS today ON today.seq = wanted.job
    JOIN main.job AS dependant ON dependant.id = today.id
    JOIN main.job AS needed ON needed.id = wanted.needs
    WHERE NOT EXISTS (
        SELECT 1 FROM main.need WHERE need.job = dependant.seq AND need.needs = needed.seq)
"""


def drop_edges(db: sqlite3.Connection, leaving: str) -> None:
    """Those that the manifest has no more, and all of the jobs that the query `leaving` numbers."""
    if db.execute("SELECT 1 FROM main.need LIMIT 1").fetchone() is None:
        return
    db.execute(f"CREATE TEMP TABLE unwanted AS {_UNWANTED.format(leaving=leaving)}")
    db.execute("DELETE FROM main.need WHERE (job, needs) IN (SELECT job, needs FROM temp.unwanted)")
    db.execute("DROP TABLE temp.unwanted")


def add_edges(db: sqlite3.Connection) -> None:
    """Those that are missing, between jobs that are in the state by now."""
    if db.execute("SELECT 1 FROM incoming.need LIMIT 1").fetchone() is not None:
        db.execute(_WANTED)
