"""What `plan` tells: how today's manifest and the state differ, in figures and by name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from batchgen.jobs import JobState
from batchgen.state.meeting import NEVER_ATTEMPTED, UNPAID, attached, find_gone, meet

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping
    from pathlib import Path

    from batchgen.state.selection import Selection
    from batchgen.state.staging import Staging


@dataclass(frozen=True, slots=True)
class PlanCounts:
    """Selected jobs of a model, in the states in which a merge would leave them.

    From `pending` to `lost` each job of the manifest counts once; `in_flight` are the paid ones on
    their way, downloads included. Besides: `new` of them were never attempted, `changed` may have
    been paid and have another input today; `orphaned` are attempted and no longer in the manifest.
    """

    new: int = 0
    changed: int = 0
    pending: int = 0
    in_flight: int = 0
    done: int = 0
    failed: int = 0
    unknown: int = 0
    blocked: int = 0
    cancelled: int = 0
    lost: int = 0
    orphaned: int = 0


@dataclass(frozen=True, slots=True)
class ChangedInput:
    """A job that may have been paid for another input than today's. Bodies are JSON texts."""

    id: str
    model_before: str
    model_now: str
    body_before: str
    body_now: str
    state: str


_IN_FLIGHT = {JobState.SUBMITTING, JobState.QUEUED, JobState.RUNNING, JobState.FETCHING}

_MAY_BE_PAID = f"met.changed AND met.attempted AND NOT {UNPAID}"

# The staged jobs, each with the state in which a merge would leave it. Cheap questions come first:
# the attempts are only asked about a job whose input has changed.
_TODAY = f"""
    SELECT today.*, coalesce(met.attempted, 0) AS attempted,
        coalesce({_MAY_BE_PAID}, 0) AS changed,
        iif(job.state = 'failed' AND met.changed AND {UNPAID}, 'pending',
            coalesce(job.state, 'pending')) AS state
    FROM incoming.job AS today
    JOIN temp.meeting AS met ON met.today = today.seq
    LEFT JOIN main.job AS job ON job.seq = met.seq
"""


def plan_counts(
    db: sqlite3.Connection, staging: Staging, path: Path, selection: Selection
) -> Mapping[str, PlanCounts]:
    """By model; a model of which nothing is selected is not among them."""
    today, values = selection.where("incoming.job")
    gone, gone_values = selection.where("main.job")
    found: dict[str, dict[str, int]] = {}
    with attached(db, staging, path):
        meet(db)
        find_gone(db)
        for model, state, new, changed, count in db.execute(
            "SELECT model, state, total(NOT attempted), total(changed), count(*)"
            f" FROM ({_TODAY}) AS job WHERE {today} GROUP BY model, state",
            values,
        ):
            figures = found.setdefault(model, {})
            _add(figures, "in_flight" if state in _IN_FLIGHT else state, count)
            _add(figures, "new", int(new))
            _add(figures, "changed", int(changed))
        for model, count in db.execute(
            "SELECT model, count(*) FROM temp.gone JOIN main.job AS job USING (seq)"
            f" WHERE NOT {NEVER_ATTEMPTED} AND {gone} GROUP BY model",
            gone_values,
        ):
            _add(found.setdefault(model, {}), "orphaned", count)
    return {model: PlanCounts(**figures) for model, figures in found.items()}


def _add(figures: dict[str, int], name: str, count: int) -> None:
    figures[name] = figures.get(name, 0) + count


def changed_inputs(
    db: sqlite3.Connection, staging: Staging, path: Path, selection: Selection, limit: int
) -> list[ChangedInput]:
    """The first of them, as the state has them in order."""
    condition, values = selection.where("main.job")
    with attached(db, staging, path):
        meet(db)
        rows = db.execute(
            "SELECT job.id, job.model, today.model, job.body, today.body, job.state"
            " FROM temp.meeting AS met JOIN main.job AS job ON job.seq = met.seq"
            " JOIN incoming.job AS today ON today.seq = met.today"
            f" WHERE {_MAY_BE_PAID} AND {condition} ORDER BY job.seq LIMIT ?",
            (*values, limit),
        )
        return [ChangedInput(*row) for row in rows]


def orphans(
    db: sqlite3.Connection, staging: Staging, path: Path, selection: Selection, limit: int
) -> list[tuple[str, str, str]]:
    """`(id, model, state)` of the first jobs that were attempted and left the manifest."""
    condition, values = selection.where("main.job")
    with attached(db, staging, path):
        meet(db)
        find_gone(db)
        return db.execute(
            "SELECT job.id, job.model, job.state FROM temp.gone JOIN main.job AS job USING (seq)"
            f" WHERE NOT {NEVER_ATTEMPTED} AND {condition} ORDER BY job.seq LIMIT ?",
            (*values, limit),
        ).fetchall()
