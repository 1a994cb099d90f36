"""Every outcome and what it leads to."""

from __future__ import annotations

from dataclasses import replace

import pytest

from batchgen.downloads.allowed_hosts import HostNotAllowed
from batchgen.downloads.outcomes import (
    Corrupt,
    Fetched,
    FetchOutcome,
    Interrupted,
    TooHeavy,
    TooLarge,
    UrlExpired,
    VerifiedFile,
)
from batchgen.engine.decisions import (
    FILES_PATIENCE,
    Deliver,
    End,
    Inconclusive,
    KeepPolling,
    Observation,
    PollOutcome,
    RequestFacts,
    SetAside,
    StopRun,
    TurnBack,
    Withheld,
    after_result,
    after_submit,
    cancelled_in_time,
    combined,
    is_inconclusive,
    timed_out,
)
from batchgen.engine.fetch_decisions import (
    CORRUPT_TRIES,
    FETCH_PATIENCE,
    FETCH_TRIES,
    FetchAgain,
    FetchDecision,
    FetchFacts,
    GiveUp,
    Keep,
    RenewUrl,
    after_fetch,
)
from batchgen.jobs import JobState
from batchgen.pauses import AGAIN, PauseReason, pause_for
from batchgen.runcomfy.outcomes import (
    Accepted,
    Cancelled,
    Ended,
    Failed,
    Gateway,
    Halted,
    Missing,
    NoAnswer,
    NotReady,
    NotSent,
    Queued,
    Refused,
    ResultOutcome,
    Running,
    Scope,
    StatusOutcome,
    SubmitOutcome,
    Succeeded,
    Throttled,
    Unclear,
    UnrecognizedState,
)

FACTS = RequestFacts(age=100.0, grace=60.0, missing_in_a_row=0, failures=0, retries=0)
ACCOUNT = (
    PauseReason.TOKEN_REFUSED,
    PauseReason.NO_BALANCE,
    PauseReason.REDIRECTED,
    PauseReason.BAD_CERTIFICATE,
)
REFUSED = Halted(PauseReason.TOKEN_REFUSED, "401")
FILE = VerifiedFile("files/a.png", 9, "ab" * 32, "image/png", 8, 8, None, 1)


@pytest.mark.parametrize(
    ("outcome", "observation"),
    [
        (Queued(3), Observation.WAITING),
        (Queued(None), Observation.WAITING),
        (Queued(-1), Observation.WAITING),
        (Running(), Observation.RUNNING),
        (UnrecognizedState("dreaming"), Observation.UNKNOWN_STATE),
        (NoAnswer("502"), Observation.NO_CONTACT),
        (Gateway(403, "HTML"), Observation.NO_CONTACT),
        (NotReady("400005"), Observation.NOT_READY),
        (Throttled(3.0, "slow"), Observation.SLOW_DOWN),
        (Missing("404"), Observation.NOT_THERE),
    ],
)
def test_what_has_not_ended_is_asked_again(
    outcome: ResultOutcome, observation: Observation
) -> None:
    """Rows 33, 34, 39."""
    decision = after_result(outcome, FACTS)
    assert isinstance(decision, KeepPolling)
    assert decision.observation is observation


def test_a_request_is_lost_when_it_is_missing_twice_after_the_grace_period() -> None:
    """Rows 34, 35."""
    twice = replace(FACTS, missing_in_a_row=1)
    young = replace(twice, age=59.0)
    assert isinstance(after_result(Missing("404"), young), KeepPolling)
    end = after_result(Missing("404"), twice)
    assert isinstance(end, End)
    assert end.ending.state is JobState.LOST
    assert "no longer knows" in end.ending.reason


@pytest.mark.parametrize(
    ("result", "status", "both"),
    [
        (NotReady("400005"), Running(), Running()),
        (NotReady("400005"), Ended(), NotReady("400005")),
        (NotReady("400005"), Gateway(403, "HTML"), NotReady("400005")),
        (NotReady("400005"), Missing("404"), NotReady("400005")),
        (NotReady("400005"), Throttled(3.0, "slow"), Throttled(3.0, "slow")),
        (NotReady("403"), Failed("x", "y", None, ""), Failed("x", "y", None, "")),
        (Missing("404"), Missing("404"), Missing("404")),
        (Missing("404"), Queued(1), Queued(1)),
        (Missing("404"), Ended(), NotReady("404")),
        (Missing("404"), NoAnswer("502"), NotReady("404")),
        (Gateway(409, "HTML"), Cancelled(None, ""), Cancelled(None, "")),
        (Gateway(409, "HTML"), Gateway(409, "HTML"), NoAnswer("HTML")),
        (Gateway(409, "HTML"), Missing("404"), NotReady("HTML")),
        (REFUSED, REFUSED, REFUSED),
        (REFUSED, Running(), Running()),
        (REFUSED, NoAnswer("502"), NoAnswer("401")),
        (REFUSED, Ended(), Withheld(PauseReason.TOKEN_REFUSED, "401")),
    ],
)
def test_the_status_says_what_the_result_does_not_and_only_both_end_a_request(
    result: Inconclusive, status: StatusOutcome, both: PollOutcome
) -> None:
    assert is_inconclusive(result)
    assert combined(result, status) == both


@pytest.mark.parametrize(
    "outcome",
    [
        Queued(1),
        Running(),
        Succeeded((), None, ""),
        NoAnswer("502"),
        Throttled(None, "429"),
        Halted(PauseReason.BAD_CERTIFICATE, "expired"),
    ],
)
def test_the_status_is_not_asked_for_where_the_result_is_clear(outcome: ResultOutcome) -> None:
    assert not is_inconclusive(outcome)


@pytest.mark.parametrize(
    ("failures", "retries", "again"), [(0, 0, False), (0, 1, True), (1, 1, False), (2, 3, True)]
)
def test_a_failed_request_is_tried_again_as_often_as_retries_allows(
    failures: int, retries: int, again: bool
) -> None:
    """Row 29."""
    facts = replace(FACTS, failures=failures, retries=retries)
    end = after_result(Failed("oops", "the vendor's words", 0.05, "{}"), facts)
    assert isinstance(end, End)
    assert end.ending.again is again
    assert (end.ending.reason, end.ending.cost) == ("the vendor's words", 0.05)


def test_success_delivers_and_success_without_files_is_a_paid_failure() -> None:
    """Row 37."""
    assert after_result(Succeeded(("u",), 0.1, "{}"), FACTS) == Deliver(("u",), 0.1, "{}")
    empty = Succeeded((), 0.1, "{}")
    for facts in (FACTS, replace(FACTS, empty_for=FILES_PATIENCE - 1)):
        decision = after_result(empty, replace(facts, retries=5))
        assert decision == KeepPolling(Observation.NO_FILES)
    for facts in (replace(FACTS, was_empty=True), replace(FACTS, empty_for=FILES_PATIENCE)):
        aside = after_result(empty, replace(facts, retries=5))
        assert isinstance(aside, SetAside)
        assert (aside.code, aside.cost) == ("no_files", 0.1)
        end = after_result(empty, replace(facts, again_asked=True))
        assert isinstance(end, End)
        assert (end.ending.code, end.ending.cost, end.ending.again) == ("no_files", 0.1, True)


def test_what_fails_for_lack_of_money_goes_again_and_pauses_the_run() -> None:
    broke = Failed("400002", "top up", None, "{}", no_balance=True)
    end = after_result(broke, FACTS)
    assert isinstance(end, End)
    assert (end.ending.again, end.ending.blameless, end.ending.cost) == (True, True, 0.0)
    assert end.pause is not None
    assert end.pause.reason is PauseReason.NO_BALANCE
    assert not end.pause.lets_go
    paid = after_result(replace(broke, cost=0.05), FACTS)
    assert isinstance(paid, End)
    assert (paid.ending.again, paid.ending.blameless) == (False, False)


def test_a_failure_that_only_an_unknown_state_reports_is_not_paid_again_unasked() -> None:
    odd = Failed("", "worker gone", None, "{}", unknown_state="aborted")
    end = after_result(odd, replace(FACTS, retries=5))
    assert isinstance(end, End)
    assert (end.ending.again, end.unknown_state) == (False, "aborted")


def test_a_cancelled_request_ends_its_job() -> None:
    end = after_result(Cancelled(None, "{}"), replace(FACTS, retries=5))
    assert isinstance(end, End)
    assert (end.ending.state, end.ending.again) == (JobState.CANCELLED, False)


@pytest.mark.parametrize("cause", ACCOUNT)
def test_trouble_of_the_account_stops_the_run_with_a_way_out(cause: PauseReason) -> None:
    decision = after_result(Halted(cause, "said so"), FACTS)
    assert isinstance(decision, StopRun)
    assert decision.pause.lets_go
    assert decision.pause.reason is cause
    assert "(said so)" in decision.pause.sentence
    assert AGAIN in decision.pause.next_step
    assert not pause_for(cause, reason="").lets_go


@pytest.mark.parametrize(
    ("outcome", "tries", "decision"),
    [
        (Fetched(FILE), 1, Keep(Fetched(FILE))),
        (HostNotAllowed("h", "no"), 1, GiveUp("host_not_allowed", "no")),
        (TooLarge(7), 1, GiveUp("too_large", "the file has 7 bytes or more, over the cap")),
        (Corrupt("half"), 1, FetchAgain("half")),
        (Corrupt("half"), CORRUPT_TRIES - 1, RenewUrl("half")),
        (Corrupt("half"), CORRUPT_TRIES, GiveUp("corrupt", "half")),
        (TooHeavy("huge"), 1, FetchAgain("huge")),
        (TooHeavy("huge"), CORRUPT_TRIES, GiveUp("too_heavy", "huge")),
        (UrlExpired(403, "gone"), FETCH_TRIES - 1, RenewUrl("gone")),
        (UrlExpired(403, "gone"), FETCH_TRIES, GiveUp("url_expired", "gone")),
        (Interrupted("reset"), 100, FetchAgain("reset")),
        (Interrupted("busy", 30.0), 1, FetchAgain("busy", 30.0)),
        (Interrupted("busy", 1e9), 1, FetchAgain("busy", FETCH_PATIENCE)),
        (Interrupted("refused", unreached=True), 1, RenewUrl("refused")),
    ],
)
def test_a_download_is_kept_tried_again_renewed_or_given_up(
    outcome: FetchOutcome, tries: int, decision: FetchDecision
) -> None:
    """Rows 40, 42, 48, 49."""
    assert after_fetch(outcome, FetchFacts(tries)) == decision


@pytest.mark.parametrize(
    "facts",
    [
        FetchFacts(FETCH_TRIES, lasted=FETCH_PATIENCE),
        FetchFacts(1, down=FETCH_PATIENCE),
    ],
)
def test_a_file_is_given_up_after_a_quarter_of_an_hour_and_only_with_the_url_of_today(
    facts: FetchFacts,
) -> None:
    reset = Interrupted("reset")
    assert after_fetch(reset, facts) == RenewUrl("reset")
    assert after_fetch(reset, replace(facts, asked=FETCH_PATIENCE)) == RenewUrl("reset")
    assert after_fetch(reset, replace(facts, asked=1.0)) == GiveUp("unreachable", "reset")


def test_few_tries_of_a_file_that_comes_slowly_are_no_reason_to_give_it_up() -> None:
    facts = FetchFacts(FETCH_TRIES - 1, lasted=9 * FETCH_PATIENCE, asked=1.0)
    assert after_fetch(Interrupted("broke off"), facts) == FetchAgain("broke off")


def test_a_host_that_is_not_reached_is_no_reason_to_ask_for_the_url_each_time() -> None:
    refused = Interrupted("refused", unreached=True)
    assert after_fetch(refused, FetchFacts(2, asked=5.0)) == FetchAgain("refused")


@pytest.mark.parametrize(
    ("outcome", "decision"),
    [
        (NotSent("no connection"), TurnBack("not_sent", "no connection")),
        (Throttled(3.0, "slow"), TurnBack("throttled", "slow")),
        (Gateway(403, "HTML"), TurnBack("halted", "HTML", later=True)),
    ],
)
def test_what_was_not_charged_is_turned_back(outcome: SubmitOutcome, decision: TurnBack) -> None:
    assert after_submit(outcome) == decision


@pytest.mark.parametrize(
    ("cause", "lets_go"), [(PauseReason.TOKEN_REFUSED, True), (PauseReason.NO_BALANCE, False)]
)
def test_a_halt_turns_the_job_back_and_pauses(cause: PauseReason, *, lets_go: bool) -> None:
    decision = after_submit(Halted(cause, "why"))
    assert isinstance(decision, TurnBack)
    assert decision.pause is not None
    assert (decision.pause.reason, decision.pause.lets_go) == (cause, lets_go)


@pytest.mark.parametrize(
    "outcome", [Accepted("r1", "{}"), Refused(Scope.JOB, "422", "no"), Unclear("reset")]
)
def test_what_may_be_charged_or_is_refused_is_never_turned_back(outcome: SubmitOutcome) -> None:
    assert after_submit(outcome) is outcome


@pytest.mark.parametrize(
    ("retries", "again_asked", "again"), [(0, False, False), (1, False, True), (0, True, True)]
)
def test_a_request_that_was_cancelled_in_time_is_free_and_may_go_again(
    retries: int, *, again_asked: bool, again: bool
) -> None:
    facts = replace(FACTS, failures=0, retries=retries, again_asked=again_asked)
    ending = cancelled_in_time(Cancelled(None, "{}"), facts, 60.0)
    assert (ending.code, ending.cost, ending.again) == ("timeout", 0.0, again)


def test_a_request_that_timed_out_stays_open_and_names_the_last_answer() -> None:
    aside = timed_out(60.0, "HTTP 403: not yours")
    assert (aside.code, aside.cost) == ("timeout", None)
    assert aside.reason.startswith("not ended after 60 s; all that the vendor says of it: HTTP 403")
