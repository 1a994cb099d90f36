"""What `plan` tells: how today's manifest and the state differ, in figures and by name."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from batchgen.jobs import JobState
from batchgen.state.meeting import NEVER_ATTEMPTED, attached
from batchgen.state.merge import RenamedJob
from batchgen.state.planned import plan_jobs
from batchgen.state.selection import note_causes

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from batchgen.state.planned import Wishes
    from batchgen.state.selection import Selection
    from batchgen.state.staging import Staging


@dataclass(frozen=True, slots=True)
class PlanCounts:
    """Selected jobs of a model, in the states in which a merge would leave them.

    From `pending` to `lost` each job of the manifest counts once; `in_flight` are the paid ones on
    their way, downloads included. Besides: `to_do` would be submitted, `waiting` of those for a job
    they need or for an approval. `new` were never attempted, `changed` may have been paid and have
    another input today, `renamed` another id; `orphaned` are attempted and no longer listed.
    `asked_again` are failed or lost, and every run asks for their results once more, for free.
    """

    new: int = 0
    changed: int = 0
    renamed: int = 0
    to_do: int = 0
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


@dataclass(frozen=True, slots=True)
class Outlook:
    """Today's manifest beside the state, with what is wished of a run. Made by `foreseen`."""

    db: sqlite3.Connection
    selection: Selection

    def counts(self) -> Mapping[str, PlanCounts]:
        """By model; a model of which nothing is selected is not among them."""
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

    def due_by_frames(self, model: str) -> list[tuple[str, int]]:
        """`(an input, jobs)`: a model's jobs to do by what a price a second depends on."""
        return self.db.execute(
            "SELECT min(job.body), count(*) FROM temp.planned"
            " JOIN incoming.job AS job ON job.seq = planned.today WHERE planned.due"
            " AND job.model = ? GROUP BY json_extract(job.body, '$.frames')",
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

    def changed(self, limit: int) -> list[ChangedInput]:
        """The first of them, as the state has them in order."""
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
        """The first of them, in the manifest's order."""
        rows = self.db.execute(
            "SELECT job.id, today.id, job.state FROM temp.planned"
            " JOIN temp.meeting AS met ON met.today = planned.today"
            " JOIN main.job AS job ON job.seq = met.moved"
            " JOIN incoming.job AS today ON today.seq = planned.today"
            " WHERE planned.selected ORDER BY planned.today LIMIT ?",
            (limit,),
        )
        return [RenamedJob(*row) for row in rows]

    def orphans(self, limit: int) -> list[tuple[str, str, str]]:
        """`(id, model, state)` of the first jobs that were attempted and left the manifest."""
        query, values = self._gone("job.id, job.model, job.state", "ORDER BY job.seq LIMIT ?")
        return self.db.execute(query, (*values, limit)).fetchall()

    def _gone(self, columns: str, rest: str) -> tuple[str, tuple[str | int, ...]]:
        condition, values = self.selection.where("main.job")
        return (
            f"SELECT {columns} FROM temp.gone JOIN main.job AS job USING (seq)"
            f" WHERE NOT {NEVER_ATTEMPTED} AND {condition} {rest}"
        ), values


_COUNTED = ("jobs", "new", "changed", "renamed", "to_do", "waiting", "asked_again")
# Of the jobs that wait or are blocked, only what a run would find says which; see planned.py.
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
    """Hold the staged jobs against the state while the block lasts; the state is not changed."""
    with attached(db, staging, path):
        # Asked about today's jobs and those that are gone, by model and by name.
        wishes = replace(wishes, selection=note_causes(db, wishes.selection))
        plan_jobs(db, wishes)
        yield Outlook(db, wishes.selection)


def _add(figures: dict[str, int], name: str, count: int) -> None:
    figures[name] = figures.get(name, 0) + count
