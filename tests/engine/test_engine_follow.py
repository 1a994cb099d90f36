"""Requests in flight: time-outs, retries, odd answers, cancels, and those of an earlier run."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from itertools import pairwise

import pytest

from batchgen.engine.events import Noted, PauseReason
from batchgen.jobs import JobState
from batchgen.runcomfy.outcomes import (
    Cancelled,
    CancelOutcome,
    Failed,
    Gateway,
    Halted,
    Missing,
    NoAnswer,
    NotReady,
    Queued,
    ResultOutcome,
    Running,
    StatusOutcome,
    Succeeded,
    Throttled,
    UnrecognizedState,
)
from batchgen.state import manual_actions
from batchgen.state.database import open_for_writing
from batchgen.state.queries import Selection
from tests.engine.judge import judge
from tests.engine.simulated_vendor import PRICE, Course, Line, Request
from tests.engine.simulation import Process, World, one_model, with_habits, with_policy


@pytest.mark.parametrize("retries", [0, 1, 3])
def test_a_failed_request_is_paid_again_exactly_as_often_as_allowed(
    world: World, retries: int
) -> None:
    """Row 29."""
    with_policy(world, retries=retries)
    one_model(world, 5)
    with_habits(world, course=lambda *_: Course(end=JobState.FAILED))
    world.live()
    world.live()
    judge(world)
    assert Counter(job for _, _, job in world.vendor.posts) == dict.fromkeys(
        world.states(), 1 + retries
    )
    assert set(world.states().values()) == {"failed"}


def test_a_request_that_waits_too_long_is_cancelled_for_free_and_tried_again(world: World) -> None:
    with_policy(world, timeout=100.0, retries=1)
    one_model(world, 1)
    with_habits(world, course=lambda *_: Course(queued=1000.0))
    world.live()
    judge(world)
    assert len(world.vendor.ledger) == 2
    assert all(request.cancelled_at < 250 for request in world.vendor.ledger.values())
    assert world.query("SELECT outcome, cost FROM attempt") == [("failed", 0.0)] * 2
    assert world.error("a000") == "timeout"


def test_a_request_that_runs_too_long_is_asked_again_by_the_next_run_without_paying(
    world: World,
) -> None:
    with_policy(world, timeout=100.0, retries=3)
    one_model(world, 1)
    with_habits(world, course=lambda *_: Course(runs=400.0))
    world.live()
    assert 100 < world.now < 130
    assert world.states() == {"a000": "failed"}
    assert world.query("SELECT outcome FROM attempt") == [(None,)]
    world.now = 500.0
    world.live()
    judge(world)
    assert world.states() == {"a000": "done"}
    assert len(world.vendor.posts) == 1


@pytest.mark.parametrize("earlier", ["queued", "failed"])
def test_requests_of_an_earlier_run_do_not_fail_for_a_line_that_is_down(
    world: World, earlier: str
) -> None:
    """In the morning the network may be up later than the run."""
    with_policy(world, timeout=100.0)
    one_model(world, 3)
    with_habits(world, course=lambda *_: Course(runs=400.0))
    if earlier == "queued":
        world.crash(after=10.0)
    else:
        world.live()
    assert set(world.states().values()) <= {earlier, "running"}
    began = world.now = 500.0
    down = NoAnswer("cannot connect")
    with_habits(world, result=lambda _request: down, status=lambda _request: down)
    end = world.live()
    assert end.pause is not None
    assert end.pause.reason is PauseReason.UNREACHABLE
    assert set(world.states().values()) <= {"queued", "running"}
    assert world.now - began < 120
    with_habits(world)
    world.live()
    judge(world)
    assert set(world.states().values()) == {"done"}
    assert len(world.vendor.posts) == 3


def test_a_request_that_ends_just_before_its_time_is_up_is_kept(world: World) -> None:
    """Row 38."""
    with_policy(world, timeout=100.0)
    one_model(world, 1)

    def result(request: Request) -> ResultOutcome | None:
        asked_to_cancel = request.left
        return None if asked_to_cancel else Running()

    with_habits(world, course=lambda *_: Course(runs=50.0), result=result)
    world.live()
    assert world.states() == {"a000": "done"}


def test_requests_of_an_earlier_run_are_asked_at_once_and_hold_their_places(world: World) -> None:
    with_policy(world, concurrency=4)
    one_model(world, 12)
    with_habits(world, course=lambda *_: Course(runs=100.0))
    world.crash(after=30.0)
    began = world.now = 70.0
    world.live()
    judge(world)
    earlier = list(world.vendor.ledger.values())[:4]
    for request in earlier:
        assert min(at for at in request.polls if at > began) < began + 0.1
    assert [at for at, _, _ in world.vendor.posts][4] >= 100.0
    assert world.vendor.peak["all"] == 4


def test_a_request_that_is_not_there_yet_is_given_its_time(world: World) -> None:
    """Row 34."""
    one_model(world, 3)
    with_habits(world, course=lambda *_: Course(runs=60.0, hidden=40.0))
    world.live()
    assert set(world.states().values()) == {"done"}


def test_a_request_that_vanished_is_lost_and_stays_counted_as_spent(world: World) -> None:
    """Row 35."""
    with_policy(world, retries=5)
    one_model(world, 1)
    gone = Missing("404")
    with_habits(world, result=lambda _request: gone, status=lambda _request: gone)
    world.live()
    assert world.states() == {"a000": "lost"}
    assert len(world.vendor.posts) == 1
    assert world.now > 60


def test_odd_answers_are_no_end_and_are_noted_once(world: World) -> None:
    """Rows 32, 33."""
    one_model(world, 1)
    answers: list[ResultOutcome] = [
        Running(),
        Queued(4),
        UnrecognizedState("dreaming"),
        NoAnswer("502"),
        Queued(-1),
    ]

    def result(request: Request) -> ResultOutcome | None:
        return answers[len(request.polls) - 1] if len(request.polls) <= len(answers) else None

    with_habits(world, result=result, course=lambda *_: Course(runs=20.0))
    world.live()
    assert world.states() == {"a000": "done"}
    notes = [note.text for _, note in world.lives[0].emitted(Noted)]
    assert notes == [
        "the vendor says queued after running; ignored",
        "the vendor calls the request of a000 'dreaming', an unknown state: still asking",
    ]


def test_a_throttled_poll_waits_as_asked(world: World) -> None:
    one_model(world, 1)
    with_habits(
        world,
        result=lambda request: Throttled(40.0, "429") if len(request.polls) == 1 else None,
    )
    world.live()
    (request,) = world.vendor.ledger.values()
    assert request.polls[1] - request.polls[0] >= 40.0
    assert world.states() == {"a000": "done"}


def test_a_live_request_is_cancelled_on_demand(world: World) -> None:
    one_model(world, 2)
    with_habits(world, course=lambda _model, job: Course(queued=500.0 if job == "a000" else 1.0))

    async def decide(process: Process) -> None:
        await asyncio.sleep(10.0)
        await process.scheduler.cancel(1)

    world.live(decide)
    judge(world)
    assert world.states() == {"a000": "cancelled", "a001": "done"}
    assert Noted("cancel asked for: cancelled", "a000") in [
        note for _, note in world.lives[0].emitted(Noted)
    ]


def test_a_cancel_that_comes_too_late_changes_nothing(world: World) -> None:
    """Row 38."""
    one_model(world, 1)

    async def decide(process: Process) -> None:
        await asyncio.sleep(2.0)
        await process.scheduler.cancel(1)

    world.live(decide)
    assert world.states() == {"a000": "done"}


def test_known_durations_save_polls(world: World) -> None:
    with_policy(world, concurrency=2)
    one_model(world, 40)
    with_habits(world, course=lambda *_: Course(runs=90.0))
    world.live()
    polls = [len(request.polls) for request in world.vendor.ledger.values()]
    assert sum(polls[:2]) > sum(polls[-2:])
    assert max(polls[4:]) <= 5


DEAR = 10 * PRICE
SHORT_OF_AN_END = [
    NotReady("HTTP 400: 400005"),
    NotReady("HTTP 403: not yours"),
    Gateway(403, "HTTP 403: an HTML page instead of JSON"),
    Gateway(409, "HTTP 409: an empty answer"),
    Missing("HTTP 404"),
    Halted(PauseReason.TOKEN_REFUSED, "401"),
]


def until_ended(word: ResultOutcome) -> Callable[[Request], ResultOutcome | None]:
    return lambda request: word if asyncio.get_running_loop().time() < request.ends else None


@pytest.mark.parametrize("word", SHORT_OF_AN_END)
def test_a_request_that_is_not_ready_holds_its_place_until_it_has_ended(
    world: World, word: ResultOutcome
) -> None:
    with_policy(world, concurrency=2)
    one_model(world, 40)
    course = Course(queued=20.0, runs=100.0)
    with_habits(world, course=lambda *_: course, result=until_ended(word))
    assert world.live().pause is None
    judge(world)
    assert world.vendor.peak["all"] == 2
    assert set(world.states().values()) == {"done"}
    assert len(world.vendor.posts) == 40


def test_a_bad_end_that_only_the_status_reports_is_an_end(world: World) -> None:
    one_model(world, 2)
    ends = {"a000": JobState.FAILED, "a001": JobState.CANCELLED}
    with_habits(
        world,
        course=lambda _model, job: Course(end=ends[job]),
        result=lambda _request: NotReady("400005"),
    )
    world.live()
    judge(world)
    assert world.states() == {"a000": "failed", "a001": "cancelled"}
    assert world.now < 60


def test_a_status_of_cancelled_does_not_give_up_files_that_came_meanwhile(
    world: World,
) -> None:
    one_model(world, 1)
    with_habits(
        world,
        result=lambda request: NotReady("400005") if len(request.polls) == 1 else None,
        status=lambda _request: Cancelled(None, "{}"),
        course=lambda *_: Course(queued=0.0, runs=0.0),
    )
    world.live()
    assert world.states() == {"a000": "done"}


def test_an_inconclusive_request_is_set_aside_at_its_timeout_with_the_last_answer(
    world: World,
) -> None:
    with_policy(world, timeout=200.0, retries=3)
    one_model(world, 1)
    with_habits(world, result=lambda _request: NotReady("HTTP 403: not yours"))
    world.live()
    assert world.error("a000") == "timeout"
    ((words,),) = world.query("SELECT error FROM job")
    assert "HTTP 403: not yours" in words
    with_habits(world)
    world.live()
    judge(world)
    assert world.states() == {"a000": "done"}
    assert len(world.vendor.posts) == 1


def test_a_refused_token_is_believed_once_both_calls_agree(world: World) -> None:
    one_model(world, 2)
    refused = Halted(PauseReason.TOKEN_REFUSED, "401")
    with_habits(world, result=lambda _request: refused, status=lambda _request: refused)
    end = world.live()
    assert end.pause is not None
    assert end.pause.reason is PauseReason.TOKEN_REFUSED


def test_a_result_that_is_withheld_after_the_end_is_asked_for_a_while_before_the_run_pauses(
    world: World,
) -> None:
    with_policy(world, timeout=900.0)
    one_model(world, 3)
    broke = Halted(PauseReason.NO_BALANCE, "402")
    with_habits(world, result=lambda _request: broke)
    end = world.live()
    assert end.pause is not None
    assert end.pause.reason is PauseReason.NO_BALANCE
    assert 60.0 < world.now < 150.0
    with_habits(world)
    assert world.live().pause is None
    judge(world)
    assert set(world.states().values()) == {"done"}
    assert len(world.vendor.posts) == 3


def test_a_result_that_is_withheld_for_a_moment_pauses_nothing(world: World) -> None:
    one_model(world, 1)
    refused = Halted(PauseReason.TOKEN_REFUSED, "401")
    with_habits(world, result=lambda request: refused if len(request.polls) < 8 else None)
    assert world.live().pause is None
    assert world.states() == {"a000": "done"}


def late(seconds: float) -> Callable[[str, str], Course]:
    return lambda _model, _job: Course(files_after=seconds)


def test_files_that_follow_a_success_are_waited_for_with_growing_gaps(world: World) -> None:
    one_model(world, 3)
    with_habits(world, course=late(200.0))
    world.live()
    judge(world)
    assert set(world.states().values()) == {"done"}
    for request in world.vendor.ledger.values():
        polls = [at for at in request.polls if at >= request.ends]
        assert len(polls) < 14
        gaps = [later - earlier for earlier, later in pairwise(polls)]
        assert max(gaps) <= 61


def test_a_success_without_files_is_asked_once_by_each_run_and_never_paid_again_by_itself(
    world: World,
) -> None:
    with_policy(world, retries=3)
    one_model(world, 1)
    with_habits(world, course=late(5000.0))
    world.live()
    assert world.states() == {"a000": "failed"}
    assert world.error("a000") == "no_files"
    assert 300 <= world.now <= 400
    (request,) = world.vendor.ledger.values()
    for _ in range(2):
        before = len(request.polls)
        world.live()
        assert world.states() == {"a000": "failed"}
        assert len(request.polls) == before + 1
    world.now = 6000.0
    world.live()
    judge(world)
    assert world.states() == {"a000": "done"}
    assert len(world.vendor.posts) == 1


@pytest.mark.parametrize(
    "word",
    [NotReady("HTTP 409: conflict"), Gateway(403, "HTTP 403: a page"), Throttled(1.0, "429")],
)
def test_a_success_without_files_that_has_become_inconclusive_does_not_hold_the_run(
    world: World, word: ResultOutcome
) -> None:
    """Of another job the API goes on telling, so no outage ends the run."""
    with_policy(world, retries=3, timeout=900.0)
    one_model(world, 2)

    def result(request: Request) -> ResultOutcome | None:
        if request.job != "a000" or asyncio.get_running_loop().time() < request.ends:
            return None
        request.results_given += 1
        return Succeeded((), PRICE, "{}") if request.results_given == 1 else word

    with_habits(world, result=result, status=lambda _request: word)
    world.live()
    assert world.states() == {"a000": "failed", "a001": "done"}
    assert world.error("a000") == "no_files"
    assert world.now < 900
    with_habits(world)
    world.live()
    judge(world)
    assert set(world.states().values()) == {"done"}
    assert len(world.vendor.posts) == 2


def test_what_is_known_of_a_success_without_files_outlives_a_run_without_answers(
    world: World,
) -> None:
    with_policy(world, timeout=900.0)
    one_model(world, 1)
    with_habits(world, course=late(5000.0))
    world.live()
    assert world.query("SELECT cost, result FROM attempt") == [(PRICE, "{}")]
    world.now = 2000.0
    with_habits(world, result=lambda _request: NotReady("HTTP 403: not yours"))
    world.live()
    assert world.error("a000") == "timeout"
    assert world.query("SELECT cost, result FROM attempt") == [(PRICE, "{}")]


def test_a_retry_goes_again_where_the_slow_request_could_be_cancelled_for_free(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_policy(world, timeout=100.0)
    one_model(world, 1)
    courses = iter((Course(queued=1000.0), Course()))
    with_habits(world, course=lambda *_: next(courses))

    async def unanswered(_line: Line, _request_id: str) -> CancelOutcome:
        return CancelOutcome.UNANSWERED

    with monkeypatch.context() as patch:
        patch.setattr(Line, "cancel", unanswered)
        world.live()
    assert world.error("a000") == "timeout"
    retried(world)
    world.live()
    assert world.states() == {"a000": "done"}
    assert len(world.vendor.posts) == 2
    assert world.query("SELECT cost FROM attempt ORDER BY number") == [(0.0,), (PRICE,)]


def retried(world: World) -> None:
    again = manual_actions.may_go_again()
    with closing(open_for_writing(world.state)) as db:
        assert manual_actions.retry_selected(db, Selection(), again) == 1


def test_a_retry_takes_files_that_came_meanwhile_and_pays_nothing(world: World) -> None:
    one_model(world, 1)
    with_habits(world, course=late(1000.0))
    world.live()
    world.now = 2000.0
    retried(world)
    world.live()
    judge(world)
    assert world.states() == {"a000": "done"}
    assert len(world.vendor.posts) == 1


def test_a_retry_pays_again_once_the_old_request_has_ended_without_files(world: World) -> None:
    one_model(world, 1)
    courses = iter((Course(files=0), Course()))
    with_habits(world, course=lambda *_: next(courses))
    world.live()
    assert world.error("a000") == "no_files"
    retried(world)
    world.live()
    assert world.states() == {"a000": "done"}
    assert len(world.vendor.posts) == 2
    assert world.query("SELECT outcome FROM attempt ORDER BY number") == [
        ("failed",),
        ("succeeded",),
    ]


@pytest.mark.parametrize("decide", ["retry", "resubmit"])
def test_a_request_that_was_too_slow_is_asked_first_and_then_paid_again(
    world: World, decide: str
) -> None:
    with_policy(world, timeout=100.0)
    one_model(world, 1)
    courses = iter((Course(runs=1000.0, end=JobState.FAILED), Course()))
    with_habits(world, course=lambda *_: next(courses))
    world.live()
    assert world.error("a000") == "timeout"
    at = () if decide == "retry" else (0.0,)
    # Still at work: asked, not paid.
    world.change(getattr(manual_actions, decide), "a000", *at)
    world.live()
    assert (world.error("a000"), len(world.vendor.posts)) == ("timeout", 1)
    world.now = 2000.0
    world.change(getattr(manual_actions, decide), "a000", *at)
    world.live()
    assert world.states() == {"a000": "done"}
    assert len(world.vendor.posts) == 2


def test_a_lost_request_is_paid_again_by_a_resubmit_alone_and_asked_first(world: World) -> None:
    one_model(world, 1)
    gone = Missing("404")
    lost = {"result": lambda _request: gone, "status": lambda _request: gone}
    with_habits(world, **lost)
    world.live()
    world.change(manual_actions.retry, "a000")
    world.live()
    assert (world.states(), len(world.vendor.posts)) == ({"a000": "lost"}, 1)
    world.change(manual_actions.resubmit, "a000", 0.0)
    with_habits(world)
    world.live()
    assert (world.states(), len(world.vendor.posts)) == ({"a000": "done"}, 1)


def test_a_lost_request_that_stays_lost_is_resubmitted_where_a_person_decides_so(
    world: World,
) -> None:
    one_model(world, 1)

    def gone(request: Request) -> StatusOutcome | None:
        return Missing("404") if request.id == "r00000" else None

    with_habits(world, result=gone, status=gone)
    world.live()
    world.change(manual_actions.resubmit, "a000", 0.0)
    world.live()
    assert (world.states(), len(world.vendor.posts)) == ({"a000": "done"}, 2)


def test_a_request_that_failed_for_lack_of_money_goes_again_after_the_pause(world: World) -> None:
    with_policy(world, concurrency=2, budget=1.0)
    one_model(world, 6)
    broke = Failed("400002", "top up", None, "{}", no_balance=True)

    def result(request: Request) -> ResultOutcome | None:
        return broke if request.id == "r00001" else None

    with_habits(world, result=result)
    end = world.live()
    assert end.pause is not None
    assert end.pause.reason is PauseReason.NO_BALANCE
    assert "failed" not in world.states().values()
    assert world.query("SELECT failures FROM job WHERE id = 'a001'") == [(0,)]
    with_habits(world)
    world.live()
    assert set(world.states().values()) == {"done"}
    assert Counter(job for _, _, job in world.vendor.posts)["a001"] == 2


def test_an_end_in_an_unknown_state_is_shown_on_the_screen_once(world: World) -> None:
    one_model(world, 3)

    def result(request: Request) -> ResultOutcome | None:
        found = world.vendor.state(request, asyncio.get_running_loop().time())
        if not isinstance(found, Succeeded):
            return found
        return Succeeded(found.urls, PRICE, "{}", unknown_state="finalized")

    with_habits(world, result=result)
    world.live()
    assert set(world.states().values()) == {"done"}
    shown = [note for _, note in world.lives[0].emitted(Noted) if note.on_screen]
    assert len(shown) == 1
    assert "'finalized'" in shown[0].text


def test_a_cost_that_follows_the_result_is_settled_in_state_and_budget(world: World) -> None:
    with_policy(world, concurrency=1, downloads=1, budget=3.5 * DEAR)
    one_model(world, 8)
    with_habits(world, course=lambda *_: Course(cost_after=1))
    world.price = DEAR
    end = world.live()
    judge(world)
    # Reserved are 3.5 prices; what was asked after each download costs a tenth of that.
    assert end.pause is None
    assert set(world.states().values()) == {"done"}
    assert world.query("SELECT DISTINCT cost FROM attempt") == [(PRICE,)]
    told = [move.cost for _, move in world.lives[0].moves(JobState.DONE) if move.code == "cost"]
    assert told == [PRICE] * 8


def test_a_cost_that_never_comes_keeps_no_job_from_being_done(world: World) -> None:
    one_model(world, 3)
    with_habits(world, course=lambda *_: Course(cost_after=99))
    assert world.live().pause is None
    judge(world)
    assert set(world.states().values()) == {"done"}
    assert world.query("SELECT DISTINCT cost FROM attempt") == [(None,)]
    assert all(request.results_given == 2 for request in world.vendor.ledger.values())
