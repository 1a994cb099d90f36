"""What a shell completes: a bounded number of rows, since somebody waits."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3

MOST_READ = 20_000
"""Jobs whose tags are read."""

ANY_JOB = "1"
UNDECIDED = "state IN ('unknown', 'submitting', 'lost', 'fetching')"
TO_APPROVE = "gate = 1 AND approved = 0 AND state = 'done'"
WITH_RESULT = "state = 'done'"
"""Conditions on the table `job`."""

LAST = "\U0010ffff"
"""Sorts behind every character that an id may have."""


def job_ids(db: sqlite3.Connection, begin: str, limit: int, condition: str) -> list[str]:
    """Ids that begin so, in their order; `condition` is about the table `job`."""
    rows = db.execute(
        "SELECT id FROM job WHERE id >= ? AND id < ? AND listed = 1"
        f" AND {condition} ORDER BY id LIMIT ?",
        (begin, begin + LAST, limit),
    )
    return [job_id for (job_id,) in rows]


def tags(db: sqlite3.Connection, begin: str, limit: int) -> list[str]:
    """Tags of the first jobs."""
    rows = db.execute(
        "SELECT DISTINCT value FROM (SELECT tags FROM job WHERE tags != '[]' LIMIT ?) AS some,"
        " json_each(some.tags) WHERE value >= ? AND value < ? ORDER BY value LIMIT ?",
        (MOST_READ, begin, begin + LAST, limit),
    )
    return [tag for (tag,) in rows]
