"""The difference between today's manifest and the state: one row for each staged job.

In the temporary table `meeting`, `today` is the job's number among the staged ones and `seq` that
of the known job, NULL where it is new. `renamed` is about the name of its files; `moved` numbers
the known job that has another id today (renames.py). A job `asks` where its new input may have to
be paid for again, and `rerun` says that it shall be. `gone` numbers the known jobs that the
manifest no longer has. Plans count this difference, and runs apply it.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from batchgen.state.database import translated
from batchgen.state.records import FOLLOWS_MANIFEST

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator
    from pathlib import Path

    from batchgen.state.staging import Staging


NEVER_ATTEMPTED = "(job.attempts = 0 AND job.state IN ('pending', 'blocked'))"
"""Such a job holds no memory: it follows the manifest."""


# Refused or never sent: nothing was charged, so a new input is taken up without asking.
UNPAID = (
    "NOT EXISTS (SELECT 1 FROM attempt WHERE attempt.job = job.seq AND (outcome IS NULL"
    " OR outcome NOT IN ('not_sent', 'throttled', 'halted', 'refused')))"
)


LIVE = "('submitting', 'queued', 'running', 'fetching', 'unknown')"


MAY_RERUN = (
    f"job.state NOT IN {LIVE}"
    " AND NOT EXISTS (SELECT 1 FROM attempt WHERE attempt.job = job.seq AND outcome IS NULL)"
)
"""No request is under way, and none that was too slow may still deliver."""


_TABLES = (
    "meeting",
    "gone",
    "rebased",
    "renamed_job",
    "leaver",
    "referring",
    "parted",
    "planned",
    "edge",
    "caused",
)


_MEET = f"""
    INSERT INTO temp.meeting
    SELECT today.seq, job.seq,
        job.body != today.body OR job.model != today.model,
        NOT {NEVER_ATTEMPTED},
        job.name != today.name,
        job.listed = 0 OR {" OR ".join(f"job.{c} IS NOT today.{c}" for c in FOLLOWS_MANIFEST)},
        NULL, 0, 0
    FROM incoming.job AS today LEFT JOIN main.job AS job ON job.id = today.id
"""


@contextmanager
def attached(db: sqlite3.Connection, staging: Staging, path: Path) -> Iterator[None]:
    """The staged jobs as `incoming.job`; what was begun and not committed is undone at the end."""
    with translated(path):
        db.execute("ATTACH DATABASE ? AS incoming", (str(staging.path),))
        try:
            yield
        finally:
            if db.in_transaction:
                db.execute("ROLLBACK")
            for table in _TABLES:
                db.execute(f"DROP TABLE IF EXISTS temp.{table}")
            db.execute("DETACH DATABASE incoming")


def meet(db: sqlite3.Connection) -> None:
    db.execute(
        "CREATE TEMP TABLE meeting (today INTEGER PRIMARY KEY, seq INTEGER, changed INTEGER,"
        " attempted INTEGER, renamed INTEGER, relisted INTEGER, moved INTEGER,"
        " asks INTEGER NOT NULL, rerun INTEGER NOT NULL)"
    )
    db.execute(_MEET)


def find_gone(db: sqlite3.Connection) -> None:
    """After `meet`."""
    db.execute("CREATE TEMP TABLE gone (seq INTEGER PRIMARY KEY)")
    (met,) = db.execute("SELECT count(seq) FROM temp.meeting").fetchone()
    (known,) = db.execute("SELECT count(*) FROM job").fetchone()
    if met < known:
        db.execute(
            "INSERT INTO temp.gone SELECT seq FROM job INDEXED BY job_by_state"
            " WHERE seq NOT IN (SELECT seq FROM temp.meeting WHERE seq IS NOT NULL)"
        )
