"""Which jobs a run would submit, and what is told of a selection."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from batchgen.jobs import Job, JobState, canonical_json
from batchgen.state import manual_actions, queries, transitions
from batchgen.state.costs import typical_cost
from batchgen.state.plan_counts import PlanCounts
from batchgen.state.planned import Outlook, Wishes, foreseen
from batchgen.state.queries import Selection
from batchgen.state.reconcile import OnChanged
from batchgen.state.staging import open_staging
from tests.runs.run_world import Place, bring_home, make_gated, prompted
from tests.state.state_world import T2I

STILLS = [prompted(f"still-{n}", gate=True) for n in (1, 2, 3)]
CLIPS = [prompted(f"clip-{n}", needs=(f"still-{n}",)) for n in (1, 2, 3)]
POSTER = prompted("poster", needs=("still-1", "still-2"))
GATED = [*STILLS, *CLIPS, POSTER, prompted("sketch")]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = make_gated(tmp_path / "out")
    with closing(made.db):
        yield made


@dataclass(frozen=True)
class Due:
    jobs: int = 0
    waiting: int = 0


@contextmanager
def staged(place: Place, jobs: Sequence[Job], **asked: Any) -> Iterator[Outlook]:
    with open_staging() as staging:
        for job in jobs:
            staging.add(job)
        staging.finish()
        with foreseen(place.db, staging, place.folder.state, Wishes(**asked)) as outlook:
            yield outlook


def due(place: Place, jobs: Sequence[Job] = GATED, **asked: Any) -> Due:
    with staged(place, jobs, **asked) as outlook:
        found = outlook.counts().get(T2I, PlanCounts())
        return Due(found.to_do, found.waiting)


def test_a_job_waits_until_all_it_needs_is_done_and_approved(place: Place) -> None:
    assert due(place) == Due(jobs=8, waiting=4)
    bring_home(place, "still-1", "still-2")
    assert due(place) == Due(jobs=6, waiting=4)
    manual_actions.approve(place.db, place.seq("still-1"), 9.0)
    assert due(place) == Due(jobs=6, waiting=3)
    manual_actions.approve(place.db, place.seq("still-2"), 9.0)
    assert due(place) == Due(jobs=6, waiting=1)


def test_a_gate_that_the_manifest_takes_away_holds_nobody(place: Place) -> None:
    bring_home(place, "still-1", "still-2")
    open_stills = [prompted(f"still-{n}") for n in (1, 2, 3)]
    assert due(place, [*open_stills, *CLIPS, POSTER]) == Due(jobs=5, waiting=1)


def test_a_selection_bounds_what_is_due(place: Place) -> None:
    assert due(place, selection=Selection(("clip-*", "!clip-3"))) == Due(jobs=2, waiting=2)
    assert due(place, selection=Selection(models=("edit",))) == Due()
    bring_home(place, "still-1")
    assert due(place, selection=Selection(states=("done",))) == Due()


def fail(place: Place, job_id: str) -> None:
    seq = place.seq(job_id)
    assert transitions.begin_attempt(place.db, seq, "h", 0.03, 1.0) == 1
    transitions.accepted(place.db, seq, 1, f"r-{job_id}", "raw", 1.0)
    ending = transitions.Ending(JobState.FAILED, "boom", "the vendor's words", None, "raw")
    assert transitions.ended(place.db, seq, 1, ending, 2.0)


def test_failed_jobs_are_due_only_where_they_are_tried_again(place: Place) -> None:
    fail(place, "still-1")
    # Its clip, and the poster that needs it too, are blocked.
    assert due(place) == Due(jobs=5, waiting=2)
    assert due(place, retry_failed=True) == Due(jobs=8, waiting=4)


def test_a_changed_job_is_due_only_where_it_is_paid_again(place: Place) -> None:
    bring_home(place, "sketch")
    body = canonical_json({"prompt": "another", "seed": 8})
    today = [*GATED[:-1], Job("sketch", T2I, body, "sketch")]
    assert due(place, today) == Due(jobs=7, waiting=4)
    assert due(place, today, on_changed=OnChanged.KEEP) == Due(jobs=7, waiting=4)
    assert due(place, today, on_changed=OnChanged.RERUN) == Due(jobs=8, waiting=4)


def test_jobs_are_told_apart_by_what_a_price_depends_on(place: Place) -> None:
    def video(number: int, **asked: int) -> Job:
        return Job(f"v-{number}", "x/v", canonical_json({"prompt": str(number), **asked}), "v")

    jobs = [video(1, frames=121), video(2, frames=241), video(3, frames=241), video(4)]
    jobs += [video(5, num_images=4), video(6, num_images=4), video(7, num_images=4)]
    with staged(place, jobs) as outlook:
        assert sorted(count for _, count in outlook.due_by_amount("x/v")) == [1, 1, 2, 3]


def test_what_done_requests_cost_is_the_median(place: Place) -> None:
    assert typical_cost(place.db, T2I) is None
    bring_home(place, "still-1", "still-2", "still-3")
    place.db.execute("UPDATE attempt SET cost = 9.0 WHERE job = ?", (place.seq("still-3"),))
    assert typical_cost(place.db, T2I) == 0.03


def test_a_selection_of_all_tells_the_same_as_no_selection(place: Place) -> None:
    fail(place, "still-1")
    bring_home(place, "sketch")
    everything = Selection(("*",))
    assert queries.counts(place.db, everything) == queries.counts(place.db)
    assert queries.failures(place.db, 9, everything) == queries.failures(place.db, 9)
    assert list(queries.job_statuses(place.db, everything)) == list(queries.job_statuses(place.db))
    chosen = Selection(("still-*",), states=("!failed",))
    assert [one.id for one in queries.job_statuses(place.db, chosen)] == ["still-2", "still-3"]
    assert queries.failures(place.db, 9, chosen).causes == ()
