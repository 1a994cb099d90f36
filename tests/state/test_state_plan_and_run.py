"""A plan foresees what a run finds: one difference, counted by the one and applied by the other."""

from __future__ import annotations

import random
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from batchgen.jobs import Job
from batchgen.state import manual_actions, reviews, transitions
from batchgen.state.database import open_for_writing, reading
from batchgen.state.planned import Wishes, foreseen
from batchgen.state.queries import Selection, attempts_of
from batchgen.state.reconcile import OnChanged, merge
from batchgen.state.selection import note_attempted, note_down, note_first
from batchgen.state.staging import open_staging
from tests.state.state_world import State, job, open_state

IDS = tuple("abcdefgh")
SELECTIONS = (
    Selection(),
    Selection(jobs=("[a-d]",)),
    Selection(tags=("hero",)),
    Selection(states=("failed",)),
    Selection(states=("!failed",)),
    Selection(states=("rejected",)),
)

Found = dict[str, tuple[str, bool, bool]]
"""Of each job when a run begins: its state, whether it waits, and whether it would be submitted."""


def a_manifest(dice: random.Random) -> list[Job]:
    """Some of the jobs, each with one of two inputs; a job needs only earlier ones."""
    ids = [one for one in IDS if dice.random() < 0.9]
    return [
        job(
            one,
            dice.choice(("a boat", "another")) + one,
            needs=tuple(dice.sample(ids[:place], min(place, dice.choice((0, 0, 1, 2))))),
            gate=dice.random() < 0.2,
            tags=dice.choice(((), ("hero",))),
        )
        for place, one in enumerate(ids)
    ]


def renamed(jobs: Sequence[Job], dice: random.Random) -> list[Job]:
    """The same input under another id, which nothing refers to."""
    needed = {need for one in jobs for need in one.needs}
    return [
        replace(one, id=f"{one.id}-new", name=f"{one.id}-new")
        if one.id not in needed and dice.random() < 0.2
        else one
        for one in jobs
    ]


def live(state: State, dice: random.Random) -> None:
    """Take the jobs somewhere: each step is one of a run's, or a person's."""
    known = [one for (one,) in state.db.execute("SELECT id FROM job")]
    for number in range(40):
        one = dice.choice(known)
        seq, attempt = state.seq(one), attempts_of(state.db, state.seq(one))
        match dice.randrange(9):
            case 0 | 1:
                transitions.begin_attempt(state.db, seq, "h", 0.1, 1.0)
            case 2 | 3 if attempt:
                state.accept(one, f"r{number}", attempt)
            case 4 if attempt and state.deliver(one, attempt):
                state.save_all(one)
            case 5 if attempt:
                transitions.refused(state.db, seq, attempt, "422", "no", 1.0)
            case 6 if attempt:
                state.fail(one, attempt)
                transitions.set_aside(state.db, seq, attempt, "timeout", "late")
            case 7 if attempt:
                transitions.set_aside(state.db, seq, attempt, "timeout", "late")
            case 8:
                reviews.pick(state.db, seq, None, dice.choice(tuple(reviews.Pick)))
                manual_actions.approve(state.db, seq, 1.0)
            case _ if dice.random() < 0.1:
                manual_actions.cancel(state.db, seq)


def foretold(path: Path, jobs: Sequence[Job], wishes: Wishes) -> Found:
    with open_staging() as staging, reading(path) as db:
        for one in jobs:
            staging.add(one)
        staging.finish()
        with foreseen(db, staging, path, wishes):
            rows = db.execute(
                "SELECT job.id, planned.state, planned.waiting, planned.due FROM temp.planned"
                " JOIN incoming.job AS job ON job.seq = planned.today"
            )
            return {one: (state, bool(waits), bool(due)) for one, state, waits, due in rows}


def begun(path: Path, jobs: Sequence[Job], wishes: Wishes) -> Found:
    """As runs.begin does it."""
    with open_staging() as staging, closing(open_for_writing(path)) as db:
        for one in jobs:
            staging.add(one)
        staging.finish()
        note_attempted(db, wishes.selection)
        merge(db, staging, path, wishes.on_changed, wishes.selection)
        selection = note_down(db, wishes.selection)
        again = manual_actions.may_go_again(rejected=wishes.selection.asks_for_rejected)
        if wishes.limit is not None:
            retried = again if wishes.retry_failed else None
            selection = note_first(db, selection, wishes.limit, retried)
        if wishes.retry_failed:
            manual_actions.retry_selected(db, selection, again)
        manual_actions.reopen(db)
        condition, values = selection.where()
        rows = db.execute(
            f"SELECT id, state, waiting, state = 'pending' AND {condition} FROM job WHERE listed",
            values,
        )
        return {one: (state, bool(waits), bool(due)) for one, state, waits, due in rows}


@pytest.mark.parametrize("seed", range(100))
def test_a_plan_foresees_the_state_in_which_a_run_finds_each_job(tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)
    with open_state(tmp_path, *a_manifest(dice)) as state:
        live(state, dice)
        manual_actions.settle_dead_run(state.db, 1.0)
    today = renamed(a_manifest(dice), dice)
    wishes = Wishes(
        dice.choice(SELECTIONS),
        dice.choice((OnChanged.RERUN, OnChanged.KEEP)),
        retry_failed=dice.random() < 0.5,
        limit=dice.choice((None, None, 1, 3)),
    )
    planned, found = foretold(state.path, today, wishes), begun(state.path, today, wishes)
    if wishes.retry_failed and wishes.limit is not None:
        # A plan calls every job pending that a retry is about; a run retries those of its limit.
        planned, found = only_due(planned), only_due(found)
    assert planned == found


def only_due(found: Found) -> Found:
    return {one: known for one, known in found.items() if known[2]}
