"""What a state knows of logged requests, and what it makes of those that it has lost."""

from __future__ import annotations

from batchgen.jobs import JobState
from batchgen.state import recovery
from batchgen.state.queries import money
from tests.state.state_world import State, job


def test_a_lost_request_is_followed_again_and_no_second_one_can_begin(state: State) -> None:
    assert recovery.give_back(state.db, {"r1": "boat"}, (), state.at) == {}
    assert state.state("boat") is JobState.QUEUED
    assert state.one("SELECT request_id FROM attempt WHERE job = ?", state.seq("boat")) == "r1"
    assert state.deliver("boat")
    assert state.state("clip") is JobState.PENDING


def test_of_several_requests_of_a_job_the_latest_is_followed(state: State) -> None:
    recovery.give_back(state.db, {"r1": "boat", "r2": "boat"}, (), state.at)
    assert state.one("SELECT group_concat(request_id) FROM attempt") == "r2"


def test_a_submit_that_nobody_heard_of_again_becomes_unknown_and_is_counted(
    state: State,
) -> None:
    recovery.give_back(state.db, {}, ("boat", "nobody"), state.at)
    assert state.state("boat") is JobState.UNKNOWN
    assert money(state.db).unpriced == 1


def test_an_attempt_without_an_answer_takes_the_request_that_belongs_to_it(state: State) -> None:
    state.begin("boat", 0.5)
    recovery.give_back(state.db, {"r1": "boat"}, (), state.at)
    assert state.state("boat") is JobState.QUEUED
    assert state.one("SELECT count(*) FROM attempt") == 1
    assert state.one("SELECT price FROM attempt") == 0.5


def test_a_request_whose_job_is_done_or_gone_is_given_back_to_the_caller(state: State) -> None:
    state.finish("boat", "r1")
    lost = {"r2": "boat", "r3": "gone"}
    assert recovery.give_back(state.db, lost, (), state.at) == lost


def test_a_blocked_job_takes_its_request_too(state: State) -> None:
    state.merge([job("boat"), job("clip", needs=("boat",))])
    state.submit("boat", "r1")
    state.fail("boat")
    assert state.state("clip") is JobState.BLOCKED
    assert recovery.give_back(state.db, {"r2": "clip"}, (), state.at) == {}
    assert state.state("clip") is JobState.QUEUED


def test_a_request_is_known_by_its_id_or_where_a_person_named_another_one(state: State) -> None:
    state.submit("boat", "r1")
    assert recovery.is_known(state.db, "r1", "boat")
    assert not recovery.is_known(state.db, "r2", "boat")
    state.begin("clip")
    state.hold("clip")
    assert state.adopt("clip", "r3") is None
    assert recovery.is_known(state.db, "r4", "clip")


def test_what_was_never_attempted_is_told_from_what_is_no_job(state: State) -> None:
    state.begin("boat")
    jobs = ("boat", "clip", "nobody")
    assert [recovery.was_attempted(state.db, one) for one in jobs] == [True, False, None]
