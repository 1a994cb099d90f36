"""What a run would submit, asked of the manifest's jobs beside the state; changes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from batchgen.runs.plans.costing import Alike
from batchgen.state.meeting import LIVE, UNPAID, attached
from batchgen.state.merge import OnChanged

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping
    from pathlib import Path

    from batchgen.runs.options import RunOptions
    from batchgen.state.staging import Staging

SAMPLE = 1000
"""Requests whose cost is looked at: enough for a median, few enough for a plan."""

# As a merge would leave it: what was refused or never sent takes a new input up without asking.
_JOBS = (
    "(SELECT today.seq, today.id, today.model, today.body, today.tags, today.gate, CASE"  # noqa: S608 - every value is bound
    " WHEN job.seq IS NULL THEN 'pending'"
    " WHEN (job.body != today.body OR job.model != today.model)"
    f" AND job.state IN ('failed', 'blocked') AND {UNPAID} THEN 'pending'"
    " ELSE job.state END AS state,"
    " job.seq IS NOT NULL AND (job.body != today.body OR job.model != today.model) AS changed"
    " FROM incoming.job AS today LEFT JOIN main.job AS job ON job.id = today.id) AS job"
)

_WAITS = (
    "EXISTS (SELECT 1 FROM incoming.need LEFT JOIN main.job AS needed ON needed.id = need.needs"
    " WHERE need.job = job.seq AND NOT coalesce(needed.state = 'done' AND needed.approved >="
    " (SELECT gate FROM incoming.job AS gated WHERE gated.id = need.needs), 0))"
)


@dataclass(frozen=True, slots=True)
class Due:
    """Jobs of a model that a run would submit; `waiting` of them have to wait for others first."""

    jobs: int = 0
    waiting: int = 0


@dataclass(frozen=True, slots=True)
class Work:
    """The selected jobs of a manifest that a run with these options would submit."""

    db: sqlite3.Connection
    staging: Staging
    state: Path
    options: RunOptions

    def due(self) -> Mapping[str, Due]:
        """By model."""
        condition, values = self._condition()
        with attached(self.db, self.staging, self.state):
            rows = self.db.execute(
                f"SELECT job.model, count(*), total({_WAITS}) FROM {_JOBS}"  # noqa: S608 - every value is bound
                f" WHERE {condition} GROUP BY job.model",
                values,
            ).fetchall()
        return {model: Due(jobs, int(waiting)) for model, jobs, waiting in rows}

    def by_frames(self, model: str) -> list[Alike]:
        """A model's jobs by what a price a second depends on."""
        condition, values = self._condition()
        with attached(self.db, self.staging, self.state):
            rows = self.db.execute(
                f"SELECT min(job.body), count(*) FROM {_JOBS} WHERE job.model = ? AND {condition}"  # noqa: S608 - every value is bound
                " GROUP BY json_extract(job.body, '$.frames')",
                (model, *values),
            ).fetchall()
        return [Alike(body, jobs) for body, jobs in rows]

    def _condition(self) -> tuple[str, tuple[str | int, ...]]:
        due = ["job.state = 'pending'"]
        if self.options.retry_failed:
            # Not the lost ones: their requests are asked again, and paid no second time.
            due.append("job.state IN ('failed', 'cancelled', 'blocked')")
        if self.options.on_changed is OnChanged.RERUN:
            due.append(f"(job.changed AND job.state NOT IN {LIVE})")
        condition, values = self.options.selection.where("incoming.job")
        return f"({' OR '.join(due)}) AND {condition}", values


def typical_cost(db: sqlite3.Connection, model: str) -> float | None:
    """USD: the median of what done requests of a model cost; None before the first."""
    rows = db.execute(
        "SELECT cost FROM job JOIN attempt ON attempt.job = job.seq AND number = attempts"
        " WHERE job.state = 'done' AND job.listed = 1 AND job.model = ? AND cost IS NOT NULL"
        " LIMIT ?",
        (model, SAMPLE),
    )
    costs = [cost for (cost,) in rows]
    return median(costs) if costs else None
