"""What a run would do with today's manifest, found out without changing the state.

The temporary table `planned` has a row for each job of the manifest: `own` is the job's state after
reconciling, `state` is what a run with these wishes would find. A plan only counts the difference
that a run applies (difference.py): which inputs are new, and which are to be paid for again. The
same triggers (schema.sql) decide which jobs wait or are blocked; here they work on a copy of the
jobs that need each other.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING

from batchgen.jobs import JobState, digest_of
from batchgen.references import references_in
from batchgen.state.conditions import ASKED_FOR_ANEW, HAS_OPEN_REQUEST, IS_UPLOADING, billed
from batchgen.state.database import triggers
from batchgen.state.difference import (
    NEVER_ATTEMPTED,
    attached,
    choose_reruns,
    find_difference,
)
from batchgen.state.manual_actions import may_go_again
from batchgen.state.reconcile import OnChanged, RenamedJob
from batchgen.state.selection import Selection, attempted

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from batchgen.state.staging import Staging


@dataclass(frozen=True, slots=True)
class Wishes:
    """The options of a run that change its plan; see runs.options.RunOptions."""

    selection: Selection = field(default_factory=Selection)
    on_changed: OnChanged = OnChanged.REFUSE
    retry_failed: bool = False
    limit: int | None = None


_TABLE = """
    CREATE TEMP TABLE planned (
        today INTEGER PRIMARY KEY, seq INTEGER, own TEXT NOT NULL, state TEXT NOT NULL,
        new INTEGER NOT NULL, changed INTEGER NOT NULL, rerun INTEGER NOT NULL,
        moved INTEGER NOT NULL, asked INTEGER NOT NULL,
        waiting INTEGER NOT NULL DEFAULT 0, selected INTEGER NOT NULL DEFAULT 0,
        due INTEGER NOT NULL DEFAULT 0
    )
"""

# A job that was refused or never sent gets its new input without asking. One that was still being
# uploaded is pending again for the next run.
_OWN = (
    "CASE WHEN job.state IS NULL THEN 'pending'"
    f" WHEN job.state = 'submitting' AND {IS_UPLOADING} THEN 'pending'"
    " WHEN job.state = 'failed' AND diff.changed AND NOT diff.asks THEN 'pending'"
    " ELSE job.state END"
)

_FILL = f"""
    INSERT INTO temp.planned (today, seq, own, state, new, changed, rerun, moved, asked)
    SELECT diff.today, diff.seq, {_OWN}, '', NOT coalesce(diff.attempted, 0),
        diff.asks, diff.rerun, diff.moved IS NOT NULL,
        coalesce(job.state IN ('failed', 'lost') AND {HAS_OPEN_REQUEST}, 0)
    FROM temp.difference AS diff LEFT JOIN main.job AS job ON job.seq = diff.seq
"""

PLANNED_JOBS = (
    "(SELECT today.seq AS seq, today.id, today.model, today.body, today.tags, planned.own AS state"
    " FROM temp.planned JOIN incoming.job AS today ON today.seq = planned.today) AS job"
)
"""Today's jobs, for a selection by the states at the beginning of a run."""

# The columns that the state's triggers use; `seq` is the job's number in `planned`.
_DEPENDENCIES = """
    CREATE TABLE dependencies.job (
        seq INTEGER PRIMARY KEY, id TEXT, state TEXT, gate INTEGER, approved INTEGER,
        waiting INTEGER DEFAULT 0, error_code TEXT, error TEXT
    );
    CREATE TABLE dependencies.need (
        job INTEGER, needs INTEGER, PRIMARY KEY (job, needs)
    ) WITHOUT ROWID;
    CREATE INDEX dependencies.need_by_needs ON need (needs);
"""

# Blocked jobs start as pending: the job that blocks them is here too and blocks them again.
_COPY_JOBS = """
    INSERT INTO dependencies.job (seq, state, gate, approved)
    SELECT planned.today, iif(planned.state = 'blocked', 'pending', planned.state), today.gate,
        coalesce(known.approved, 0)
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


def plan_jobs(db: sqlite3.Connection, wishes: Wishes) -> None:
    """Fill `planned`. Call it once for each attached manifest."""
    find_difference(db)
    if wishes.on_changed is OnChanged.RERUN:
        choose_reruns(db, wishes.selection)
    db.execute(_TABLE)
    db.execute(_FILL)
    _select(db, wishes.selection)
    _wish(db, wishes)
    _follow_dependencies(db)
    _choose_due(db, wishes)


def _select(db: sqlite3.Connection, selection: Selection) -> None:
    condition, values = selection.where("incoming.job")
    db.execute(
        "UPDATE temp.planned SET selected = 1"
        f" WHERE today IN (SELECT job.seq FROM {PLANNED_JOBS} WHERE {condition})",
        values,
    )
    if selection.is_fleeting:
        # A run notes these before it changes their states.
        query, values = attempted(selection)
        db.execute(f"UPDATE temp.planned SET selected = 1 WHERE seq IN ({query})", values)


def _wish(db: sqlite3.Connection, wishes: Wishes) -> None:
    again = ["rerun"]
    if wishes.retry_failed:
        rejected = wishes.selection.asks_for_rejected
        again.append(may_go_again(rejected=rejected, state="own"))
    # Each run asks again for results that were set aside or not found, and never pays for that.
    db.execute(
        "UPDATE temp.planned SET state = CASE WHEN asked THEN 'queued'"
        f" WHEN selected AND ({' OR '.join(again)}) THEN 'pending' ELSE own END"
    )


def _follow_dependencies(db: sqlite3.Connection) -> None:
    # Without needs, nothing is blocked.
    db.execute("UPDATE temp.planned SET state = 'pending' WHERE state = 'blocked'")
    if db.execute("SELECT 1 FROM incoming.need LIMIT 1").fetchone() is None:
        return
    db.execute("ATTACH DATABASE '' AS dependencies")
    try:
        db.executescript(_DEPENDENCIES + "".join(_triggers_of_needs()))
        db.execute("BEGIN")
        db.execute(_COPY_JOBS)
        db.execute(_COPY_NEEDS)
        db.execute(
            "UPDATE temp.planned SET state = found.state, waiting = found.waiting > 0"
            " FROM dependencies.job AS found WHERE found.seq = planned.today"
            " AND (found.state != planned.state OR found.waiting > 0)"
        )
        db.execute("COMMIT")
    finally:
        if db.in_transaction:
            db.execute("ROLLBACK")
        db.execute("DETACH DATABASE dependencies")


def _triggers_of_needs() -> Iterator[str]:
    """All but the one that names causes: here nobody asks for them."""
    return (one for one in triggers("dependencies") if "cause_key" not in one)


def _choose_due(db: sqlite3.Connection, wishes: Wishes) -> None:
    """Choose as `note_first` does; new jobs come after the known ones.

    A retry that asks first may end up being paid for, so it counts towards the limit.
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


@dataclass(frozen=True, slots=True)
class PlanCounts:
    """Selected jobs of a model, by their states after reconciling.

    From `pending` to `lost`, each job of the manifest counts once; `in_flight` are paid and on
    their way, downloads included. The other numbers count some of these jobs again: `to_do` would
    be submitted, and `waiting` of those wait for a job that they need or for an approval;
    `reused` would take a result of another run. `new`
    were never attempted; `changed` and `renamed` may have been paid for and have a different input
    or id today. `asked_again` are failed or lost, and each run asks for their results once more,
    for free. `orphaned` were attempted and are no longer in the manifest.
    """

    new: int = 0
    changed: int = 0
    renamed: int = 0
    to_do: int = 0
    reused: int = 0
    waiting: int = 0
    pending: int = 0
    in_flight: int = 0
    done: int = 0
    failed: int = 0
    unknown: int = 0
    blocked: int = 0
    cancelled: int = 0
    lost: int = 0
    asked_again: int = 0
    orphaned: int = 0

    @property
    def jobs(self) -> int:
        """All jobs of the manifest."""
        return sum(getattr(self, name) for name in _STANDING)

    def __add__(self, other: PlanCounts) -> PlanCounts:
        names = [one.name for one in fields(self)]
        return PlanCounts(**{name: getattr(self, name) + getattr(other, name) for name in names})

    def to_json(self) -> dict[str, int]:
        """The counts in `plan --json`; `pending` is left out: it is what remains of `jobs`."""
        names = [one.name for one in fields(self) if one.name != "pending"]
        return {name: getattr(self, name) for name in ("jobs", *names)}


_STANDING = (
    "pending",
    "in_flight",
    "done",
    "failed",
    "unknown",
    "blocked",
    "cancelled",
    "lost",
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


_IN_FLIGHT = {JobState.SUBMITTING, JobState.QUEUED, JobState.RUNNING, JobState.FETCHING}


@dataclass(frozen=True, slots=True)
class Outlook:
    """Today's manifest compared with the state, for the wishes of a run. Made by `foreseen`."""

    db: sqlite3.Connection
    selection: Selection

    def counts(self) -> Mapping[str, PlanCounts]:
        """Count by model; models without a selected job are left out."""
        found: dict[str, dict[str, int]] = {}
        for model, state, *counted in self.db.execute(_COUNTS):
            figures = found.setdefault(model, {})
            for name, count in zip(_COUNTED, counted, strict=True):
                _add(figures, name, int(count))
            _add(figures, "in_flight" if state in _IN_FLIGHT else state, int(counted[0]))
        for model, count in self.db.execute(*self._gone("job.model, count(*)", "GROUP BY model")):
            _add(found.setdefault(model, {}), "orphaned", count)
        for figures in found.values():
            figures.pop("jobs", None)
        return {model: PlanCounts(**figures) for model, figures in found.items()}

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
            f"SELECT {columns} FROM temp.gone JOIN main.job AS job USING (seq)"
            f" WHERE NOT {NEVER_ATTEMPTED} AND {condition} {rest}"
        ), values


_COUNTED = ("jobs", "new", "changed", "renamed", "to_do", "waiting", "asked_again")
# Which jobs are pending or blocked is only known in the state that a run would find.
_COUNTS = """
    SELECT today.model, iif(own IN ('pending', 'blocked'), state, own) AS shown, count(*),
        total(new), total(changed), total(moved), total(due), total(due AND waiting), total(asked)
    FROM temp.planned JOIN incoming.job AS today ON today.seq = planned.today
    WHERE selected GROUP BY today.model, shown
"""


@contextmanager
def foreseen(
    db: sqlite3.Connection, staging: Staging, path: Path, wishes: Wishes
) -> Iterator[Outlook]:
    """Compare the staged jobs with the state while the block lasts; the state is not changed."""
    with attached(db, staging, path):
        plan_jobs(db, wishes)
        yield Outlook(db, wishes.selection)


def _add(figures: dict[str, int], name: str, count: int) -> None:
    figures[name] = figures.get(name, 0) + count
