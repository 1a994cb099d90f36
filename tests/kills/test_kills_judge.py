"""The judge bites: each way to break a promise is noticed, and a clean round is let through."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

import pytest

from tests.kills.judge import (
    Charge,
    Evidence,
    Rule,
    Violation,
    after_a_kill,
    after_a_run,
    excess_charges,
    judge,
)
from tests.kills.memory import Attempt, Memory, SavedFile
from tests.kills.picks import Picks

BOAT = "files/boat.png"
CLEAN = Evidence(
    jobs=frozenset({"boat"}),
    charges=(Charge("r1", "boat", "succeeded", ("aa",)),),
    memory=Memory(
        {"boat": "done"},
        (Attempt("boat", 1, "r1", "succeeded"),),
        (SavedFile("boat", "r1", BOAT, "aa"),),
    ),
    approved=Counter(),
    disk={BOAT: "aa"},
    metadata=((BOAT, "aa"),),
)
AGAIN = (*CLEAN.charges, Charge("r2", "boat", "succeeded", ("bb",)))


def rules(violations: Iterable[Violation]) -> list[Rule]:
    return [one.rule for one in violations]


def with_state(evidence: Evidence, state: str, *attempts: Attempt) -> Evidence:
    memory = replace(evidence.memory, states={"boat": state}, attempts=attempts)
    return replace(evidence, memory=memory)


def test_a_clean_round_is_let_through() -> None:
    assert judge(CLEAN) == []


def test_a_second_charge_that_nobody_approved_is_a_duplicate_and_the_job_is_named() -> None:
    found = replace(CLEAN, charges=AGAIN)
    violations = judge(found)
    assert Rule.DUPLICATE in rules(violations)
    assert {one.job for one in violations} == {"boat"}
    assert excess_charges(found) == {"boat": 1}


def test_an_approved_resubmit_may_be_charged_once_more_and_only_once() -> None:
    gave_up = Attempt("boat", 1, None, "resubmitted")
    second = Attempt("boat", 2, "r1", "succeeded")
    found = replace(
        with_state(CLEAN, "done", gave_up, second), charges=AGAIN, approved=Counter(boat=1)
    )
    assert judge(found) == []
    third = replace(found, charges=(*AGAIN, Charge("r3", "boat", "succeeded")))
    assert set(rules(judge(third))) == {Rule.DUPLICATE, Rule.LOST}


def test_a_charge_that_the_state_does_not_know_is_lost() -> None:
    found = with_state(CLEAN, "done", Attempt("boat", 1, "another", "succeeded"))
    assert rules(judge(found)) == [Rule.LOST]


def test_a_charge_whose_attempt_has_no_end_or_another_one_is_lost() -> None:
    for outcome in (None, "failed", "written_off"):
        found = with_state(CLEAN, "done", Attempt("boat", 1, "r1", outcome))
        assert rules(judge(found)) == [Rule.LOST], outcome


@pytest.mark.parametrize("disk", [{BOAT: "cc"}, {}])
def test_wrong_bytes_and_missing_files_are_lost_results(disk: dict[str, str]) -> None:
    assert rules(judge(replace(CLEAN, disk=disk))) == [Rule.LOST]


def test_a_hash_in_the_state_that_is_not_the_one_served_is_noticed() -> None:
    memory = replace(CLEAN.memory, files=(SavedFile("boat", "r1", BOAT, "cc"),))
    assert rules(judge(replace(CLEAN, memory=memory))) == [Rule.LOST, Rule.METADATA]


def test_one_file_of_two_served_is_a_lost_result() -> None:
    found = replace(CLEAN, charges=(Charge("r1", "boat", "succeeded", ("aa", "bb")),))
    assert set(rules(judge(found))) == {Rule.LOST}


@pytest.mark.parametrize("state", ["pending", "queued", "fetching", "unknown", "failed"])
def test_a_job_that_has_not_settled_is_named(state: str) -> None:
    found = with_state(CLEAN, state, *CLEAN.memory.attempts)
    (violation,) = judge(found)
    assert (violation.rule, violation.job) == (Rule.UNSETTLED, "boat")


def test_a_job_that_the_vendor_failed_may_be_failed() -> None:
    found = replace(
        with_state(CLEAN, "failed", Attempt("boat", 1, "r1", "failed")),
        charges=(Charge("r1", "boat", "failed"),),
        disk={},
        metadata=(),
    )
    assert judge(replace(found, memory=replace(found.memory, files=()))) == []


def test_a_job_that_vanished_from_the_state_is_named() -> None:
    found = replace(CLEAN, jobs=frozenset({"boat", "clip"}))
    assert [(one.rule, one.job) for one in judge(found)] == [(Rule.UNSETTLED, "clip")]


STILL = "http://127.0.0.1:1/files/r1/1.png"
EDITED = Evidence(
    jobs=frozenset({"still", "edit"}),
    charges=(
        Charge("r1", "still", "succeeded", ("aa",)),
        Charge("r2", "edit", "succeeded", ("bb",), (STILL,)),
    ),
    memory=Memory(
        {"still": "done", "edit": "done"},
        (Attempt("still", 1, "r1", "succeeded"), Attempt("edit", 1, "r2", "succeeded")),
        (SavedFile("still", "r1", "files/s.png", "aa"), SavedFile("edit", "r2", BOAT, "bb")),
    ),
    approved=Counter(),
    disk={"files/s.png": "aa", BOAT: "bb"},
    metadata=(("files/s.png", "aa"), (BOAT, "bb")),
    needs={"edit": "still"},
    gated=frozenset({"still"}),
    said={"r1": 1},
)


def test_a_chain_that_kept_its_order_is_let_through() -> None:
    assert judge(EDITED) == []


def test_a_job_that_did_not_wait_for_the_word_about_its_need_is_named() -> None:
    for said in ({}, {"r1": 2}):
        (violation,) = judge(replace(EDITED, said=said))
        assert (violation.rule, violation.job) == (Rule.EARLY, "edit")


@pytest.mark.parametrize("images", [(), (STILL.replace("r1", "r9"),), ("https://a.invalid/b/c",)])
def test_an_input_that_is_no_result_of_the_need_is_named(images: tuple[str, ...]) -> None:
    first, second = EDITED.charges
    found = replace(EDITED, charges=(first, replace(second, images=images)))
    assert [(one.rule, one.job) for one in judge(found)] == [(Rule.EARLY, "edit")]


@pytest.mark.parametrize(("state", "rules_broken"), [("failed", []), ("done", [Rule.UNSETTLED])])
def test_a_job_may_end_blocked_where_its_need_failed(state: str, rules_broken: list[Rule]) -> None:
    files = () if state == "failed" else (SavedFile("still", "r1", "files/s.png", "aa"),)
    outcome = "failed" if state == "failed" else "succeeded"
    found = replace(
        EDITED,
        charges=(Charge("r1", "still", outcome, ("aa",) if files else ()),),
        memory=Memory(
            {"still": state, "edit": "blocked"}, (Attempt("still", 1, "r1", outcome),), files
        ),
        disk={file.path: file.sha256 for file in files},
        metadata=tuple((file.path, file.sha256) for file in files),
    )
    assert rules(judge(found)) == rules_broken


def test_parts_strays_metadata_and_the_token_are_noticed() -> None:
    part = replace(CLEAN, disk={**CLEAN.disk, "files/boat.png.part": "dd"})
    assert rules(judge(part)) == [Rule.STRAY]
    assert rules(judge(replace(CLEAN, strays=("../elsewhere",)))) == [Rule.STRAY]
    assert rules(judge(replace(CLEAN, metadata=()))) == [Rule.METADATA]
    twice = CLEAN.metadata * 2
    assert rules(judge(replace(CLEAN, metadata=twice))) == [Rule.METADATA]
    assert rules(judge(replace(CLEAN, token_in=("out/run.log",)))) == [Rule.TOKEN]
    assert rules(judge(replace(CLEAN, token_leaks=1))) == [Rule.TOKEN]


def test_a_kill_takes_no_more_than_the_submits_on_the_wire() -> None:
    jobs = [f"job-{number}" for number in range(3)]
    sent = tuple(Attempt(job, 1, None, None, interrupted=True) for job in jobs)
    after = Memory(dict.fromkeys(jobs, "submitting"), sent)
    assert list(after_a_kill(Memory(), after, concurrency=3)) == []
    assert rules(after_a_kill(Memory(), after, concurrency=2)) == [Rule.WIRE]
    # The next kill, in the start: those are not its doing.
    assert list(after_a_kill(after, after, concurrency=2)) == []


def test_what_was_on_the_disk_before_a_kill_is_there_after_it() -> None:
    gone = after_a_kill(CLEAN.memory, Memory(), concurrency=8)
    assert rules(gone) == [Rule.FORGOTTEN, Rule.FORGOTTEN]


@pytest.mark.parametrize(
    ("code", "state"), [(0, "done"), (1, "failed"), (75, "fetching"), (75, "pending")]
)
def test_an_exit_code_that_fits_the_state_is_let_through(code: int, state: str) -> None:
    assert list(after_a_run(code, Memory({"boat": state}))) == []


@pytest.mark.parametrize(
    ("code", "state"), [(0, "failed"), (1, "done"), (76, "done"), (75, "done"), (70, "pending")]
)
def test_an_exit_code_that_does_not_fit_is_named(code: int, state: str) -> None:
    assert rules(after_a_run(code, Memory({"boat": state}))) == [Rule.EXIT_CODE]


@pytest.mark.parametrize(
    ("state", "in_bucket", "fits"),
    [("fetching", True, True), ("done", True, False), ("fetching", False, False)],
)
def test_only_a_bucket_may_keep_a_run_from_its_end_with_69(
    state: str, in_bucket: bool, fits: bool
) -> None:
    found = list(after_a_run(69, Memory({"boat": state}), in_bucket=in_bucket))
    assert (found == []) == fits


def kept(number: int, state: str = "done", request_id: str = "r1") -> Memory:
    attempts = [Attempt("boat", one, f"r{one}", "succeeded") for one in range(1, number)]
    latest = Attempt("boat", number, request_id, "succeeded" if state == "done" else None)
    return replace(CLEAN.memory, states={"boat": state}, attempts=(*attempts, latest))


def test_only_a_retry_of_rejected_results_may_set_a_done_job_going() -> None:
    after = kept(2, "queued")
    assert rules(after_a_kill(CLEAN.memory, after, concurrency=8)) == [Rule.FORGOTTEN]
    assert list(after_a_kill(CLEAN.memory, after, concurrency=8, again={"boat"})) == []


def test_a_rejected_file_that_is_gone_is_a_lost_result() -> None:
    other = "files/boat~2.png"
    memory = replace(
        kept(2, request_id="r2"), files=(*CLEAN.memory.files, SavedFile("boat", "r2", other, "bb"))
    )
    found = replace(
        CLEAN,
        charges=AGAIN,
        memory=memory,
        approved=Counter(boat=1),
        disk={BOAT: "aa", other: "bb"},
        metadata=((BOAT, "aa"), (other, "bb")),
    )
    assert judge(found) == []
    assert rules(judge(replace(found, disk={other: "bb"}))) == [Rule.LOST]
    assert rules(judge(replace(found, approved=Counter()))) == [Rule.DUPLICATE]


def test_a_retry_gives_leave_for_rejected_results_that_it_set_going_and_for_no_others() -> None:
    picks = Picks()
    picks.retried(CLEAN.memory, kept(2))
    assert picks.remade.total() == 0, "nobody had rejected it"
    picks.reject(["boat"])
    picks.retried(CLEAN.memory, CLEAN.memory)
    assert picks.remade.total() == 0, "it was killed before it began"
    picks.retried(CLEAN.memory, kept(2))
    assert picks.remade == {"boat": 1}
    assert picks.rejected == set()


def test_a_result_that_is_kept_before_it_is_submitted_again_has_no_leave_any_more() -> None:
    picks, waits = Picks(), replace(CLEAN.memory, states={"boat": "pending"})
    picks.reject(["boat"])
    picks.retried(CLEAN.memory, waits)
    assert picks.may_keep(waits) == ["boat"]
    picks.keep("boat", waits)
    assert picks.remade.total() == 0
    assert picks.may_keep(waits) == []


def test_a_retry_may_end_well_while_other_jobs_wait() -> None:
    memory = Memory({"boat": "done", "clip": "pending"})
    assert list(after_a_run(0, memory, {"boat"})) == []
    assert rules(after_a_run(0, memory)) == [Rule.EXIT_CODE]
    assert rules(after_a_run(0, memory, {"clip"})) == [Rule.EXIT_CODE]
