"""What is said about results: by a person, by a check."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from batchgen.jobs import JobState
from batchgen.state import files, manual_actions, reviews, transitions
from batchgen.state.files import fetch_again, results_after
from batchgen.state.queries import Selection, select_jobs
from batchgen.state.reconcile import OnChanged
from batchgen.state.reviews import Pick, ReviewCounts
from tests.state.state_world import State, job, picture


def pick(state: State, job_id: str, word: Pick | None, position: int | None = None) -> str | None:
    return reviews.pick(state.db, state.seq(job_id), position, word)


def picks(state: State, job_id: str) -> list[str | None]:
    rows = state.db.execute(
        "SELECT pick FROM file WHERE job = ? ORDER BY attempt, position", (state.seq(job_id),)
    )
    return [word for (word,) in rows]


def flaws(state: State) -> Mapping[str, str]:
    return dict(state.db.execute("SELECT kind, words FROM flaw ORDER BY kind"))


def chosen(state: State, *names: str) -> list[str]:
    selection = Selection(states=names)
    return [job_id for _, job_id, _ in select_jobs(state.db, selection, tuple(JobState))]


def test_a_pick_is_about_one_file_or_about_all_of_a_result(state: State) -> None:
    state.finish("boat", "r1", count=3)
    assert pick(state, "boat", Pick.KEEP, 2) is None
    assert picks(state, "boat") == [None, "keep", None]
    assert pick(state, "boat", Pick.REJECT) is None
    assert picks(state, "boat") == ["reject"] * 3
    assert pick(state, "boat", None, 1) is None
    assert picks(state, "boat") == [None, "reject", "reject"]


def test_where_there_is_no_result_nothing_can_be_picked(state: State) -> None:
    said = pick(state, "boat", Pick.KEEP)
    assert said == "job boat, which is pending, has no result to pick"
    state.finish("boat", "r1")
    assert pick(state, "boat", Pick.KEEP, 2) == "job boat, which is done, has no file 2 to pick"
    assert reviews.find_flaws(state.db, state.seq("clip"), None, {"blank": "w"}) is not None
    assert flaws(state) == {}


@pytest.mark.parametrize(
    ("first", "second", "kept", "rejected"),
    [
        (Pick.KEEP, Pick.REJECT, ["boat"], []),
        (Pick.REJECT, Pick.REJECT, [], ["boat"]),
        (Pick.REJECT, None, [], []),
        (None, None, [], []),
    ],
)
def test_one_kept_file_keeps_a_job_and_only_all_of_them_reject_it(
    state: State, first: Pick | None, second: Pick | None, kept: list[str], rejected: list[str]
) -> None:
    state.finish("boat", "r1", count=2)
    pick(state, "boat", first, 1)
    pick(state, "boat", second, 2)
    assert (chosen(state, "kept"), chosen(state, "rejected")) == (kept, rejected)
    assert ("boat" in chosen(state, "!rejected")) == (not rejected)


def test_what_people_said_is_named_whole_and_no_glob_means_it(state: State) -> None:
    state.finish("boat", "r1")
    pick(state, "boat", Pick.REJECT)
    assert chosen(state, "*") == ["boat", "clip"]
    assert chosen(state, "reject*") == []
    assert chosen(state, "rejected", "pending") == ["boat", "clip"]


def test_a_rejected_result_goes_again_where_the_user_says_so(state: State) -> None:
    state.finish("boat", "r1")
    pick(state, "boat", Pick.REJECT)
    everything = Selection()
    assert manual_actions.retry_selected(state.db, everything, manual_actions.may_go_again()) == 0
    assert (
        manual_actions.retry_selected(
            state.db, everything, manual_actions.may_go_again(rejected=True)
        )
        == 1
    )
    assert state.state("boat") is JobState.PENDING
    # A run that dies here finds it again; once it is submitted, nobody has judged the new result.
    assert chosen(state, "rejected") == ["boat"]
    state.finish("boat", "r2")
    assert chosen(state, "rejected") == []
    assert picks(state, "boat") == ["reject", None]
    assert (
        manual_actions.retry_selected(
            state.db, everything, manual_actions.may_go_again(rejected=True)
        )
        == 0
    )


@pytest.mark.parametrize("word", [Pick.KEEP, None])
def test_a_rejected_result_that_is_kept_after_all_is_not_made_again(
    state: State, word: Pick | None
) -> None:
    state.finish("boat", "r1")
    pick(state, "boat", Pick.REJECT)
    manual_actions.retry_selected(state.db, Selection(), manual_actions.may_go_again(rejected=True))
    assert state.state("boat") is JobState.PENDING
    assert pick(state, "boat", word) is None
    assert state.state("boat") is JobState.DONE
    assert transitions.begin_attempt(state.db, state.seq("boat"), "h", None, 1.0) is None


def test_a_cancel_before_the_second_submit_leaves_the_first_result_done(state: State) -> None:
    state.finish("boat", "r1")
    pick(state, "boat", Pick.REJECT)
    manual_actions.retry_selected(state.db, Selection(), manual_actions.may_go_again(rejected=True))
    assert manual_actions.cancel(state.db, state.seq("boat"))
    assert state.state("boat") is JobState.DONE
    assert manual_actions.cancel(state.db, state.seq("clip"))
    assert state.state("clip") is JobState.CANCELLED


def test_a_pick_does_not_take_a_changed_input_back(state: State) -> None:
    state.finish("boat", "r1")
    changed = [job("boat", "another boat"), job("clip")]
    state.merge(changed, OnChanged.RERUN)
    assert state.state("boat") is JobState.PENDING
    assert pick(state, "boat", Pick.KEEP) is None
    assert state.state("boat") is JobState.PENDING


def test_once_it_is_submitted_again_a_word_about_the_first_result_comes_too_late(
    state: State,
) -> None:
    state.finish("boat", "r1")
    pick(state, "boat", Pick.REJECT)
    manual_actions.retry_selected(state.db, Selection(), manual_actions.may_go_again(rejected=True))
    state.begin("boat")
    assert pick(state, "boat", Pick.KEEP) == "job boat, which is submitting, has no result to pick"


def test_what_left_the_manifest_is_not_retried(state: State) -> None:
    state.finish("boat", "r1")
    pick(state, "boat", Pick.REJECT)
    state.submit("clip", "r2")
    state.fail("clip")
    state.merge([job("other", "a tree")])
    again = manual_actions.may_go_again(rejected=True)
    assert manual_actions.retry_selected(state.db, Selection(), again) == 0


def test_a_check_replaces_what_an_earlier_one_found(state: State) -> None:
    state.finish("boat", "r1", count=2)
    seq = state.seq("boat")
    found = {"blank": "one colour", "wrong_size": "8 x 8"}
    assert reviews.find_flaws(state.db, seq, 1, found) is None
    assert flaws(state) == found
    assert reviews.find_flaws(state.db, seq, 2, {}) is None
    assert len(flaws(state)) == 2
    assert reviews.find_flaws(state.db, seq, 1, {"blank": "nearly"}) is None
    assert flaws(state) == {"blank": "nearly"}


@pytest.mark.parametrize("same", [True, False])
def test_marks_stay_with_a_content_and_go_with_it(state: State, same: bool) -> None:
    state.finish("boat", "r1")
    pick(state, "boat", Pick.KEEP)
    reviews.find_flaws(state.db, state.seq("boat"), 1, {"near_blank": "w"})
    (known,) = results_after(state.db, Selection(), 0, 9)
    assert fetch_again(state.db, known)
    again = picture("boat", "ab" * 32 if same else "cd" * 32)
    files.verified(state.db, known.id, replace(again, path="files/boat.png"), 50.0)
    assert picks(state, "boat") == ["keep" if same else None]
    assert flaws(state) == ({"near_blank": "w"} if same else {})


def test_marks_are_counted_for_what_is_selected(state: State) -> None:
    state.merge([job("boat", tags=("sea",)), job("clip")])
    state.finish("boat", "r1", count=2)
    state.finish("clip", "r2")
    pick(state, "boat", Pick.KEEP)
    pick(state, "clip", Pick.REJECT)
    reviews.find_flaws(state.db, state.seq("boat"), None, {"blank": "w", "wrong_size": "w"})
    reviews.find_flaws(state.db, state.seq("clip"), None, {"blank": "w"})
    everything = reviews.count_reviews(state.db, Selection())
    assert everything == ReviewCounts(1, 1, {"blank": 3, "wrong_size": 2})
    assert reviews.count_reviews(state.db, Selection(tags=("sea",))).rejected == 0


def test_axes_follow_the_manifest_without_a_new_submit(state: State) -> None:
    dawn = replace(job("boat"), axes='{"hour":"dawn"}')
    state.merge([dawn, job("clip")])
    state.finish("boat", "r1")
    assert state.one("SELECT axes FROM job WHERE id = 'boat'") == '{"hour":"dawn"}'
    difference = state.merge([replace(dawn, axes='{"when":"dawn"}'), job("clip")])
    assert not difference.asks_a_person
    assert state.one("SELECT axes FROM job WHERE id = 'boat'") == '{"when":"dawn"}'
    assert state.state("boat") is JobState.DONE
