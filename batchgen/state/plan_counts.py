"""How many jobs of a plan are in which state, by model."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from batchgen.jobs import JobState

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping


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


_IN_FLIGHT = {JobState.SUBMITTING, JobState.QUEUED, JobState.RUNNING, JobState.FETCHING}


_COUNTED = ("jobs", "new", "changed", "renamed", "to_do", "waiting", "asked_again")
# Which jobs are pending or blocked is only known in the state that a run would find.
# Counted as they come: a million rows need not be sorted to be grouped.
_TALLY = """
    CREATE TEMP TABLE tally (
        model TEXT, shown TEXT, flags INTEGER, jobs INTEGER, PRIMARY KEY (model, shown, flags)
    ) WITHOUT ROWID
"""
_COUNT = """
    INSERT INTO temp.tally
    SELECT today.model, iif(own IN ('pending', 'blocked'), state, own),
        new + 2 * changed + 4 * moved + iif(due, 8 + 16 * waiting, 0) + 32 * asked, 1
    FROM temp.planned CROSS JOIN incoming.job AS today ON today.seq = planned.today WHERE selected
    ON CONFLICT DO UPDATE SET jobs = jobs + 1
"""
_COUNTS = """
    SELECT model, shown, sum(jobs), sum(jobs * (flags & 1)), sum(jobs * (flags >> 1 & 1)),
        sum(jobs * (flags >> 2 & 1)), sum(jobs * (flags >> 3 & 1)), sum(jobs * (flags >> 4 & 1)),
        sum(jobs * (flags >> 5 & 1))
    FROM temp.tally GROUP BY model, shown
"""


def planned_counts(db: sqlite3.Connection, orphaned: Mapping[str, int]) -> Mapping[str, PlanCounts]:
    """Count the selected jobs of `temp.planned`; `orphaned` are the orphans by model."""
    db.execute("DROP TABLE IF EXISTS temp.tally")
    db.execute(_TALLY)
    db.execute(_COUNT)
    found: dict[str, dict[str, int]] = {}
    for model, state, *counted in db.execute(_COUNTS):
        figures = found.setdefault(model, {})
        for name, count in zip(_COUNTED, counted, strict=True):
            _add(figures, name, int(count))
        _add(figures, "in_flight" if state in _IN_FLIGHT else state, int(counted[0]))
    for model, count in orphaned.items():
        _add(found.setdefault(model, {}), "orphaned", count)
    for figures in found.values():
        figures.pop("jobs", None)
    return {model: PlanCounts(**figures) for model, figures in found.items()}


def _add(figures: dict[str, int], name: str, count: int) -> None:
    figures[name] = figures.get(name, 0) + count
