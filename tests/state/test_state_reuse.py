"""Which results may be reused, by which jobs, and what is recorded of it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from batchgen.jobs import JobState
from batchgen.state import costs, files, manual_actions, reuse, transitions
from batchgen.state.meta import Meta, set_meta
from batchgen.state.queries import job_numbered
from batchgen.state.reviews import Pick, find_flaws, pick
from batchgen.state.selection import Selection
from tests.state.state_world import State, job, open_state, picture

KEY = "run-1/1/1"


def digest(state: State, job_id: str) -> str:
    return hashlib.sha256(job_numbered(state.db, state.seq(job_id)).body.encode()).hexdigest()


def source(key: str = KEY, count: int = 1) -> reuse.Source:
    urls = [f"https://x.runcomfy.net/{n}.png" for n in range(count)]
    made = tuple(reuse.SourceFile(url, picture("boat")) for url in urls)
    return reuse.Source("/earlier", "run-1", "boat", 1, key, made)


def begin(state: State, job_id: str, found: reuse.Source | None = None) -> bool:
    seq = state.seq(job_id)
    return reuse.begin_reuse(state.db, seq, digest(state, job_id), found or source(), state.at)


def give_back(state: State, job_id: str, number: int = 1) -> bool:
    return reuse.give_back_reused(state.db, state.seq(job_id), number, "gone", state.at)


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    with open_state(tmp_path, job("boat"), job("clip"), job("dog", needs=("boat",))) as state:
        set_meta(state.db, Meta.RUN_ID, "this")
        yield state


def test_a_reused_job_is_done_once_its_files_are_there_and_costs_nothing(state: State) -> None:
    assert begin(state, "boat", source(count=2))
    assert state.state("boat") is JobState.FETCHING
    assert state.outcome("boat", 1) == "reused"
    fetch = files.files_to_fetch(state.db, state.seq("boat"))
    assert fetch is not None
    assert [file.name for file in fetch.files] == ["boat.1", "boat.2"]
    assert fetch.request_id is None
    assert fetch.reused_from is not None
    assert reuse.source_of(fetch.reused_from) == source(count=2)
    saved = state.save_all("boat")
    assert state.state("boat") is JobState.DONE
    assert state.state("dog") is JobState.PENDING
    assert state.one("SELECT waiting FROM job WHERE id = 'dog'") == 0
    assert saved[-1].cost == 0
    assert reuse.count_reused(state.db) == 1
    assert costs.money(state.db).committed == 0
    assert costs.money(state.db).unpriced == 0
    assert costs.attempts_made(state.db) == (1, 0)
    assert costs.cost_owed(state.db, state.seq("boat")) is None


def test_a_result_serves_one_job(state: State) -> None:
    assert begin(state, "boat")
    assert not begin(state, "clip")
    assert reuse.used_keys(state.db, [KEY, "another"]) == {KEY}
    assert begin(state, "clip", source("another"))


def test_only_a_due_job_takes_one(state: State) -> None:
    assert not begin(state, "dog")
    state.submit("clip", "r-1")
    assert not begin(state, "clip")


@pytest.mark.parametrize("outcome", ["not_sent", "throttled", "halted"])
def test_a_job_that_was_turned_back_may_reuse(state: State, outcome: str) -> None:
    seq, sent = state.seq("boat"), digest(state, "boat")
    number = transitions.begin_attempt(state.db, seq, sent, None, state.at)
    assert number == 1
    assert transitions.turn_back(state.db, seq, 1, outcome, "later", state.at)
    assert begin(state, "boat")


def test_a_job_that_is_to_be_made_again_may_not(state: State) -> None:
    assert begin(state, "boat")
    state.save_all("boat")
    seq = state.seq("boat")
    pick(state.db, seq, None, Pick.REJECT)
    again = manual_actions.may_go_again(rejected=True)
    assert manual_actions.retry_selected(state.db, Selection(), again) == 1
    assert state.state("boat") is JobState.PENDING
    assert not begin(state, "boat", source("another"))


def test_a_failed_job_that_a_person_retries_may_not(state: State) -> None:
    seq, sent = state.seq("boat"), digest(state, "boat")
    transitions.begin_attempt(state.db, seq, sent, None, state.at)
    state.accept("boat", "r-1")
    assert state.fail("boat")
    assert manual_actions.retry(state.db, seq) is JobState.PENDING
    assert not begin(state, "boat")


def test_a_pick_that_is_taken_back_keeps_the_reused_result(state: State) -> None:
    assert begin(state, "boat")
    state.save_all("boat")
    seq = state.seq("boat")
    pick(state.db, seq, None, Pick.REJECT)
    again = manual_actions.may_go_again(rejected=True)
    manual_actions.retry_selected(state.db, Selection(), again)
    pick(state.db, seq, None, None)
    assert state.state("boat") is JobState.DONE


def test_a_result_that_is_gone_leaves_the_job_to_be_submitted_under_its_own_name(
    state: State,
) -> None:
    assert begin(state, "boat")
    assert give_back(state, "boat")
    assert state.state("boat") is JobState.PENDING
    assert state.outcome("boat", 1) == "not_sent"
    assert reuse.used_keys(state.db, [KEY]) == set()
    assert begin(state, "boat", source("another"))
    assert state.save_all("boat")[0].path == "files/boat.png"


def test_a_lost_file_whose_source_is_gone_is_not_submitted_unasked(state: State) -> None:
    assert begin(state, "boat")
    (saved,) = state.save_all("boat")
    assert files.fetch_again(state.db, saved)
    assert not give_back(state, "boat")
    assert state.state("boat") is JobState.FETCHING
    assert state.write_off("boat") is None
    assert manual_actions.retry(state.db, state.seq("boat")) is JobState.PENDING


def test_a_settled_job_is_not_given_back(state: State) -> None:
    assert begin(state, "boat")
    state.save_all("boat")
    assert not give_back(state, "boat")
    assert state.state("boat") is JobState.DONE


def test_a_finished_result_is_found_by_what_was_sent_and_named_by_its_origin(state: State) -> None:
    state.finish("boat")
    (own,) = reuse.finished_results(state.db)
    model = job_numbered(state.db, state.seq("boat")).model
    assert own == reuse.Finished((model, "hash"), "boat", 1, "this/1/1")
    assert begin(state, "clip")
    assert [*reuse.finished_results(state.db, [state.seq("clip")])] == []
    state.save_all("clip")
    (copied,) = reuse.finished_results(state.db, [state.seq("clip")])
    assert copied.key == KEY


def test_the_files_of_a_sound_result_may_be_reused_and_of_no_other(state: State) -> None:
    state.finish("boat", count=2)
    seq = state.seq("boat")
    work = (job_numbered(state.db, seq).model, "hash")

    def offered() -> int | None:
        found = reuse.files_to_reuse(state.db, work, "boat", 1)
        return None if found is None else len(found[1])

    assert offered() == 2
    pick(state.db, seq, 1, Pick.REJECT)
    assert offered() == 0
    pick(state.db, seq, 1, Pick.KEEP)
    assert offered() == 2
    find_flaws(state.db, seq, 2, {"blank": "all of it is grey"})
    assert offered() == 0
    assert reuse.files_to_reuse(state.db, (work[0], "other"), "boat", 1) is None
    assert reuse.files_to_reuse(state.db, work, "boat", 2) is None
    (saved, _) = files.saved_files(state.db)
    files.fetch_again(state.db, saved)
    assert offered() is None
