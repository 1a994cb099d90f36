"""Claiming the names of files in the state, so that they are the same on every run."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from batchgen.fs import file_names, name_key

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator


Claim = tuple[str, str]
"""A name and its key: two names with one key would be one file on some disk."""


def claim_file_names(db: sqlite3.Connection, seq: int, attempt: int, count: int) -> list[Claim]:
    """Names for the files of an attempt: `boat`, or `boat.1`, `boat.2` where there are several.

    An attempt after one that left files is another take, so nothing is overwritten: `boat.take2`.
    """
    job_id, stem = db.execute("SELECT id, name FROM job WHERE seq = ?", (seq,)).fetchone()
    earlier = db.execute("SELECT 1 FROM file WHERE job = ? LIMIT 1", (seq,)).fetchone()
    if earlier:
        stem = f"{stem}.take{attempt}"
    return [_free_claim(db, seq, name, f"{job_id}#{attempt}") for name in file_names(stem, count)]


def _free_claim(db: sqlite3.Connection, seq: int, name: str, owner: str) -> Claim:
    key = name_key(name)
    taken = db.execute(
        "SELECT 1 FROM job WHERE name_key = ? AND seq != ?"
        " UNION ALL SELECT 1 FROM file WHERE name_key = ? LIMIT 1",
        (key, seq, key),
    ).fetchone()
    if not taken:
        return name, key
    other = unique_name(name, f"{owner}/{name}")
    return other, name_key(other)


def unique_name(name: str, owner: str) -> str:
    """The name to use where `name` belongs to someone else: the same each time for an owner."""
    return f"{name}-{hashlib.sha256(owner.encode()).hexdigest()[:8]}"


def names_to_come(db: sqlite3.Connection) -> Iterator[tuple[str, str]]:
    """`(id, name)` of the jobs whose files may still be written."""
    return db.execute("SELECT id, name FROM job WHERE listed AND state != 'done'")


_TWICE = "SELECT name_key FROM {jobs} GROUP BY name_key HAVING count(*) > 1"
_LATER = (
    "SELECT later.seq FROM {jobs} AS later JOIN"
    " (SELECT name_key, min(seq) AS first FROM {jobs} GROUP BY name_key HAVING count(*) > 1)"
    " AS twice ON twice.name_key = later.name_key WHERE later.seq > twice.first"
)


def make_names_unique(db: sqlite3.Connection, schema: str = "main") -> None:
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
        f"UPDATE {jobs} SET name = unique_name(name, id)"
        " WHERE seq IN (SELECT seq FROM temp.renamed)"
    ).rowcount
    db.execute(
        f"UPDATE {jobs} SET name_key = name_key(name) WHERE seq IN (SELECT seq FROM temp.renamed)"
    )
    db.execute("DROP TABLE temp.renamed")
    return count
