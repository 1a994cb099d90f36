"""What a person may decide, and what the start of a run settles."""

from __future__ import annotations

from pathlib import Path

import pytest

from batchgen.jobs import JobState
from batchgen.state import manual_actions, queries, transitions
from batchgen.state.database import transaction
from batchgen.state.queries import Selection, money
from batchgen.state.triggers import without_triggers
from tests.state.state_world import State, job, open_state

S = JobState


def unknown(state: State, job_id: str, price: float | None = None) -> None:
    state.begin(job_id, price)
    state.hold(job_id)


def test_an_adopted_request_is_followed(state: State) -> None:
    unknown(state, "boat")
    assert state.adopt("boat", "r-found") is None
    assert state.state("boat") is S.QUEUED
    assert state.deliver("boat")


def test_a_request_cannot_be_adopted_by_two_jobs(state: State) -> None:
    unknown(state, "boat")
    state.submit("clip", "r1")
    assert state.adopt("boat", "r1") == "request r1 already belongs to job clip"
    assert state.state("boat") is S.UNKNOWN


def test_resubmit_allows_one_more_attempt_and_counts_the_first_as_spent(state: State) -> None:
    unknown(state, "boat", price=0.5)
    assert state.resubmit("boat") is None
    assert state.state("boat") is S.PENDING
    assert state.begin("boat", price=0.5) == 2
    assert (money(state.db).reserved, money(state.db).unknown) == (0.5, 0.5)


def test_a_written_off_job_failed_and_its_price_stays_spent(state: State) -> None:
    unknown(state, "boat", price=0.5)
    assert state.write_off("boat") is None
    assert (state.state("boat"), state.outcome("boat", 1)) == (S.FAILED, "written_off")
    assert (money(state.db).reserved, money(state.db).unknown) == (0.0, 0.5)
    # It failed for good: no start of a run takes it up again.
    assert manual_actions.reopen(state.db) == 0


@pytest.mark.parametrize("decide", ["resubmit", "write_off", "adopt"])
def test_only_an_unknown_outcome_can_be_resolved(state: State, decide: str) -> None:
    state.submit("boat", "r1")
    objection = state.adopt("boat", "r9") if decide == "adopt" else getattr(state, decide)("boat")
    assert objection == "job boat is queued, not unknown: there is nothing to resolve"
    assert (state.state("boat"), state.outcome("boat", 1)) == (S.QUEUED, None)


def test_a_job_that_has_failed_cannot_adopt_a_request(state: State) -> None:
    """It would be queued for ever: no attempt of it is open."""
    state.submit("boat", "r1")
    transitions.ended(
        state.db, state.seq("boat"), 1, transitions.Ending(S.FAILED, "code", "words"), 1.0
    )
    assert state.adopt("boat", "r2") is not None
    assert state.state("boat") is S.FAILED


def lose(state: State, job_id: str) -> None:
    ending = transitions.Ending(S.LOST, "not_found", "words")
    assert transitions.ended(state.db, state.seq(job_id), 1, ending, 1.0)


def test_a_lost_request_is_asked_again_by_the_next_run_and_never_paid_again_by_itself(
    state: State,
) -> None:
    state.submit("boat", "r1")
    lose(state, "boat")
    assert (state.state("boat"), state.outcome("boat", 1)) == (S.LOST, None)
    assert manual_actions.retry(state.db, state.seq("boat")) is S.QUEUED
    lose(state, "boat")
    assert manual_actions.reopen(state.db) == 1
    assert state.one("SELECT count(*) FROM attempt") == 1


def test_a_mistyped_request_id_can_be_corrected_once_it_is_lost(state: State) -> None:
    unknown(state, "boat")
    assert state.adopt("boat", "r-wrong") is None
    lose(state, "boat")
    assert state.adopt("boat", "r-right") is None
    assert state.one("SELECT request_id FROM attempt") == "r-right"


@pytest.mark.parametrize("end", ["lost", "set aside"])
def test_another_request_than_the_vendors_own_is_adopted_beside_it(state: State, end: str) -> None:
    """The first may be paid: it stays on record, and counts as spent."""
    state.begin("boat", price=0.5)
    state.accept("boat", "r1")
    if end == "lost":
        lose(state, "boat")
    else:
        assert transitions.set_aside(state.db, state.seq("boat"), 1, "timeout", "late")
    assert state.adopt("boat", "r2") is None
    assert state.state("boat") is S.QUEUED
    assert state.db.execute("SELECT number, request_id, outcome FROM attempt").fetchall() == [
        (1, "r1", "written_off"),
        (2, "r2", None),
    ]
    (live,) = queries.live_requests(state.db)
    assert (live.request_id, live.attempt) == ("r2", 2)
    assert (money(state.db).reserved, money(state.db).unknown) == (0.5, 0.5)
    assert state.deliver("boat", 2)


def test_a_result_that_never_comes_home_can_be_written_off(state: State) -> None:
    state.submit("boat", "r1")
    state.deliver("boat")
    assert state.write_off("boat") is None
    assert (state.state("boat"), state.outcome("boat", 1)) == (S.FAILED, "succeeded")


def test_unknown_outcomes_are_resubmitted_by_themselves_so_often_and_no_more(
    state: State,
) -> None:
    for number in range(1, 4):
        state.begin("boat")
        assert state.hold("boat", number)
        assert manual_actions.resubmit_all(state.db, 3, 1.0) == 1
    state.begin("boat")
    assert state.hold("boat", 4)
    assert manual_actions.resubmit_all(state.db, 3, 1.0) == 0


def test_a_wish_to_cancel_outlives_the_runner_and_forbids_a_retry(state: State) -> None:
    state.submit("boat", "r1")
    assert not manual_actions.cancel(state.db, state.seq("boat"))
    assert queries.cancels_due(state.db) == [state.seq("boat")]
    ending = transitions.Ending(S.FAILED, "code", "words", again=True)
    assert transitions.ended(state.db, state.seq("boat"), 1, ending, 1.0)
    assert state.state("boat") is S.FAILED


def test_a_wish_to_cancel_during_a_submit_that_was_not_sent_cancels_for_free(state: State) -> None:
    state.begin("boat")
    assert not manual_actions.cancel(state.db, state.seq("boat"))
    assert transitions.turn_back(state.db, state.seq("boat"), 1, "not_sent", "refused", 1.0)
    assert state.state("boat") is S.CANCELLED


def test_every_unknown_outcome_is_resubmitted_where_the_manifest_says_so(state: State) -> None:
    unknown(state, "boat")
    unknown(state, "clip")
    assert manual_actions.resubmit_all(state.db, 3, 1.0) == 2
    assert {state.state("boat"), state.state("clip")} == {S.PENDING}


@pytest.mark.parametrize("ending", [S.FAILED, S.CANCELLED])
def test_an_ended_job_can_be_tried_again(state: State, ending: JobState) -> None:
    state.submit("boat", "r1")
    end = transitions.Ending(ending, "code", "words")
    assert transitions.ended(state.db, state.seq("boat"), 1, end, 1.0)
    assert manual_actions.retry(state.db, state.seq("boat")) is S.PENDING
    assert state.one("SELECT failures FROM job WHERE id = 'boat'") == 0
    assert state.begin("boat") == 2


def test_a_retry_of_a_timed_out_request_asks_it_again_without_paying(state: State) -> None:
    state.submit("boat", "r1")
    transitions.set_aside(state.db, state.seq("boat"), 1, "timeout", "late")
    assert manual_actions.retry(state.db, state.seq("boat")) is S.QUEUED
    assert state.one("SELECT count(*) FROM attempt") == 1


def test_there_is_nothing_to_retry_in_a_job_that_is_done_pending_or_unknown(state: State) -> None:
    state.merge([job("boat"), job("clip"), job("third")])
    state.finish("boat", "r1")
    unknown(state, "clip")
    assert [
        manual_actions.retry(state.db, state.seq(one)) for one in ("boat", "clip", "third")
    ] == [None] * 3


def test_retry_selected_takes_only_the_selected_ones(state: State) -> None:
    for job_id in ("boat", "clip"):
        state.submit(job_id, f"r-{job_id}")
        state.fail(job_id)
    assert (
        manual_actions.retry_selected(
            state.db, Selection(jobs=("b*",)), manual_actions.may_go_again()
        )
        == 1
    )
    assert (state.state("boat"), state.state("clip")) == (S.PENDING, S.FAILED)


def test_a_pending_job_is_cancelled_here_and_a_request_is_not(state: State) -> None:
    state.submit("clip", "r1")
    assert manual_actions.cancel(state.db, state.seq("boat"))
    assert not manual_actions.cancel(state.db, state.seq("clip"))
    assert (state.state("boat"), state.state("clip")) == (S.CANCELLED, S.QUEUED)


def test_the_submits_of_a_dead_run_are_unknown_and_nothing_else_is_touched(tmp_path: Path) -> None:
    """Row 58."""
    ways = ("pending", "sent", "queued", "fetching", "done", "failed")
    with open_state(tmp_path, *map(job, ways)) as state:
        state.begin("sent")
        state.submit("queued", "r1")
        state.submit("fetching", "r2")
        state.deliver("fetching")
        state.finish("done", "r3")
        state.submit("failed", "r4")
        state.fail("failed")
        assert manual_actions.settle_dead_run(state.db, 1.0) == 1
        assert [state.state(one) for one in ways] == [
            S.PENDING,
            S.UNKNOWN,
            S.QUEUED,
            S.FETCHING,
            S.DONE,
            S.FAILED,
        ]
        assert "may have been charged" in state.one("SELECT error FROM job WHERE id = 'sent'")
        assert manual_actions.settle_dead_run(state.db, 1.0) == 0


def test_what_a_dead_run_was_still_uploading_was_not_sent(tmp_path: Path) -> None:
    ways = ("uploading", "handed over", "small", "accepted early", "unwanted")
    with open_state(tmp_path, *map(job, ways)) as state:
        for one in ways:
            transitions.begin_attempt(
                state.db, state.seq(one), "h", 0.1, 1.0, uploading=one != "small"
            )
        assert transitions.handed_over(state.db, state.seq("handed over"), 1)
        # Half a body is no JSON; should it ever be accepted, the request counts.
        state.accept("accepted early", "r1", 1)
        manual_actions.cancel(state.db, state.seq("unwanted"))
        assert manual_actions.is_uploading(state.db, state.seq("uploading"))
        assert not manual_actions.is_uploading(state.db, state.seq("small"))
        assert manual_actions.settle_dead_run(state.db, 7.0) == 2
        assert [state.state(one) for one in ways] == [
            S.PENDING,
            S.UNKNOWN,
            S.UNKNOWN,
            S.QUEUED,
            S.CANCELLED,
        ]
        closed = "SELECT outcome, ended_at FROM attempt WHERE job = ?"
        assert state.db.execute(closed, (state.seq("uploading"),)).fetchall() == [("not_sent", 7.0)]
        # What is left of the dead run may not send the rest.
        assert not transitions.handed_over(state.db, state.seq("uploading"), 1)
        assert transitions.begin_attempt(state.db, state.seq("uploading"), "h", 0.1, 8.0) == 2


def test_who_resubmits_takes_an_earlier_wish_to_cancel_back(state: State) -> None:
    state.begin("boat")
    manual_actions.cancel(state.db, state.seq("boat"))
    assert state.hold("boat")
    assert state.resubmit("boat") is None
    state.begin("boat")
    assert transitions.turn_back(state.db, state.seq("boat"), 2, "not_sent", "refused", 1.0)
    assert state.state("boat") is S.PENDING


def schema_of(state: State) -> list[tuple[str, str]]:
    return state.db.execute("SELECT name, sql FROM sqlite_schema ORDER BY rowid").fetchall()


def test_a_retry_leaves_the_schema_and_no_cause(state: State) -> None:
    before = schema_of(state)
    state.submit("boat", "r1")
    state.fail("boat")
    assert state.one("SELECT cause FROM job WHERE id = 'boat'")
    with transaction(state.db):
        assert manual_actions.retry_selected(state.db, Selection(), again()) == 1
    assert state.one("SELECT cause IS NULL AND error IS NULL FROM job WHERE id = 'boat'")
    assert schema_of(state) == before


def test_a_retry_that_does_not_end_changes_nothing(state: State) -> None:
    before = schema_of(state)
    state.submit("boat", "r1")
    state.fail("boat")
    with pytest.raises(OSError, match="died"):
        retry_and_die(state)
    assert state.state("boat") is S.FAILED
    assert schema_of(state) == before


def test_triggers_are_back_after_an_error_that_the_transaction_outlives(state: State) -> None:
    before = schema_of(state)
    with transaction(state.db):
        with pytest.raises(OSError, match="full"), without_triggers(state.db):
            raise OSError("full")
        assert [name for name, _ in schema_of(state)].count("need_failed") == 1
    assert sorted(schema_of(state)) == sorted(before)


def retry_and_die(state: State) -> None:
    with transaction(state.db):
        manual_actions.retry_selected(state.db, Selection(), again())
        raise OSError("died")


def again() -> str:
    return manual_actions.may_go_again()
