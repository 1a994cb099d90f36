"""The difference between today's manifest and the state: one row for each staged job.

The columns of the temporary table `difference`:

- `today`: the job's number in the staging area; `seq`: its number in the state, NULL if it is new
- `changed`: another model or input; a file of its input that only has another path is no change
- `renamed`: the name of its files has changed
- `relisted`: something changed that follows the manifest without a question
- `asks`: its new input may have to be paid for again; `rerun`: it will be
- `own`: the job's state as it was compared
- `moved`: the number of a paid job that only got another id: it is gone from the manifest, and this
  new job has the same input. An id can change while the input stays the same: someone edits it, or
  a sweep gets an axis. Taken for a new job, it would be paid for again without asking.

The table `gone` has the numbers of known jobs that the manifest no longer has. A plan counts this
difference, and a run applies it.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from batchgen import input_files
from batchgen.references import HOST, reference_url, references_in, resolved
from batchgen.state.database import translated
from batchgen.state.meta import Meta, set_meta
from batchgen.state.records import FOLLOWS_MANIFEST

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator
    from pathlib import Path

    from batchgen.state.selection import Selection
    from batchgen.state.staging import Staging


NEVER_ATTEMPTED = "(job.attempts = 0 AND job.state IN ('pending', 'blocked'))"
"""Nothing is remembered of such a job, so it follows the manifest."""


# Refused or never sent: nothing was charged, so a new input replaces the old one without asking.
UNPAID = (
    "NOT EXISTS (SELECT 1 FROM attempt WHERE attempt.job = job.seq AND (outcome IS NULL"
    " OR outcome NOT IN ('not_sent', 'throttled', 'halted', 'refused')))"
)


LIVE = "('submitting', 'queued', 'running', 'fetching', 'unknown')"


MAY_RERUN = (
    f"job.state NOT IN {LIVE}"
    " AND NOT EXISTS (SELECT 1 FROM attempt WHERE attempt.job = job.seq AND outcome IS NULL)"
)
"""No request is under way, and no slow one can still deliver."""


_TABLES = (
    "difference",
    "gone",
    "rebased",
    "renamed_job",
    "leaver",
    "referring",
    "parted",
    "first",
    "tally",
    "own_file",
)


def _has_files(body: str) -> str:
    return f"instr({body}, '//{input_files.HOST}/')"


def _content(body: str) -> str:
    """What makes a body different work, in SQL; most have no files, and call no function."""
    return f"iif({_has_files(body)}, content_of({body}), {body})"


_COMPARE = f"""
    INSERT INTO temp.difference
    SELECT today.seq, job.seq,
        job.body != today.body OR job.model != today.model,
        NOT {NEVER_ATTEMPTED},
        job.name != today.name,
        job.listed = 0 OR {" OR ".join(f"job.{c} IS NOT today.{c}" for c in FOLLOWS_MANIFEST)},
        NULL, 0, 0, coalesce(job.state, 'pending')
    FROM incoming.job AS today
"""

# Most jobs have the number that they were staged with, and a number is found sooner than an id.
_BY_NUMBER = "CROSS JOIN main.job AS job ON job.seq = today.seq AND job.id = today.id"
_BY_ID = (
    "LEFT JOIN main.job AS job ON job.id = today.id"
    " WHERE today.seq NOT IN (SELECT today FROM temp.difference)"
)


# By itself: the texts of most jobs are equal, and comparing them is all that they cost.
_SAME_CONTENT = f"""
    UPDATE temp.difference SET changed = 0, relisted = 1 WHERE changed AND EXISTS (
        SELECT 1 FROM main.job AS job JOIN incoming.job AS today ON today.seq = difference.today
        WHERE job.seq = difference.seq AND job.model = today.model
            AND {_has_files("today.body")} AND {_content("job.body")} = {_content("today.body")})
"""


@contextmanager
def attached(db: sqlite3.Connection, staging: Staging, path: Path) -> Iterator[None]:
    """Attach the staged jobs as `incoming.job`; roll back at the end what was not committed."""
    with translated(path):
        db.execute("ATTACH DATABASE ? AS incoming", (str(staging.path),))
        try:
            yield
        finally:
            if db.in_transaction:
                db.execute("ROLLBACK")
            db.execute("DROP VIEW IF EXISTS temp.planned")
            for table in _TABLES:
                db.execute(f"DROP TABLE IF EXISTS temp.{table}")
            db.execute("DETACH DATABASE incoming")


def _compare_ids(db: sqlite3.Connection) -> None:
    db.execute(
        "CREATE TEMP TABLE difference (today INTEGER PRIMARY KEY, seq INTEGER, changed INTEGER,"
        " attempted INTEGER, renamed INTEGER, relisted INTEGER, moved INTEGER,"
        " asks INTEGER NOT NULL, rerun INTEGER NOT NULL, own TEXT NOT NULL)"
    )
    found = db.execute(_COMPARE + _BY_NUMBER).rowcount
    (last,) = db.execute("SELECT max(seq) FROM incoming.job").fetchone()
    if found != last:
        db.execute(_COMPARE + _BY_ID)
    db.execute(_SAME_CONTENT)


def _find_gone(db: sqlite3.Connection) -> None:
    """Call it after `_compare_ids`."""
    db.execute("CREATE TEMP TABLE gone (seq INTEGER PRIMARY KEY)")
    (found,) = db.execute("SELECT count(seq) FROM temp.difference").fetchone()
    (known,) = db.execute("SELECT count(*) FROM job").fetchone()
    if found < known:
        db.execute(
            "INSERT INTO temp.gone SELECT seq FROM job INDEXED BY job_by_state"
            " WHERE seq NOT IN (SELECT seq FROM temp.difference WHERE seq IS NOT NULL)"
        )


_RENAME_TABLES = (
    # Each input as it would be if the jobs that it refers to already had their new ids.
    "CREATE TEMP TABLE rebased (seq INTEGER PRIMARY KEY, body TEXT NOT NULL)",
    "CREATE TEMP TABLE renamed_job (seq INTEGER PRIMARY KEY, today INTEGER UNIQUE)",
    "CREATE TEMP TABLE leaver (seq INTEGER PRIMARY KEY, listed INTEGER)",
    "CREATE TEMP TABLE referring (seq INTEGER PRIMARY KEY)",
)

_OLD = _content("coalesce(rebased.body, job.body)")
_NEW = _content("today.body")
# Jobs with equal inputs are paired in order; those that leave the manifest now come first.
# CAST, since SQLite makes no index for a join on an expression: it would compare each with each.
_PAIRS = f"""
    INSERT INTO temp.renamed_job
    WITH old AS (
        SELECT job.seq, job.model, CAST({_OLD} AS TEXT) AS content,
            row_number() OVER (PARTITION BY job.model, {_OLD}
                               ORDER BY job.listed DESC, job.seq) AS place
        FROM temp.leaver JOIN main.job AS job ON job.seq = leaver.seq
        LEFT JOIN temp.rebased AS rebased ON rebased.seq = job.seq
        WHERE job.seq NOT IN (SELECT seq FROM temp.renamed_job)
    ),
    new AS (
        SELECT today.seq, today.model, CAST({_NEW} AS TEXT) AS content,
            row_number() OVER (PARTITION BY today.model, {_NEW} ORDER BY today.seq) AS place
        FROM temp.difference AS diff JOIN incoming.job AS today ON today.seq = diff.today
        WHERE diff.seq IS NULL AND today.seq NOT IN (SELECT today FROM temp.renamed_job)
    )
    SELECT old.seq, new.seq FROM new
    JOIN old ON old.content = new.content AND old.model = new.model AND old.place = new.place
"""


def find_difference(db: sqlite3.Connection) -> None:
    """Match each staged job with the known one, by id or, failing that, by input."""
    _compare_ids(db)
    _find_gone(db)
    _find_renamed(db)
    # Where nothing was charged, a new input needs no question.
    db.execute(
        "UPDATE temp.difference SET asks = 1 WHERE changed AND EXISTS ("
        f"SELECT 1 FROM main.job AS job WHERE job.seq = difference.seq AND NOT {UNPAID})"
    )


def choose_reruns(db: sqlite3.Connection, selection: Selection) -> None:
    """Mark the selected jobs whose new input will be paid for. Call it after `find_difference`."""
    condition, values = selection.where("incoming.job")
    db.execute(
        "UPDATE temp.difference SET rerun = 1 WHERE today IN (SELECT today FROM ("
        "SELECT diff.today, job.seq, today.id, today.model, today.tags, job.state"
        " FROM temp.difference AS diff JOIN incoming.job AS today ON today.seq = diff.today"
        " JOIN main.job AS job ON job.seq = diff.seq"
        f" WHERE diff.asks AND {MAY_RERUN}) AS job WHERE {condition})",
        values,
    )
    _part_renamed(db, selection)


def _find_renamed(db: sqlite3.Connection) -> None:
    """Pair renamed jobs, once the others are compared by id; renamed jobs are not `gone`.

    Jobs that refer to them may be renamed too, so they are compared with the new ids.
    """
    for table in _RENAME_TABLES:
        db.execute(table)
    if not _anybody_left(db):
        return
    db.execute(
        "INSERT INTO temp.leaver SELECT seq, listed FROM temp.gone JOIN main.job AS job USING (seq)"
        f" WHERE NOT {NEVER_ATTEMPTED} AND NOT {UNPAID}"
    )
    # Each round finds the next links of the chains.
    while db.execute(_PAIRS).rowcount:
        _rebase(db)
    db.execute(
        "UPDATE temp.difference SET seq = pair.seq, moved = pair.seq, attempted = 1, changed = 0,"
        " renamed = 0, relisted = 1 FROM temp.renamed_job AS pair"
        " WHERE difference.today = pair.today"
    )
    db.execute("DELETE FROM temp.gone WHERE seq IN (SELECT seq FROM temp.renamed_job)")
    db.execute(
        "UPDATE temp.difference SET changed = 0, relisted = 1 WHERE changed AND EXISTS ("
        "SELECT 1 FROM temp.rebased JOIN main.job AS job USING (seq)"
        " JOIN incoming.job AS today ON today.seq = difference.today"
        " WHERE rebased.seq = difference.seq AND job.model = today.model"
        f" AND {_content('rebased.body')} = {_content('today.body')})"
    )


def _anybody_left(db: sqlite3.Connection) -> bool:
    """A first run, and a run of an unchanged manifest, need no other query."""
    (left,) = db.execute(
        "SELECT EXISTS (SELECT 1 FROM temp.gone CROSS JOIN main.job AS job USING (seq)"
        f" WHERE NOT {NEVER_ATTEMPTED})"
        " AND EXISTS (SELECT 1 FROM temp.difference WHERE seq IS NULL)"
    ).fetchone()
    return bool(left)


def _rebase(db: sqlite3.Connection) -> None:
    if db.execute("SELECT 1 FROM temp.referring LIMIT 1").fetchone() is None:
        db.execute(
            f"INSERT INTO temp.referring SELECT seq FROM main.job WHERE instr(body, '//{HOST}/')"
        )
    rows = db.execute(
        "SELECT job.seq, job.body FROM temp.referring JOIN main.job AS job USING (seq)"
    )
    for seq, body in rows:
        found = _with_new_ids(db, body)
        if found != body:
            db.execute("INSERT OR REPLACE INTO temp.rebased VALUES (?, ?)", (seq, found))


def _with_new_ids(db: sqlite3.Connection, body: str) -> str:
    urls: dict[str, str] = {}
    for reference in references_in(body):
        row = db.execute(
            "SELECT today.id FROM main.job AS job JOIN temp.renamed_job AS pair USING (seq)"
            " JOIN incoming.job AS today ON today.seq = pair.today WHERE job.id = ?",
            (reference.job_id,),
        ).fetchone()
        job_id = row[0] if row else reference.job_id
        urls[reference.url] = reference_url(job_id, reference.kind, reference.position)
    return resolved(body, urls)


def take_up_renamed(db: sqlite3.Connection) -> None:
    """Give the jobs their new ids; their files stay where they are.

    Call it before anything looks up a job by its new id.
    """
    moved = db.execute("SELECT 1 FROM temp.difference WHERE moved IS NOT NULL LIMIT 1").fetchone()
    if moved is None:
        return
    # Also for parted pairs: references to the old job now mean its successor.
    db.execute(
        "UPDATE job SET body = rebased.body FROM temp.rebased AS rebased"
        " WHERE job.seq = rebased.seq"
    )
    db.execute(
        "UPDATE job SET id = today.id FROM temp.difference AS diff"
        " JOIN incoming.job AS today ON today.seq = diff.today"
        " WHERE job.seq = diff.seq AND diff.moved IS NOT NULL"
    )
    # Its lines have the old ids.
    set_meta(db, Meta.METADATA_IS_STALE, "yes")


def _part_renamed(db: sqlite3.Connection, selection: Selection) -> None:
    """Split selected pairs that will be paid for again: the old job is gone, the new one is new.

    A job with a request under way stays paired: it is followed under the new id.
    """
    condition, values = selection.where("incoming.job")
    db.execute(
        "CREATE TEMP TABLE parted AS SELECT today, seq FROM ("
        "SELECT diff.today, job.seq, today.id, today.model, today.tags, job.state"
        " FROM temp.difference AS diff JOIN incoming.job AS today ON today.seq = diff.today"
        " JOIN main.job AS job ON job.seq = diff.moved"
        f" WHERE {MAY_RERUN}) AS job WHERE {condition}",
        values,
    )
    db.execute("INSERT INTO temp.gone SELECT seq FROM temp.parted")
    db.execute(
        "UPDATE temp.difference SET seq = NULL, attempted = 0, relisted = 0"
        " WHERE today IN (SELECT today FROM temp.parted)"
    )
