"""The state in which each job of today's manifest would be at the beginning of a run.

Found out once, in the temporary table `planned`; what a plan tells is counted there. `own` is the
state as a merge would leave it, `state` as a run with these wishes would find it: a job is blocked
exactly while one that it needs is failed, cancelled or lost, whatever the state says of it now.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from batchgen.state.marks import REJECTED_JOBS
from batchgen.state.meeting import MAY_RERUN, UNPAID
from batchgen.state.merge import OnChanged
from batchgen.state.renames import meet_all, part_renamed
from batchgen.state.selection import Selection

if TYPE_CHECKING:
    import sqlite3


@dataclass(frozen=True, slots=True)
class Wishes:
    """What is asked of a run that a plan must foresee; as runs.options.RunOptions has it."""

    selection: Selection = field(default_factory=Selection)
    on_changed: OnChanged = OnChanged.REFUSE
    retry_failed: bool = False
    limit: int | None = None


_TABLE = """
    CREATE TEMP TABLE planned (
        today INTEGER PRIMARY KEY, seq INTEGER, own TEXT NOT NULL, state TEXT NOT NULL,
        new INTEGER NOT NULL, changed INTEGER NOT NULL, moved INTEGER NOT NULL,
        asked INTEGER NOT NULL,
        waiting INTEGER NOT NULL DEFAULT 0, selected INTEGER NOT NULL DEFAULT 0,
        due INTEGER NOT NULL DEFAULT 0
    )
"""

_IS_ASKED_AGAIN = (
    "EXISTS (SELECT 1 FROM attempt WHERE attempt.job = job.seq AND outcome IS NULL"
    " AND request_id IS NOT NULL)"
)

# What was refused or never sent takes a new input up without asking.
_OWN = (
    "CASE WHEN job.state IS NULL THEN 'pending'"
    f" WHEN job.state = 'failed' AND met.changed AND {UNPAID} THEN 'pending'"
    " ELSE job.state END"
)

# Cheap questions come first: the attempts are only asked about a job whose input has changed.
_FILL = f"""
    INSERT INTO temp.planned (today, seq, own, state, new, changed, moved, asked)
    SELECT met.today, met.seq, {_OWN}, '', NOT coalesce(met.attempted, 0),
        coalesce(met.changed AND met.attempted AND NOT {UNPAID}, 0), met.moved IS NOT NULL,
        coalesce(job.state IN ('failed', 'lost') AND {_IS_ASKED_AGAIN}, 0)
    FROM temp.meeting AS met LEFT JOIN main.job AS job ON job.seq = met.seq
"""

PLANNED_JOBS = (
    "(SELECT today.seq AS seq, today.id, today.model, today.body, today.tags, planned.own AS state"
    " FROM temp.planned JOIN incoming.job AS today ON today.seq = planned.today) AS job"
)
"""Today's jobs, for a selection; its states are those at the beginning of a run."""

# By number: an id is a text of any length.
_EDGES = (
    "CREATE TEMP TABLE edge (needs INTEGER, job INTEGER, PRIMARY KEY (needs, job)) WITHOUT ROWID",
    (
        "INSERT OR IGNORE INTO temp.edge SELECT needed.seq, need.job FROM incoming.need AS need"
        " JOIN incoming.job AS needed ON needed.id = need.needs"
    ),
)

_STUCK = """
    WITH RECURSIVE stuck (today) AS (
        SELECT today FROM temp.planned WHERE state IN ('failed', 'cancelled', 'lost')
        UNION
        SELECT edge.job FROM stuck CROSS JOIN temp.edge AS edge ON edge.needs = stuck.today
        CROSS JOIN temp.planned AS dependant ON dependant.today = edge.job
            AND dependant.state IN ('pending', 'blocked')
    )
    UPDATE temp.planned SET state = iif(today IN (SELECT today FROM stuck), 'blocked', 'pending')
    WHERE state IN ('pending', 'blocked')
"""

_WAITING = """
    UPDATE temp.planned SET waiting = 1 WHERE today IN (
        SELECT edge.job FROM temp.edge AS edge
        JOIN temp.planned AS needed ON needed.today = edge.needs
        JOIN incoming.job AS gated ON gated.seq = edge.needs
        LEFT JOIN main.job AS known ON known.seq = needed.seq
        WHERE NOT (needed.state = 'done' AND coalesce(known.approved, 0) >= gated.gate))
"""


def plan_jobs(db: sqlite3.Connection, wishes: Wishes) -> None:
    """Fill `planned`, once for each time that the manifest is attached."""
    meet_all(db)
    if wishes.on_changed is OnChanged.RERUN:
        part_renamed(db, wishes.selection)
    db.execute(_TABLE)
    db.execute(_FILL)
    _select(db, wishes.selection)
    _wish(db, wishes)
    for statement in _EDGES:
        db.execute(statement)
    db.execute(_STUCK)
    db.execute(_WAITING)
    _choose_due(db, wishes)


def _select(db: sqlite3.Connection, selection: Selection) -> None:
    condition, values = selection.where("incoming.job")
    db.execute(
        "UPDATE temp.planned SET selected = 1"
        f" WHERE today IN (SELECT job.seq FROM {PLANNED_JOBS} WHERE {condition})",
        values,
    )


def _wish(db: sqlite3.Connection, wishes: Wishes) -> None:
    again = ["0"]
    if wishes.retry_failed:
        again.append("own IN ('failed', 'cancelled', 'lost')")
        if wishes.selection.asks_for_rejected:
            again.append(f"own = 'done' AND seq IN ({REJECTED_JOBS})")
    if wishes.on_changed is OnChanged.RERUN:
        again.append(
            f"changed AND (SELECT {MAY_RERUN} FROM main.job AS job WHERE job.seq = planned.seq)"
        )
    # What was set aside, or not found, is asked again at every beginning, and paid at none.
    db.execute(
        "UPDATE temp.planned SET state = CASE WHEN asked THEN 'queued'"
        f" WHEN selected AND ({' OR '.join(again)}) THEN 'pending' ELSE own END"
    )


def _choose_due(db: sqlite3.Connection, wishes: Wishes) -> None:
    """As `note_first` chooses; new jobs come behind the known ones.

    A retry that asks first may come to be paid: it takes its place within the limit.
    """
    if wishes.limit is None:
        db.execute("UPDATE temp.planned SET due = 1 WHERE state = 'pending' AND selected")
        return
    db.execute(
        "UPDATE temp.planned SET due = (state = 'pending') WHERE today IN"
        " (SELECT planned.today FROM temp.planned"
        " JOIN incoming.job AS job ON job.seq = planned.today"
        " WHERE (planned.state = 'pending' OR (planned.asked AND ?)) AND planned.selected"
        " ORDER BY planned.waiting, job.priority DESC, planned.seq IS NULL, planned.seq,"
        " planned.today LIMIT ?)",
        (wishes.retry_failed, wishes.limit),
    )
