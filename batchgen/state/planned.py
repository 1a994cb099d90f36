"""What a run would do with today's manifest, found out without changing the state.

The temporary view `planned` has a row for each job of the manifest: `own` is the job's state after
reconciling, `state` is what a run with these wishes would find. A plan only counts the difference
that a run applies (difference.py): which inputs are new, and which are to be paid for again. The
same triggers (schema.sql) decide which jobs wait or are blocked; here they work on a copy of the
jobs that need each other.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from batchgen.jobs import digest_of
from batchgen.references import references_in
from batchgen.state.conditions import ASKED_FOR_ANEW, IS_UPLOADING, billed
from batchgen.state.difference import (
    NEVER_ATTEMPTED,
    attached,
    choose_reruns,
    find_difference,
)
from batchgen.state.manual_actions import may_go_again
from batchgen.state.plan_counts import planned_counts
from batchgen.state.reconcile import OnChanged, RenamedJob
from batchgen.state.selection import Selection, attempted
from batchgen.state.triggers import triggers

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from batchgen.state.conditions import Condition
    from batchgen.state.plan_counts import PlanCounts
    from batchgen.state.staging import Staging


@dataclass(frozen=True, slots=True)
class Wishes:
    """The options of a run that change its plan; see runs.options.RunOptions."""

    selection: Selection = field(default_factory=Selection)
    on_changed: OnChanged = OnChanged.REFUSE
    retry_failed: bool = False
    limit: int | None = None


# Added to `difference`, whose rows stay as they are: of a million jobs that a plan has nothing to
# say about, none is written. `turn` is the state after reconciling, where nothing else implies it.
_COLUMNS = (
    "turn TEXT",
    "waiting INTEGER NOT NULL DEFAULT 0",
    "asked INTEGER NOT NULL DEFAULT 0",
    "selected INTEGER NOT NULL DEFAULT {selected:d}",
)

# A job that was refused or never sent gets its new input without asking. One that was still being
# uploaded is pending again for the next run. Renamed jobs got their numbers after the comparison.
_OWN = f"""
    UPDATE temp.difference SET own = coalesce((
        SELECT CASE
            WHEN job.state = 'submitting' AND {IS_UPLOADING} THEN 'pending'
            WHEN job.state = 'failed' AND difference.changed AND NOT difference.asks THEN 'pending'
            ELSE job.state END
        FROM main.job AS job WHERE job.seq = difference.seq
    ), 'pending')
    WHERE changed OR moved IS NOT NULL OR own = 'submitting' OR (seq IS NULL AND own != 'pending')
"""

_ASKED = """
    UPDATE temp.difference SET asked = 1, turn = 'queued' WHERE own IN ('failed', 'lost') AND seq IN
        (SELECT job FROM main.attempt WHERE outcome IS NULL AND request_id IS NOT NULL)
"""

_VIEW = """
    CREATE TEMP VIEW planned AS
    SELECT *, state = 'pending' AND {chosen} AS due FROM (
        SELECT today, seq, own, NOT coalesce(attempted, 0) AS new, asks AS changed,
            moved IS NOT NULL AS moved, asked, waiting, selected,
            -- Without needs, nothing is blocked.
            coalesce(turn, iif(own = 'blocked' OR (selected AND ({again})), 'pending', own))
                AS state
        FROM temp.difference)
"""

# The columns that the state's triggers use; `seq` is the job's number in `planned`.
_DEPENDENCIES = """
    CREATE TABLE dependencies.job (
        seq INTEGER PRIMARY KEY, id TEXT, state TEXT, gate INTEGER, approved INTEGER,
        waiting INTEGER DEFAULT 0, needed INTEGER DEFAULT 0, error_code TEXT, error TEXT
    );
    CREATE TABLE dependencies.need (
        job INTEGER, needs INTEGER, PRIMARY KEY (job, needs)
    ) WITHOUT ROWID;
    CREATE INDEX dependencies.need_by_needs ON need (needs);
"""

# Blocked jobs are pending in `planned`: the job that blocks them is here too and blocks them again.
_COPY_JOBS = """
    INSERT INTO dependencies.job (seq, state, gate, approved)
    SELECT planned.today, planned.state, today.gate, coalesce(known.approved, 0)
    FROM temp.planned JOIN incoming.job AS today ON today.seq = planned.today
    LEFT JOIN main.job AS known ON known.seq = planned.seq
    WHERE planned.today IN (SELECT job FROM incoming.need)
        OR today.id IN (SELECT needs FROM incoming.need)
"""

# In the order of the needed jobs, so that a chain is blocked from its beginning.
_COPY_NEEDS = """
    INSERT INTO dependencies.need (job, needs)
    SELECT need.job, needed.seq FROM incoming.need AS need
    JOIN incoming.job AS needed ON needed.id = need.needs ORDER BY needed.seq
"""


_IS_AMONG_THE_FIRST = "today IN (SELECT today FROM temp.first)"


def plan_jobs(db: sqlite3.Connection, wishes: Wishes) -> None:
    """Make `planned`. Call it once for each attached manifest."""
    find_difference(db)
    if wishes.on_changed is OnChanged.RERUN:
        choose_reruns(db, wishes.selection)
    selected = wishes.selection.only_leaves_out
    for column in _COLUMNS:
        db.execute(f"ALTER TABLE temp.difference ADD COLUMN {column.format(selected=selected)}")
    db.execute(_OWN)
    _select(db, wishes.selection)
    # Each run asks again for results that were set aside or not found, and never pays for that.
    db.execute(_ASKED)
    db.execute("CREATE TEMP TABLE first (today INTEGER PRIMARY KEY)")
    chosen = "selected" if wishes.limit is None else _IS_AMONG_THE_FIRST
    db.execute(_VIEW.format(again=_again(wishes), chosen=chosen))
    _follow_dependencies(db)
    if wishes.limit is not None:
        _choose_first(db, wishes)


def _again(wishes: Wishes) -> str:
    again = ["rerun"]
    if wishes.retry_failed:
        rejected = wishes.selection.asks_for_rejected
        again.append(may_go_again(rejected=rejected, state="own"))
    return " OR ".join(again)


def _select(db: sqlite3.Connection, selection: Selection) -> None:
    if selection == Selection():
        return
    chosen, values = _chosen(selection)
    # Only those are written that differ from the column's default.
    which = f"NOT {chosen}" if selection.only_leaves_out else chosen
    db.execute(f"UPDATE temp.difference SET selected = NOT selected WHERE {which}", values)


def _chosen(selection: Selection) -> Condition:
    condition, values = selection.where("incoming.job")
    # Asked of each row: a list of a million numbers takes longer to make than to look them up.
    chosen = (
        "EXISTS (SELECT 1 FROM (SELECT today.id, today.model, today.tags, difference.own AS state"
        " FROM incoming.job AS today WHERE today.seq = difference.today) AS job"
        f" WHERE {condition})"
    )
    if not selection.is_fleeting:
        return chosen, values
    # A run notes these before it changes their states.
    query, more = attempted(selection)
    return f"({chosen} OR EXISTS ({query} AND job.seq = difference.seq))", (*values, *more)


def _follow_dependencies(db: sqlite3.Connection) -> None:
    if db.execute("SELECT 1 FROM incoming.need LIMIT 1").fetchone() is None:
        return
    db.execute("ATTACH DATABASE '' AS dependencies")
    try:
        db.executescript(_DEPENDENCIES + "".join(_triggers_of_needs()))
        db.execute("BEGIN")
        db.execute(_COPY_JOBS)
        db.execute(_COPY_NEEDS)
        db.execute(
            "UPDATE temp.difference SET turn = found.state, waiting = found.waiting > 0"
            " FROM dependencies.job AS found WHERE found.seq = difference.today"
        )
        db.execute("COMMIT")
    finally:
        if db.in_transaction:
            db.execute("ROLLBACK")
        db.execute("DETACH DATABASE dependencies")


def _triggers_of_needs() -> Iterator[str]:
    """All but the one that names causes: here nobody asks for them."""
    return (one for one in triggers("dependencies") if "cause_key" not in one)


def _choose_first(db: sqlite3.Connection, wishes: Wishes) -> None:
    """Choose as `note_first` does; new jobs come after the known ones.

    A retry that asks first may end up being paid for, so it counts towards the limit.
    """
    db.execute(
        "INSERT INTO temp.first SELECT planned.today FROM temp.planned"
        " JOIN incoming.job AS job ON job.seq = planned.today"
        " WHERE (planned.state = 'pending' OR (planned.asked AND ?)) AND planned.selected"
        " ORDER BY planned.waiting, job.priority DESC, planned.seq IS NULL, planned.seq,"
        " planned.today LIMIT ?",
        (wishes.retry_failed, wishes.limit),
    )


@dataclass(frozen=True, slots=True)
class ChangedInput:
    """A job that may have been paid for with a different input. Bodies are JSON texts."""

    id: str
    model_before: str
    model_now: str
    body_before: str
    body_now: str
    state: str


@dataclass(frozen=True, slots=True)
class OrphanedJob:
    """A job that was attempted and is no longer in the manifest."""

    id: str
    model: str
    state: str


@dataclass(frozen=True, slots=True)
class Outlook:
    """Today's manifest compared with the state, for the wishes of a run. Made by `foreseen`."""

    db: sqlite3.Connection
    selection: Selection

    def counts(self) -> Mapping[str, PlanCounts]:
        """Count by model; models without a selected job are left out."""
        orphans = self.db.execute(*self._gone("job.model, count(*)", "GROUP BY model"))
        return planned_counts(self.db, dict(orphans.fetchall()))

    def due_by_amount(self, model: str) -> list[tuple[str, int]]:
        """`(an input, jobs)`: jobs to do, grouped by what a price may depend on."""
        return self.db.execute(
            "SELECT min(job.body), count(*) FROM temp.planned"
            " JOIN incoming.job AS job ON job.seq = planned.today WHERE planned.due"
            f" AND job.model = ? GROUP BY {billed('job.body')}",
            (model,),
        ).fetchall()

    def due_bodies(self, model: str) -> Iterator[tuple[str, str]]:
        """`(id, input)` of a model's jobs to do."""
        return self.db.execute(
            "SELECT job.id, job.body FROM temp.planned"
            " JOIN incoming.job AS job ON job.seq = planned.today WHERE planned.due"
            " AND job.model = ? ORDER BY job.seq",
            (model,),
        )

    def due_for_reuse(self) -> Iterator[tuple[int, str, str]]:
        """`(number, model, input)` of the jobs to do that may take a result of another run.

        As state/reuse.py has it: not where a new result of the same input was asked for.
        """
        rows = self.db.execute(
            "SELECT job.seq, job.model, job.body, (SELECT group_concat(body_sha256) FROM"
            f" main.attempt WHERE attempt.job = planned.seq AND {ASKED_FOR_ANEW})"
            " FROM temp.planned JOIN incoming.job AS job ON job.seq = planned.today"
            " WHERE planned.due ORDER BY job.seq"
        )
        for number, model, body, digests in rows:
            digest = digest_of(body)
            if digest not in (digests or "") and not references_in(body):
                yield number, model, body

    def changed(self, limit: int) -> list[ChangedInput]:
        """The first changed jobs, in the order of the state."""
        rows = self.db.execute(
            "SELECT job.id, job.model, today.model, coalesce(rebased.body, job.body), today.body,"
            " job.state FROM temp.planned JOIN main.job AS job ON job.seq = planned.seq"
            " JOIN incoming.job AS today ON today.seq = planned.today"
            " LEFT JOIN temp.rebased AS rebased ON rebased.seq = job.seq"
            " WHERE planned.changed AND planned.selected ORDER BY job.seq LIMIT ?",
            (limit,),
        )
        return [ChangedInput(*row) for row in rows]

    def renamed(self, limit: int) -> list[RenamedJob]:
        """The first renamed jobs, in the manifest's order."""
        rows = self.db.execute(
            "SELECT job.id, today.id, job.state FROM temp.planned"
            " JOIN temp.difference AS diff ON diff.today = planned.today"
            " JOIN main.job AS job ON job.seq = diff.moved"
            " JOIN incoming.job AS today ON today.seq = planned.today"
            " WHERE planned.selected ORDER BY planned.today LIMIT ?",
            (limit,),
        )
        return [RenamedJob(*row) for row in rows]

    def orphans(self, limit: int) -> list[OrphanedJob]:
        """The first jobs that were attempted and left the manifest."""
        query, values = self._gone("job.id, job.model, job.state", "ORDER BY job.seq LIMIT ?")
        return [OrphanedJob(*row) for row in self.db.execute(query, (*values, limit))]

    def _gone(self, columns: str, rest: str) -> tuple[str, tuple[str | int, ...]]:
        condition, values = self.selection.where("main.job")
        return (
            f"SELECT {columns} FROM temp.gone CROSS JOIN main.job AS job USING (seq)"
            f" WHERE NOT {NEVER_ATTEMPTED} AND {condition} {rest}"
        ), values


@contextmanager
def foreseen(
    db: sqlite3.Connection, staging: Staging, path: Path, wishes: Wishes
) -> Iterator[Outlook]:
    """Compare the staged jobs with the state while the block lasts; the state is not changed."""
    with attached(db, staging, path):
        plan_jobs(db, wishes)
        yield Outlook(db, wishes.selection)
