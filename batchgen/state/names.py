"""Who owns which file name. Names are claimed in the state, so they are the same on every run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from batchgen.downloads.naming import file_names, name_key
from batchgen.state.distinct import distinct_name

if TYPE_CHECKING:
    import sqlite3

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
    other = distinct_name(name, f"{owner}/{name}")
    return other, name_key(other)
