"""Jobs that only got another id: paid ones that left the manifest, and new ones of the same input.

An edit that changes no input may change an id: a person writes another, a sweep gets an axis. Were
such a job taken for a new one, it would be paid again without a question.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from batchgen.references import HOST, reference_url, references_in, resolved
from batchgen.state.meeting import MAY_RERUN, NEVER_ATTEMPTED, UNPAID, find_gone, meet
from batchgen.state.meta import Meta, set_meta

if TYPE_CHECKING:
    import sqlite3

    from batchgen.state.selection import Selection

_TABLES = (
    # What an input would say if the jobs that it refers to had their new ids already.
    "CREATE TEMP TABLE rebased (seq INTEGER PRIMARY KEY, body TEXT NOT NULL)",
    "CREATE TEMP TABLE renamed_job (seq INTEGER PRIMARY KEY, today INTEGER UNIQUE)",
    "CREATE TEMP TABLE leaver (seq INTEGER PRIMARY KEY, listed INTEGER)",
    "CREATE TEMP TABLE referring (seq INTEGER PRIMARY KEY)",
)

# Several equal ones are paired in order, those first that leave the manifest only now.
_PAIRS = """
    INSERT INTO temp.renamed_job
    WITH old AS (
        SELECT job.seq, job.model, coalesce(rebased.body, job.body) AS body,
            row_number() OVER (PARTITION BY job.model, coalesce(rebased.body, job.body)
                               ORDER BY job.listed DESC, job.seq) AS place
        FROM temp.leaver JOIN main.job AS job ON job.seq = leaver.seq
        LEFT JOIN temp.rebased AS rebased ON rebased.seq = job.seq
        WHERE job.seq NOT IN (SELECT seq FROM temp.renamed_job)
    ),
    new AS (
        SELECT today.seq, today.model, today.body,
            row_number() OVER (PARTITION BY today.model, today.body ORDER BY today.seq) AS place
        FROM temp.meeting AS met JOIN incoming.job AS today ON today.seq = met.today
        WHERE met.seq IS NULL AND today.seq NOT IN (SELECT today FROM temp.renamed_job)
    )
    SELECT old.seq, new.seq FROM new
    JOIN old ON old.body = new.body AND old.model = new.model AND old.place = new.place
"""


def meet_all(db: sqlite3.Connection) -> None:
    """Every staged job beside the known one, by its id or else by its input."""
    meet(db)
    find_gone(db)
    find_renamed(db)
    # Where nothing was charged, a new input is taken up without asking.
    db.execute(
        "UPDATE temp.meeting SET asks = 1 WHERE changed AND EXISTS (SELECT 1 FROM main.job AS job"
        f" WHERE job.seq = meeting.seq AND NOT {UNPAID})"
    )


def choose_reruns(db: sqlite3.Connection, selection: Selection) -> None:
    """After `meet_all`: the selected jobs whose new input is to be paid for."""
    condition, values = selection.where("incoming.job")
    db.execute(
        "UPDATE temp.meeting SET rerun = 1 WHERE today IN (SELECT today FROM ("
        "SELECT met.today, job.seq, today.id, today.model, today.tags, job.state"
        " FROM temp.meeting AS met JOIN incoming.job AS today ON today.seq = met.today"
        " JOIN main.job AS job ON job.seq = met.seq"
        f" WHERE met.asks AND {MAY_RERUN}) AS job WHERE {condition})",
        values,
    )
    _part_renamed(db, selection)


def find_renamed(db: sqlite3.Connection) -> None:
    """After the jobs met by their ids: renamed ones meet too, as `moved`, and are not `gone`.

    Jobs that refer to them, which may be renamed themselves, are compared with the new ids.
    """
    for table in _TABLES:
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
        "UPDATE temp.meeting SET seq = pair.seq, moved = pair.seq, attempted = 1, changed = 0,"
        " renamed = 0, relisted = 1 FROM temp.renamed_job AS pair WHERE meeting.today = pair.today"
    )
    db.execute("DELETE FROM temp.gone WHERE seq IN (SELECT seq FROM temp.renamed_job)")
    db.execute(
        "UPDATE temp.meeting SET changed = 0 WHERE changed AND EXISTS ("
        "SELECT 1 FROM temp.rebased JOIN main.job AS job USING (seq)"
        " JOIN incoming.job AS today ON today.seq = meeting.today WHERE rebased.seq = meeting.seq"
        " AND rebased.body = today.body AND job.model = today.model)"
    )


def _anybody_left(db: sqlite3.Connection) -> bool:
    """A first run, and a run of the same manifest, ask no more than this."""
    (left,) = db.execute(
        "SELECT EXISTS (SELECT 1 FROM temp.meeting WHERE seq IS NULL)"
        " AND EXISTS (SELECT 1 FROM temp.gone JOIN main.job AS job USING (seq)"
        f" WHERE NOT {NEVER_ATTEMPTED})"
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

    Before anything asks for a job by its id of today.
    """
    if db.execute("SELECT 1 FROM temp.meeting WHERE moved IS NOT NULL LIMIT 1").fetchone() is None:
        return
    # Parted pairs too: what referred to the old job refers to its successor.
    db.execute(
        "UPDATE job SET body = rebased.body FROM temp.rebased AS rebased"
        " WHERE job.seq = rebased.seq"
    )
    db.execute(
        "UPDATE job SET id = today.id FROM temp.meeting AS met"
        " JOIN incoming.job AS today ON today.seq = met.today"
        " WHERE job.seq = met.seq AND met.moved IS NOT NULL"
    )
    # Its lines name the old ids.
    set_meta(db, Meta.METADATA_IS_STALE, "yes")


def _part_renamed(db: sqlite3.Connection, selection: Selection) -> None:
    """The selected ones are to be paid anew: what was is gone, what comes is new.

    Not while a request is under way: it is followed under the new id.
    """
    condition, values = selection.where("incoming.job")
    db.execute(
        "CREATE TEMP TABLE parted AS SELECT today, seq FROM ("
        "SELECT met.today, job.seq, today.id, today.model, today.tags, job.state"
        " FROM temp.meeting AS met JOIN incoming.job AS today ON today.seq = met.today"
        " JOIN main.job AS job ON job.seq = met.moved"
        f" WHERE {MAY_RERUN}) AS job WHERE {condition}",
        values,
    )
    db.execute("INSERT INTO temp.gone SELECT seq FROM temp.parted")
    db.execute(
        "UPDATE temp.meeting SET seq = NULL, attempted = 0, relisted = 0"
        " WHERE today IN (SELECT today FROM temp.parted)"
    )
