"""Any order of events, late ones too: what must hold after each of them."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from batchgen.jobs import LEGAL_TARGETS, Job, JobState
from batchgen.state import files, manual_actions, transitions
from batchgen.state.causes import cause_key
from batchgen.state.conditions import TROUBLED
from batchgen.state.queries import Selection, due_page, live_requests, money
from batchgen.state.reconcile import OnChanged
from tests.state.state_world import State, job, open_state, picture

JOBS = ("boat", "Boat", "boat-1", "film", "poster")
GATED = ("boat", "boat-1")
S = JobState
BAD = {S.FAILED, S.CANCELLED, S.LOST, S.BLOCKED}
OPEN = {S.SUBMITTING, S.QUEUED, S.RUNNING, S.UNKNOWN}

jobs = st.sampled_from(JOBS)
numbers = st.integers(1, 3)
requests = st.sampled_from([f"r{n}" for n in range(5)])
lucky = st.booleans()
# A job needs only earlier ones, so there is no circle.
edges = st.dictionaries(
    st.sampled_from(JOBS[1:]), st.sets(st.sampled_from(JOBS), max_size=3), min_size=1, max_size=4
).map(
    lambda found: {
        one: {n for n in needs if JOBS.index(n) < JOBS.index(one)} for one, needs in found.items()
    }
)
CHAIN: dict[str, set[str]] = {"boat-1": {"boat"}, "film": {"boat-1", "Boat"}, "poster": {"film"}}


def chained(job_id: str, needs: dict[str, set[str]], prompt: str = "a boat") -> Job:
    wanted = tuple(sorted(needs.get(job_id, ())))
    return job(job_id, prompt, needs=wanted, gate=job_id in GATED)


EVERY_ATTEMPT = """
    SELECT total(cost),
        total(CASE WHEN cost IS NULL AND outcome IS NULL AND state NOT IN ('unknown', 'lost')
              THEN price END),
        total(CASE WHEN cost IS NULL AND (outcome IN
              ('succeeded', 'failed', 'lost', 'written_off', 'resubmitted')
              OR outcome IS NULL AND state IN ('unknown', 'lost')) THEN price END),
        count(CASE WHEN cost IS NULL AND price IS NULL AND (outcome IS NULL OR outcome IN
              ('succeeded', 'failed', 'lost', 'written_off', 'resubmitted')) THEN 1 END)
    FROM attempt JOIN job ON job.seq = attempt.job
"""


class Events(RuleBasedStateMachine):
    """Throws every event at every job, also those that come too late or to the wrong place."""

    def __init__(self) -> None:
        super().__init__()
        self.held = ExitStack()
        folder = Path(self.held.enter_context(tempfile.TemporaryDirectory()))
        self.state: State = self.held.enter_context(
            open_state(folder, *(chained(one, CHAIN) for one in JOBS))
        )
        self.needs = CHAIN
        self.state.db.execute("PRAGMA synchronous = OFF")
        self.before = self._states()
        self.attempts: dict[tuple[int, int], str | None] = {}
        self.takes = 0

    def teardown(self) -> None:
        self.held.close()

    def _states(self) -> dict[str, JobState]:
        rows = self.state.db.execute("SELECT id, state FROM job")
        return {job_id: S(state) for job_id, state in rows}

    def _begun(self, job_id: str, number: int) -> bool:
        return bool(
            self.state.one(
                "SELECT 1 FROM attempt WHERE job = ? AND number = ?",
                self.state.seq(job_id),
                number,
            )
        )

    @rule(job_id=jobs, uploading=lucky)
    def begin(self, job_id: str, uploading: bool) -> None:
        unmet = self._unmet(job_id)
        number = transitions.begin_attempt(
            self.state.db, self.state.seq(job_id), "h", 0.1, 1.0, uploading=uploading
        )
        assert number is None or not unmet

    @rule(job_id=jobs, number=numbers)
    def handed_over(self, job_id: str, number: int) -> None:
        transitions.handed_over(self.state.db, self.state.seq(job_id), number)

    def _unmet(self, job_id: str) -> list[str]:
        """What a job still needs, told by the jobs themselves."""
        rows = self.state.db.execute("SELECT id, state, gate, approved FROM job").fetchall()
        open_ones = {
            one for one, state, gate, approved in rows if state != "done" or gate > approved
        }
        return sorted(self.needs.get(job_id, set()) & open_ones)

    @rule(job_id=jobs, number=numbers, request_id=requests)
    def accepted(self, job_id: str, number: int, request_id: str) -> None:
        if self._begun(job_id, number):
            self.state.accept(job_id, request_id, number)

    @rule(job_id=jobs, number=numbers)
    def unclear(self, job_id: str, number: int) -> None:
        self.state.hold(job_id, number)

    @rule(job_id=jobs, number=numbers, outcome=st.sampled_from(["not_sent", "throttled", "halted"]))
    def turn_back(self, job_id: str, number: int, outcome: str) -> None:
        transitions.turn_back(self.state.db, self.state.seq(job_id), number, outcome, "why", 1.0)

    @rule(job_id=jobs, number=numbers)
    def refused(self, job_id: str, number: int) -> None:
        transitions.refused(self.state.db, self.state.seq(job_id), number, "422", "no", 1.0)

    @rule(job_id=jobs)
    def running(self, job_id: str) -> None:
        transitions.running(self.state.db, self.state.seq(job_id))

    @rule(job_id=jobs, number=numbers, count=st.integers(1, 2))
    def delivered(self, job_id: str, number: int, count: int) -> None:
        self.state.deliver(job_id, number, count, cost=0.2)

    @rule(
        job_id=jobs,
        number=numbers,
        state=st.sampled_from([S.FAILED, S.CANCELLED, S.LOST]),
        again=lucky,
    )
    def ended(self, job_id: str, number: int, state: JobState, again: bool) -> None:
        ending = transitions.Ending(state, "code", "words", again=again)
        transitions.ended(self.state.db, self.state.seq(job_id), number, ending, 1.0)

    @rule(job_id=jobs, number=numbers, empty=lucky)
    def set_aside(self, job_id: str, number: int, empty: bool) -> None:
        cost, result = (0.2, "{}") if empty else (None, "")
        transitions.set_aside(
            self.state.db, self.state.seq(job_id), number, "code", "late", cost, result
        )

    @rule(job_id=jobs)
    def one_file_arrives(self, job_id: str) -> None:
        todo = files.files_to_fetch(self.state.db, self.state.seq(job_id))
        if todo is not None:
            file = todo.files[0]
            files.verified(self.state.db, file.id, picture(file.name), 1.0)

    @rule(job_id=jobs, place=st.integers(0, 3))
    def a_file_is_to_be_fetched_again(self, job_id: str, place: int) -> None:
        found = files.results_after(self.state.db, Selection((job_id,)), 0, 4)
        if place < len(found):
            files.fetch_again(self.state.db, found[place])

    @rule(job_id=jobs, request_id=requests)
    def adopt(self, job_id: str, request_id: str) -> None:
        self.state.adopt(job_id, request_id)

    @rule(job_id=jobs)
    def resubmit(self, job_id: str) -> None:
        self.state.resubmit(job_id)

    @rule(job_id=jobs)
    def write_off(self, job_id: str) -> None:
        self.state.write_off(job_id)

    @rule(job_id=jobs)
    def retry(self, job_id: str) -> None:
        manual_actions.retry(self.state.db, self.state.seq(job_id))

    @rule(job_id=jobs)
    def cancel(self, job_id: str) -> None:
        manual_actions.cancel(self.state.db, self.state.seq(job_id))

    @rule(job_id=jobs)
    def approve(self, job_id: str) -> None:
        manual_actions.approve(self.state.db, self.state.seq(job_id), 1.0)

    @rule(job_id=jobs)
    def reject(self, job_id: str) -> None:
        transitions.reject(self.state.db, self.state.seq(job_id), "bad_input", "words")

    @rule(only=st.sampled_from(["failed", "!failed", "lost"]))
    def retry_many(self, only: str) -> None:
        manual_actions.retry_selected(
            self.state.db, Selection(states=(only,)), manual_actions.may_go_again()
        )

    @rule()
    def refuse_model(self) -> None:
        transitions.refuse_model(self.state.db, job("boat").model, "422", "words")

    @rule()
    def the_run_dies_and_another_begins(self) -> None:
        manual_actions.settle_dead_run(self.state.db, 1.0)
        self.before = self._states()
        manual_actions.reopen(self.state.db)

    @precondition(lambda self: self.takes < 3)
    @rule(job_id=jobs, needs=edges)
    def the_manifest_changes(self, job_id: str, needs: dict[str, set[str]]) -> None:
        self.takes += 1
        self.needs = needs
        bodies = {one: self.state.one("SELECT body FROM job WHERE id = ?", one) for one in JOBS}
        today = [
            chained(one, needs, f"take {self.takes}")
            if one == job_id
            else replace(chained(one, needs), body=bodies[one])
            for one in JOBS
        ]
        self.state.merge(today, OnChanged.RERUN)
        self.before = self._states()

    @invariant()
    def every_step_is_legal(self) -> None:
        now = self._states()
        for job_id, state in now.items():
            before = self.before[job_id]
            # `again` makes two steps in one transaction, a need that failed meanwhile one more.
            reachable = LEGAL_TARGETS[before] | (
                {S.PENDING} if S.FAILED in LEGAL_TARGETS[before] else set()
            )
            reachable |= {S.BLOCKED} if S.PENDING in reachable else set()
            assert state is before or state in reachable, (job_id, before, state)
        self.before = now

    @invariant()
    def the_state_of_a_job_agrees_with_its_attempts(self) -> None:
        for seq, state, attempts in self.state.db.execute("SELECT seq, state, attempts FROM job"):
            rows = self.state.db.execute(
                "SELECT number, outcome, request_id FROM attempt WHERE job = ? ORDER BY number",
                (seq,),
            ).fetchall()
            assert [number for number, _, _ in rows] == list(range(1, attempts + 1))
            open_ones = [row for row in rows if row[1] is None]
            # Too slow, or not found: the vendor may still deliver.
            timed_out = state in (S.FAILED, S.LOST) and open_ones
            assert len(open_ones) == (1 if S(state) in OPEN or timed_out else 0)
            # Only the latest attempt is ever open, and a followed job has a request.
            assert all(number == attempts for number, _, _ in open_ones)
            if state in (S.QUEUED, S.RUNNING) or timed_out:
                assert open_ones[0][2] is not None
            if state in (S.FETCHING, S.DONE):
                assert rows[-1][1] == "succeeded"

    @invariant()
    def an_attempt_is_never_deleted_and_an_outcome_never_changed(self) -> None:
        now = {
            (row[0], row[1]): row[2]
            for row in self.state.db.execute("SELECT job, number, outcome FROM attempt")
        }
        for key, outcome in self.attempts.items():
            assert key in now
            assert outcome is None or now[key] == outcome
        self.attempts = now

    @invariant()
    def a_done_job_has_all_its_files_and_a_fetching_one_has_not(self) -> None:
        for seq, state, attempts in self.state.db.execute("SELECT seq, state, attempts FROM job"):
            if state in (S.DONE, S.FETCHING):
                found = self.state.db.execute(
                    "SELECT count(*), count(verified_at) FROM file WHERE job = ? AND attempt = ?",
                    (seq, attempts),
                ).fetchone()
                assert found[0] >= 1
                assert (found[0] == found[1]) == (state == S.DONE)

    @invariant()
    def a_job_in_trouble_has_the_cause_that_its_message_gives(self) -> None:
        rows = self.state.db.execute(
            f"SELECT cause, {TROUBLED}, id, state, error_code, error FROM job"
        )
        for cause, troubled, *message in rows:
            assert cause == (cause_key(*message) if troubled else None)

    @invariant()
    def every_followed_job_is_found_at_the_next_start(self) -> None:
        followed = {one.id for one in live_requests(self.state.db)}
        states = self._states()
        assert followed == {one for one in JOBS if states[one] in (S.QUEUED, S.RUNNING)}

    @invariant()
    def money_is_what_a_look_at_every_attempt_says(self) -> None:
        found = money(self.state.db)
        assert (found.spent, found.reserved, found.unknown, found.unpriced) == pytest.approx(
            self.state.db.execute(EVERY_ATTEMPT).fetchone()
        )

    @invariant()
    def a_job_waits_for_as_many_as_it_needs(self) -> None:
        for job_id, waiting in self.state.db.execute("SELECT id, waiting FROM job").fetchall():
            assert waiting == len(self._unmet(job_id)), job_id

    @invariant()
    def only_jobs_whose_needs_are_met_are_due(self) -> None:
        due = due_page(self.state.db, job("boat").model, Selection(), None, 9)
        states = self._states()
        ready = {one for one in JOBS if states[one] is S.PENDING and not self._unmet(one)}
        assert {one.id for one in due} == ready

    @invariant()
    def a_job_is_blocked_exactly_while_a_job_that_it_needs_did_not_get_done(self) -> None:
        states = self._states()
        for job_id, state in states.items():
            if state in (S.PENDING, S.BLOCKED):
                bad = {one for one in self.needs.get(job_id, ()) if states[one] in BAD}
                assert (state is S.BLOCKED) == bool(bad), (job_id, bad)

    @invariant()
    def a_blocked_job_says_why_and_an_approval_is_for_a_result(self) -> None:
        for state, code, error, approved in self.state.db.execute(
            "SELECT state, error_code, error, approved FROM job"
        ):
            assert (state == S.BLOCKED) == (code == "need_failed")
            assert state != S.BLOCKED or error.startswith("it needs ")
            assert not (state == S.SUBMITTING and approved)


Events.TestCase.settings = settings(stateful_step_count=40)
test_any_order_of_events_keeps_the_promises = Events.TestCase
