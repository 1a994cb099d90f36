"""The manifest of today meets the memory of the run."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from batchgen.errors import StorageError
from batchgen.jobs import Job, JobState
from batchgen.state import manual_actions, transitions
from batchgen.state.files import saved_files
from batchgen.state.queries import live_requests
from batchgen.state.reconcile import ChangedJob, Difference, OnChanged, merge
from batchgen.state.staging import open_staging
from tests.state.state_world import EDIT, State, job, open_state

S = JobState


def everything(state: State) -> list[tuple[object, ...]]:
    return [
        row
        for table in ("job", "attempt", "file", "meta")
        for row in state.db.execute(f"SELECT * FROM {table}")
    ]


def body(state: State, job_id: str) -> str:
    return str(state.one("SELECT body FROM job WHERE id = ?", job_id))


def test_a_first_manifest_is_all_new(tmp_path: Path) -> None:
    with open_state(tmp_path) as state:
        found = state.merge([job("boat", tags=("hero",)), job("clip", model=EDIT)])
        assert found == Difference(new=2, known=0, orphaned=0, changed=())
        assert state.db.execute("SELECT seq, id, model, tags, listed FROM job").fetchall() == [
            (1, "boat", job("boat").model, '["hero"]', 1),
            (2, "clip", EDIT, "[]", 1),
        ]


def test_the_same_manifest_again_changes_nothing(state: State) -> None:
    """Promise 3."""
    state.finish("boat", "r1")
    before = everything(state)
    assert state.merge([job("boat"), job("clip")]) == Difference(1, 1, 0, ())
    assert everything(state) == before


def test_a_job_inserted_above_changes_nothing_of_the_others(state: State) -> None:
    state.finish("boat", "r1")
    before = everything(state)
    state.merge([job("first"), job("boat"), job("clip")])
    assert [row for row in everything(state) if "first" not in row] == before
    assert state.state("first") is S.PENDING


def test_reordered_jobs_are_the_same_jobs(state: State) -> None:
    state.finish("boat", "r1")
    before = everything(state)
    assert state.merge([job("clip"), job("boat")]).changed == ()
    assert everything(state) == before


def test_a_job_that_was_never_sent_follows_the_manifest(state: State) -> None:
    found = state.merge([job("boat", "another boat", name="ship", tags=("new",)), job("clip")])
    assert found.changed == ()
    assert body(state, "boat") == '{"prompt":"another boat"}'
    assert state.names()["boat"] == "ship"


def test_a_job_that_was_never_sent_leaves_with_the_manifest(state: State) -> None:
    assert state.merge([job("clip")]) == Difference(1, 0, 0, ())
    assert list(state.names()) == ["clip"]


@pytest.mark.parametrize("outcome", ["not_sent", "throttled", "halted"])
def test_what_cost_nothing_takes_up_a_new_input_unasked(state: State, outcome: str) -> None:
    state.begin("boat")
    transitions.turn_back(state.db, state.seq("boat"), 1, outcome, "why", 1.0)
    assert state.merge([job("boat", "new"), job("clip")]).changed == ()
    assert (body(state, "boat"), state.state("boat")) == ('{"prompt":"new"}', S.PENDING)


def test_a_refused_job_is_pending_again_once_its_input_is_mended(state: State) -> None:
    state.begin("boat")
    transitions.refused(state.db, state.seq("boat"), 1, "422", "the vendor's words", 1.0)
    assert state.merge([job("boat"), job("clip")]).changed == ()
    assert state.state("boat") is S.FAILED
    state.merge([job("boat", "mended"), job("clip")])
    assert state.state("boat") is S.PENDING
    assert state.begin("boat") == 2


def test_a_cancelled_job_that_was_never_sent_takes_up_its_new_input_and_stays_cancelled(
    state: State,
) -> None:
    """Else a later retry would pay for the old input."""
    manual_actions.cancel(state.db, state.seq("boat"))
    assert state.merge([job("boat", "new"), job("clip")]).changed == ()
    assert (body(state, "boat"), state.state("boat")) == ('{"prompt":"new"}', S.CANCELLED)
    manual_actions.retry(state.db, state.seq("boat"))
    assert state.state("boat") is S.PENDING


def in_state(state: State, wanted: JobState) -> None:
    """Bring `boat` there; all these may have been paid."""
    state.begin("boat")
    if wanted is S.UNKNOWN:
        state.hold("boat")
    if wanted in (S.SUBMITTING, S.UNKNOWN):
        return
    state.accept("boat", "r1")
    if wanted in (S.FETCHING, S.DONE):
        state.deliver("boat")
    if wanted is S.DONE:
        state.save_all("boat")
    if wanted is S.FAILED:
        state.fail("boat")
    assert state.state("boat") is wanted


PAID = [S.SUBMITTING, S.UNKNOWN, S.QUEUED, S.FETCHING, S.DONE, S.FAILED]


@pytest.mark.parametrize("was", PAID)
def test_a_new_input_of_a_job_that_may_be_paid_is_refused_and_nothing_is_written(
    state: State, was: JobState
) -> None:
    """Row 2."""
    in_state(state, was)
    before = everything(state)
    found = state.merge([job("boat", "new"), job("clip", "new too"), job("third")])
    live = was in (S.SUBMITTING, S.UNKNOWN, S.QUEUED, S.FETCHING)
    assert found.changed == (ChangedJob("boat", was.value, live),)
    assert everything(state) == before


@pytest.mark.parametrize("was", PAID)
def test_keep_leaves_a_changed_job_as_it_is_and_takes_up_the_rest(
    state: State, was: JobState
) -> None:
    """Row 2."""
    in_state(state, was)
    state.merge([job("boat", "new"), job("clip", "new too")], OnChanged.KEEP)
    assert (body(state, "boat"), state.state("boat")) == ('{"prompt":"a boat"}', was)
    assert body(state, "clip") == '{"prompt":"new too"}'


def test_rerun_sends_the_new_input_and_the_old_files_keep_what_made_them(state: State) -> None:
    """Row 2."""
    (old,) = state.finish("boat", "r1")
    state.merge([job("boat", "new", model=EDIT), job("clip")], OnChanged.RERUN)
    assert (body(state, "boat"), state.state("boat")) == ('{"prompt":"new"}', S.PENDING)
    assert list(saved_files(state.db)) == [replace(old, is_latest=False)]
    assert state.submit("boat", "r2") == 2
    assert state.deliver("boat", number=2)
    (new,) = state.save_all("boat")
    assert list(saved_files(state.db)) == [replace(old, is_latest=False), new]
    assert (old.model, old.body) == (job("boat").model, '{"prompt":"a boat"}')
    assert (new.model, new.body) == (EDIT, '{"prompt":"new"}')


def test_rerun_twice_keeps_each_input_with_its_own_attempt(state: State) -> None:
    state.finish("boat", "r1")
    for take in (2, 3):
        state.merge([job("boat", f"take {take}"), job("clip")], OnChanged.RERUN)
        number = state.submit("boat", f"r{take}")
        assert number == take
        state.deliver("boat", number)
        state.save_all("boat")
    assert [saved.body for saved in saved_files(state.db)] == [
        '{"prompt":"a boat"}',
        '{"prompt":"take 2"}',
        '{"prompt":"take 3"}',
    ]


@pytest.mark.parametrize("was", [S.SUBMITTING, S.UNKNOWN, S.QUEUED, S.FETCHING])
def test_rerun_does_not_touch_what_is_under_way(state: State, was: JobState) -> None:
    in_state(state, was)
    found = state.merge([job("boat", "new"), job("clip")], OnChanged.RERUN)
    assert found.changed[0].live
    assert (body(state, "boat"), state.state("boat")) == ('{"prompt":"a boat"}', was)


def resubmit_by_hand(state: State) -> None:
    state.hold("boat")
    assert manual_actions.resubmit(state.db, state.seq("boat"), 1.0) is None


def resubmit_by_the_manifest(state: State) -> None:
    state.hold("boat")
    assert manual_actions.resubmit_all(state.db, 1, 1.0) == 1


def fail_and_go_again(state: State) -> None:
    state.accept("boat", "r1")
    ending = transitions.Ending(S.FAILED, "model_error", "the model failed", again=True)
    assert transitions.ended(state.db, state.seq("boat"), 1, ending, 1.0)


def be_set_aside_asked_again_and_end(state: State) -> None:
    state.accept("boat", "r1")
    transitions.set_aside(state.db, state.seq("boat"), 1, "timeout", "late")
    assert manual_actions.resubmit(state.db, state.seq("boat"), 1.0) is None
    ending = transitions.Ending(S.FAILED, "no_files", "no files", again=True)
    assert transitions.ended(state.db, state.seq("boat"), 1, ending, 1.0)


def fail_and_be_retried_by_hand(state: State) -> None:
    state.accept("boat", "r1")
    state.fail("boat")
    assert manual_actions.retry(state.db, state.seq("boat")) is S.PENDING


@pytest.mark.parametrize(
    "goes_again",
    [
        resubmit_by_hand,
        resubmit_by_the_manifest,
        fail_and_go_again,
        be_set_aside_asked_again_and_end,
        fail_and_be_retried_by_hand,
    ],
)
def test_what_was_under_way_at_a_rerun_goes_again_with_the_input_of_today(
    state: State, goes_again: Callable[[State], None]
) -> None:
    """Else the old input is paid for once more, and then the new one as well."""
    state.begin("boat")
    today = [job("boat", "new", model=EDIT), job("clip")]
    assert state.merge(today, OnChanged.RERUN).changed[0].live
    goes_again(state)
    assert (body(state, "boat"), state.state("boat")) == ('{"prompt":"new"}', S.PENDING)
    state.submit("boat", "r2")
    assert state.db.execute("SELECT number, model, body FROM attempt").fetchall() == [
        (1, job("boat").model, '{"prompt":"a boat"}'),
        (2, None, None),
    ]
    assert state.merge(today).changed == ()


def test_what_was_under_way_goes_again_as_it_was_where_changes_are_kept(state: State) -> None:
    state.begin("boat")
    for on_changed in (OnChanged.RERUN, OnChanged.KEEP):
        state.merge([job("boat", "new"), job("clip")], on_changed)
    resubmit_by_hand(state)
    assert (body(state, "boat"), state.state("boat")) == ('{"prompt":"a boat"}', S.PENDING)


def test_a_timed_out_request_is_not_rerun_while_it_may_still_deliver(state: State) -> None:
    state.submit("boat", "r1")
    transitions.set_aside(state.db, state.seq("boat"), 1, "timeout", "late")
    state.merge([job("boat", "new"), job("clip")], OnChanged.RERUN)
    assert (body(state, "boat"), state.state("boat")) == ('{"prompt":"a boat"}', S.FAILED)


def test_a_paid_job_that_left_the_manifest_is_kept_and_still_followed(state: State) -> None:
    state.submit("boat", "r1")
    assert state.merge([job("clip")]) == Difference(1, 0, 1, ())
    assert state.one("SELECT listed FROM job WHERE id = 'boat'") == 0
    assert [one.id for one in live_requests(state.db)] == ["boat"]


def test_a_job_that_comes_back_is_the_same_job(state: State) -> None:
    state.finish("boat", "r1")
    state.merge([job("clip")])
    assert state.merge([job("boat", tags=("back",)), job("clip")]) == Difference(1, 1, 0, ())
    assert state.state("boat") is S.DONE
    assert state.db.execute("SELECT listed, tags FROM job WHERE id = 'boat'").fetchone() == (
        1,
        '["back"]',
    )


def test_a_merge_that_is_refused_says_why_and_changes_nothing(state: State) -> None:
    state.finish("boat", "r1")
    before = everything(state)
    with open_staging() as staging:
        staging.add(job("boat", "new"))
        staging.add(job("third"))
        staging.finish()
        found = merge(state.db, staging, state.path, OnChanged.REFUSE)
    assert found == Difference(1, 1, 0, (ChangedJob("boat", "done", live=False),))
    assert everything(state) == before


TWINS = [job("Boat"), job("boat"), job("x", name="BOAT"), job("y", name="boat")]


def test_jobs_that_want_one_name_have_distinct_ones_for_ever(tmp_path: Path) -> None:
    """Row 47, row 67."""
    with open_state(tmp_path, *TWINS) as state:
        names = state.names()
        assert names["Boat"] == "Boat"
        assert len({name.casefold() for name in names.values()}) == 4
        state.finish("boat", "r1")
        state.merge(reversed(TWINS))
        state.merge([job("new", name="bOAT"), *TWINS])
        assert state.names()["boat"] == names["boat"]
        again = state.names()
        assert len({name.casefold() for name in again.values()}) == 5
        state.merge([job("new", name="bOAT"), *TWINS])
        assert state.names() == again


def test_no_job_is_lost_to_a_name_that_looks_like_a_distinct_one(tmp_path: Path) -> None:
    """Row 47."""
    with open_state(tmp_path, job("boat"), job("twin", name="boat")) as first:
        taken = first.names()["twin"]
    folder = tmp_path / "second"
    folder.mkdir()
    with open_state(folder, job(taken), job("boat"), job("twin", name="boat")) as state:
        assert set(state.names()) == {taken, "boat", "twin"}
        assert state.names()[taken] == taken


def test_a_merge_that_fails_leaves_the_state_as_it_was(state: State) -> None:
    """Row 51: the disk fills up in the middle."""
    state.finish("boat", "r1")
    before = everything(state)
    state.db.execute(f"PRAGMA max_page_count = {state.one('PRAGMA page_count')}")
    with pytest.raises(StorageError, match="disk is full"):
        state.merge([job("boat"), *(job(f"j{n}", "x" * 2000) for n in range(100))])
    assert everything(state) == before
    state.db.execute("PRAGMA max_page_count = 100000")
    assert state.merge([job("boat"), job("clip")]).known == 1


def many(count: int) -> Iterator[Job]:
    return (job(f"job-{number:06}", "x" * 1000) for number in range(count))


def test_twenty_thousand_jobs_are_merged_without_being_held_in_memory(tmp_path: Path) -> None:
    """Promise 6, row 6. Twenty megabytes of prompts; Python holds a small part of one of them."""
    with open_state(tmp_path) as state, open_staging() as staging:
        tracemalloc.start()
        for one in many(20_000):
            staging.add(one)
        staging.finish()
        assert merge(state.db, staging, state.path, OnChanged.REFUSE).new == 20_000
        assert merge(state.db, staging, state.path, OnChanged.REFUSE).new == 20_000
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 2_000_000
        assert state.one("SELECT count(*) FROM job") == 20_000


def test_a_blocked_job_goes_again_with_the_refused_one_when_both_have_new_inputs(
    state: State,
) -> None:
    state.merge([job("boat"), job("clip", needs=("boat",))])
    number = state.begin("boat")
    transitions.refused(state.db, state.seq("boat"), number, "422", "words", 1.0)
    assert state.state("clip") is S.BLOCKED
    state.merge([job("boat", "mended"), job("clip", "mended too", needs=("boat",))])
    assert [state.state(one) for one in ("boat", "clip")] == [S.PENDING, S.PENDING]
    assert body(state, "clip") == '{"prompt":"mended too"}'
