"""Single steps of a job: late answers, held jobs, and the names of files."""

from __future__ import annotations

import pytest

from batchgen.jobs import JobState
from batchgen.state import files, manual_actions, transitions
from batchgen.state.queries import live_request
from tests.state.state_world import State, job, picture

S = JobState


def test_the_whole_way_of_a_job(state: State) -> None:
    assert state.begin("boat") == 1
    assert state.state("boat") is S.SUBMITTING
    assert state.accept("boat", "r1").queued
    assert state.state("boat") is S.QUEUED
    assert transitions.running(state.db, state.seq("boat"))
    assert state.state("boat") is S.RUNNING
    assert state.deliver("boat", cost=0.25)
    assert state.state("boat") is S.FETCHING
    (saved,) = state.save_all("boat")
    assert state.state("boat") is S.DONE
    assert (saved.job_id, saved.request_id, saved.cost) == ("boat", "r1", 0.25)


def test_a_job_with_three_files_is_done_with_the_last_one(state: State) -> None:
    state.submit("boat", "r1")
    state.deliver("boat", count=3)
    todo = files.files_to_fetch(state.db, state.seq("boat"))
    assert todo is not None
    assert [file.name for file in todo.files] == ["boat.1", "boat.2", "boat.3"]
    assert [file.position for file in todo.files] == [1, 2, 3]
    assert todo.files[0].url == "https://x.runcomfy.net/boat-1.png"
    assert len(state.save_all("boat")) == 3
    assert state.state("boat") is S.DONE
    assert files.files_to_fetch(state.db, state.seq("boat")) is None


def test_what_is_verified_is_not_fetched_again_after_a_crash(state: State) -> None:
    state.submit("boat", "r1")
    state.deliver("boat", count=2)
    todo = files.files_to_fetch(state.db, state.seq("boat"))
    assert todo is not None
    done = files.verified(state.db, todo.files[1].id, picture("boat.2"), 1.0)
    assert not done.done
    left = files.files_to_fetch(state.db, state.seq("boat"))
    assert left is not None
    assert [file.name for file in left.files] == ["boat.1"]
    done = files.verified(state.db, todo.files[0].id, picture("boat.1"), 1.0)
    assert done.done


def test_a_job_is_begun_once(state: State) -> None:
    state.begin("boat")
    assert transitions.begin_attempt(state.db, state.seq("boat"), "h", None, 1.0) is None
    assert state.one("SELECT count(*) FROM attempt") == 1


@pytest.mark.parametrize("outcome", ["not_sent", "throttled", "halted"])
def test_a_submit_that_cost_nothing_comes_back_and_is_counted(state: State, outcome: str) -> None:
    state.begin("boat")
    assert transitions.turn_back(state.db, state.seq("boat"), 1, outcome, "why", 1.0)
    assert state.state("boat") is S.PENDING
    assert state.begin("boat") == 2
    assert (state.outcome("boat", 1), state.outcome("boat", 2)) == (outcome, None)


def test_a_late_acceptance_ends_the_doubt(state: State) -> None:
    """Row 24."""
    state.begin("boat")
    assert state.hold("boat")
    assert state.state("boat") is S.UNKNOWN
    assert state.accept("boat", "r1").queued
    assert state.state("boat") is S.QUEUED
    assert state.one("SELECT error FROM job WHERE id = 'boat'") is None


def test_a_late_refusal_ends_the_doubt(state: State) -> None:
    """Row 24."""
    state.begin("boat")
    state.hold("boat")
    assert transitions.refused(state.db, state.seq("boat"), 1, "422", "no", 1.0)
    assert (state.state("boat"), state.outcome("boat", 1)) == (S.FAILED, "refused")


def test_a_late_acceptance_of_what_was_given_up_keeps_the_id_and_the_decision(
    state: State,
) -> None:
    for settle, expected in ((state.write_off, S.FAILED), (state.resubmit, S.PENDING)):
        job_id = "boat" if expected is S.FAILED else "clip"
        state.begin(job_id)
        state.hold(job_id)
        assert settle(job_id) is None
        assert not state.accept(job_id, f"late-{job_id}").queued
        assert state.state(job_id) is expected
        assert state.one("SELECT count(*) FROM attempt WHERE request_id = ?", f"late-{job_id}") == 1


def test_an_unclear_end_of_an_older_submit_does_not_touch_the_newer_one(state: State) -> None:
    """A person had it resubmitted while its first answer was still awaited."""
    state.begin("boat")
    state.hold("boat")
    state.resubmit("boat")
    assert state.begin("boat") == 2
    assert not state.hold("boat", number=1)
    assert state.state("boat") is S.SUBMITTING


def test_a_late_refusal_does_not_undo_an_adopted_request(state: State) -> None:
    state.begin("boat")
    state.hold("boat")
    assert state.adopt("boat", "r-found") is None
    assert not transitions.refused(state.db, state.seq("boat"), 1, "422", "no", 1.0)
    assert not transitions.turn_back(state.db, state.seq("boat"), 1, "throttled", "why", 1.0)
    assert (state.state("boat"), state.outcome("boat", 1)) == (S.QUEUED, None)
    assert state.deliver("boat", cost=0.5)
    assert state.one("SELECT cost FROM attempt") == 0.5


def test_a_late_answer_with_another_id_than_the_adopted_one_holds_the_job(state: State) -> None:
    """Two requests may be paid now, and neither id may be lost."""
    state.begin("boat")
    state.hold("boat")
    state.adopt("boat", "r-adopted")
    assert not state.accept("boat", "r-answered").queued
    assert state.state("boat") is S.UNKNOWN
    assert "r-answered" in state.one("SELECT error FROM job WHERE id = 'boat'")
    assert state.one("SELECT request_id FROM attempt") == "r-adopted"
    assert state.adopt("boat", "r-answered") is None
    assert state.one("SELECT request_id FROM attempt") == "r-answered"


def test_the_same_id_twice_is_no_trouble(state: State) -> None:
    state.submit("boat", "r1")
    assert not state.accept("boat", "r1").queued
    assert state.state("boat") is S.QUEUED


def test_one_request_id_for_two_jobs_holds_both(state: State) -> None:
    """Row 36."""
    state.submit("boat", "r1")
    state.begin("clip")
    acceptance = state.accept("clip", "r1")
    assert acceptance == transitions.Acceptance(queued=False, twin="boat")
    assert (state.state("boat"), state.state("clip")) == (S.UNKNOWN, S.UNKNOWN)
    for job_id, other in (("boat", "clip"), ("clip", "boat")):
        assert state.one("SELECT error FROM job WHERE id = ?", job_id) == (
            f"the vendor gave request r1 to this job and to {other}"
        )


def test_a_held_twin_stays_held_whatever_its_request_does_meanwhile(state: State) -> None:
    """Row 36: with `retries` a failure would be submitted again, which nobody allowed."""
    state.submit("boat", "r1")
    state.begin("clip")
    state.accept("clip", "r1")
    assert not state.fail("boat", again=True)
    assert not state.deliver("boat")
    assert not transitions.set_aside(state.db, state.seq("boat"), 1, "timeout", "too long")
    assert not transitions.running(state.db, state.seq("boat"))
    assert (state.state("boat"), state.outcome("boat", 1)) == (S.UNKNOWN, None)


def test_a_held_twin_may_have_its_own_request_back(state: State) -> None:
    state.submit("boat", "r1")
    state.begin("clip")
    state.accept("clip", "r1")
    assert state.adopt("clip", "r1") == "request r1 already belongs to job boat"
    assert state.adopt("boat", "r1") is None
    assert state.state("boat") is S.QUEUED
    assert state.deliver("boat")


def test_a_twin_that_is_done_keeps_its_files(state: State) -> None:
    """Row 36."""
    state.finish("boat", "r1")
    state.begin("clip")
    assert state.accept("clip", "r1").twin == "boat"
    assert (state.state("boat"), state.state("clip")) == (S.DONE, S.UNKNOWN)


def test_a_result_of_a_resubmitted_attempt_does_not_displace_the_new_one(state: State) -> None:
    state.submit("boat", "r1")
    state.begin("clip")
    state.accept("clip", "r1")
    state.resubmit("boat")
    state.submit("boat", "r2")
    assert not state.deliver("boat", number=1)
    assert not state.fail("boat", number=1)
    assert state.state("boat") is S.QUEUED
    assert state.deliver("boat", number=2)
    assert len(state.save_all("boat")) == 1


def test_a_vendors_failure_may_be_tried_again_at_once(state: State) -> None:
    state.submit("boat", "r1")
    assert state.fail("boat", again=True)
    assert state.state("boat") is S.PENDING
    assert state.one("SELECT failures FROM job WHERE id = 'boat'") == 1
    assert state.outcome("boat", 1) == "failed"
    assert state.begin("boat") == 2


def test_a_request_over_its_time_stays_open_for_the_next_run(state: State) -> None:
    state.submit("boat", "r1")
    assert transitions.set_aside(state.db, state.seq("boat"), 1, "timeout", "too long")
    assert (state.state("boat"), state.outcome("boat", 1)) == (S.FAILED, None)
    assert live_request(state.db, state.seq("boat")) is None
    assert manual_actions.reopen(state.db) == 1
    assert state.state("boat") is S.QUEUED
    assert state.one("SELECT error FROM job WHERE id = 'boat'") is None
    request = live_request(state.db, state.seq("boat"))
    assert request is not None
    assert request.request_id == "r1"
    assert state.deliver("boat")


def test_a_refused_model_fails_its_pending_jobs_and_no_other(state: State) -> None:
    """Row 14."""
    state.merge([job("boat"), job("clip"), job("edit", model="x/edit"), job("third")])
    state.submit("boat", "r1")
    assert (
        transitions.refuse_model(state.db, "bytedance/dreamina-4-0/text-to-image", "403", "no") == 2
    )
    assert [state.state(one) for one in ("boat", "clip", "edit", "third")] == [
        S.QUEUED,
        S.FAILED,
        S.PENDING,
        S.FAILED,
    ]


def test_a_new_url_replaces_an_expired_one_but_not_a_verified_one(state: State) -> None:
    """Row 40."""
    state.submit("boat", "r1")
    state.deliver("boat")
    transitions.renew_url(state.db, 1, "https://x.runcomfy.net/new.png")
    todo = files.files_to_fetch(state.db, state.seq("boat"))
    assert todo is not None
    assert todo.files[0].url == "https://x.runcomfy.net/new.png"
    state.save_all("boat")
    transitions.renew_url(state.db, 1, "https://x.runcomfy.net/newer.png")
    assert state.one("SELECT url FROM file") == "https://x.runcomfy.net/new.png"


def test_trouble_with_a_download_is_shown_until_it_comes_home(state: State) -> None:
    state.submit("boat", "r1")
    state.deliver("boat")
    transitions.trouble(state.db, state.seq("boat"), "host_not_allowed", "not fetched")
    assert state.state("boat") is S.FETCHING
    state.save_all("boat")
    assert state.one("SELECT error_code FROM job WHERE id = 'boat'") is None
