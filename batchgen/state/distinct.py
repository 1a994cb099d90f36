"""Names that are made distinct: one rule for one owner, and for a whole table at once."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3


def distinct_name(name: str, owner: str) -> str:
    """The name to use where `name` belongs to someone else: the same each time for an owner."""
    return f"{name}-{hashlib.sha256(owner.encode()).hexdigest()[:8]}"


_TWICE = "SELECT name_key FROM {jobs} GROUP BY name_key HAVING count(*) > 1"
_LATER = (
    "SELECT later.seq FROM {jobs} AS later JOIN"
    " (SELECT name_key, min(seq) AS first FROM {jobs} GROUP BY name_key HAVING count(*) > 1)"
    " AS twice ON twice.name_key = later.name_key WHERE later.seq > twice.first"
)


def make_names_distinct(db: sqlite3.Connection, schema: str = "main") -> None:
    """Of the staged jobs of one name the first keeps it, until no two names would be one file.

    `schema` is that of the staging database. In the order of the jobs, so the outcome is the same
    on every run.
    """
    jobs = f"{schema}.job"
    if db.execute(_TWICE.format(jobs=jobs) + " LIMIT 1").fetchone() is None:
        return
    db.execute(f"CREATE INDEX IF NOT EXISTS {schema}.job_by_name ON job (name_key)")
    while rename(db, jobs, _LATER.format(jobs=jobs)):
        pass


def rename(db: sqlite3.Connection, jobs: str, which: str) -> int:
    """Give the jobs that the query `which` numbers the next name of theirs. How many."""
    # Named first: a query that looks for names must not see those that are changed half-way.
    db.execute(f"CREATE TEMP TABLE renamed AS {which}")
    count = db.execute(
        f"UPDATE {jobs} SET name = distinct_name(name, id)"
        " WHERE seq IN (SELECT seq FROM temp.renamed)"
    ).rowcount
    db.execute(
        f"UPDATE {jobs} SET name_key = name_key(name) WHERE seq IN (SELECT seq FROM temp.renamed)"
    )
    db.execute("DROP TABLE temp.renamed")
    return count
