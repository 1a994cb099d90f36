"""What the answers to submits do to jobs, to the pace, and to the run."""

from __future__ import annotations

import asyncio
import sqlite3
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from math import inf

import pytest

from batchgen.engine.events import JobMoved, ModelRefused, PauseReason, Slowed
from batchgen.jobs import Job, JobState, canonical_json
from batchgen.manifest.policy import ModelPolicy, OnUnknown
from batchgen.pauses import AGAIN
from batchgen.runcomfy.outcomes import (
    Accepted,
    Gateway,
    Halted,
    NotSent,
    Refused,
    Scope,
    Throttled,
    Unclear,
)
from batchgen.state import manual_actions, queries
from batchgen.state.database import open_for_writing
from batchgen.state.queries import Selection
from batchgen.state.reconcile import OnChanged, merge
from batchgen.state.staging import open_staging
from tests.engine.judge import judge
from tests.engine.simulated_vendor import PRICE, Course, Delivery, Reply
from tests.engine.simulation import (
    EDIT,
    EPOCH,
    I2V,
    T2I,
    Process,
    World,
    job,
    one_model,
    with_habits,
    with_policy,
)

NOT_SENT = Reply(NotSent("connection refused"), charged=False)


def first_time(reply: Reply, *jobs: str) -> Callable[[str, str], Reply]:
    """The first submit of each of the jobs, of any job where none is named, gets this reply."""
    seen: set[str] = set()

    def answer(_model: str, job: str) -> Reply:
        fresh = job not in seen and (not jobs or job in jobs)
        seen.add(job)
        return reply if fresh else Reply()

    return answer


def always(reply: Reply) -> Callable[[str, str], Reply]:
    return lambda _model, _job: reply


def until(seconds: float, reply: Reply) -> Callable[[str, str], Reply]:
    return lambda _model, _job: reply if asyncio.get_running_loop().time() < seconds else Reply()


def test_a_slow_model_does_not_starve_the_others(world: World) -> None:
    with_policy(world, concurrency=4, models={I2V: ModelPolicy(2), T2I: ModelPolicy(4)})
    world.add_jobs([*((I2V, f"v{n}") for n in range(10)), *((T2I, f"p{n}") for n in range(10))])
    slow = Course(runs=600.0)
    with_habits(world, course=lambda model, _job: slow if model == I2V else Course(runs=5.0))
    world.live()
    judge(world)
    (process,) = world.lives
    pictures = [at for at, move in process.moves(JobState.DONE) if move.model == T2I]
    assert len(pictures) == 10
    assert max(pictures) < 60


def test_a_refused_token_pauses_all_and_marks_no_job_failed(world: World) -> None:
    """Row 13."""
    one_model(world, 30)
    refused = Reply(Halted(PauseReason.TOKEN_REFUSED, "401"), charged=False)
    with_habits(world, reply=lambda _model, job: refused if job == "a010" else Reply())
    end = world.live()
    assert end.pause is not None
    assert end.pause.reason is PauseReason.TOKEN_REFUSED
    assert "failed" not in world.states().values()
    posts = len(world.vendor.posts)
    with_habits(world)
    assert world.live().pause is None
    judge(world)
    assert set(world.states().values()) == {"done"}
    assert len(world.vendor.posts) > posts


def test_no_balance_pauses_and_follows_what_is_in_flight(world: World) -> None:
    """Row 15."""
    with_policy(world, concurrency=4)
    one_model(world, 20)
    broke = Reply(Halted(PauseReason.NO_BALANCE, "402"), charged=False)
    with_habits(world, reply=lambda _model, job: broke if job >= "a003" else Reply())
    end = world.live()
    assert end.pause is not None
    assert end.pause.reason is PauseReason.NO_BALANCE
    assert Counter(world.states().values()) == {"done": 3, "pending": 17}


def test_a_forbidden_model_fails_its_own_jobs_only(world: World) -> None:
    """Row 14."""
    world.add_jobs((model, f"{model[-4:]}{n}") for n in range(250) for model in (EDIT, T2I))
    no = Reply(Refused(Scope.MODEL, "403001", "not open to you"), charged=False)
    with_habits(world, reply=lambda model, _job: no if model == EDIT else Reply())
    assert world.live().pause is None
    judge(world)
    ends = Counter(world.query("SELECT model, state FROM job"))
    assert ends == {(EDIT, "failed"): 250, (T2I, "done"): 250}
    ((_, refusal),) = world.lives[0].emitted(ModelRefused)
    assert refusal.jobs >= 240
    assert sum(model == EDIT for _, model, _ in world.vendor.posts) <= 8


def test_retry_after_is_obeyed_to_the_second_and_then_one_goes_alone(world: World) -> None:
    """Row 30."""
    with_policy(world, concurrency=8)
    one_model(world, 40)
    with_habits(world, reply=until(10.0, Reply(Throttled(37.0, "429"), charged=False)))
    assert world.live().pause is None
    judge(world)
    times = [at for at, _, _ in world.vendor.posts]
    assert times[:8] == [0.0] * 8
    assert times[8] == pytest.approx(37.1)
    assert times[9] > 37.19, "one goes alone, until the vendor has accepted it"
    assert max(Counter(times[8:]).values()) <= 4
    ((_, slowed),) = world.lives[0].emitted(Slowed)
    assert slowed.seconds == 37.0


def test_of_two_429_the_longer_wait_is_obeyed(world: World) -> None:
    with_policy(world, concurrency=2)
    one_model(world, 2)
    waits = {"a000": 5.0, "a001": 50.0}
    with_habits(
        world,
        reply=lambda _model, job: Reply(
            Throttled(waits.pop(job), "429") if job in waits else None,
            takes=0.1 if job == "a000" else 0.2,
            charged=job not in waits,
        ),
    )
    world.live()
    assert [at for at, _, _ in world.vendor.posts][2] == pytest.approx(50.2)


@pytest.mark.parametrize("retry_after", [None, 0.0, 20.0])
def test_endless_429_slow_down_and_then_pause(world: World, retry_after: float | None) -> None:
    """Row 31."""
    one_model(world, 50)
    with_habits(world, reply=always(Reply(Throttled(retry_after, "429"), charged=False)))
    end = world.live()
    assert end.pause is not None
    assert end.pause.reason is PauseReason.THROTTLED
    assert set(world.states().values()) == {"pending"}
    assert len(world.vendor.posts) < 80
    assert 900 <= world.now < 1000


def test_a_vendor_that_throttles_for_ten_minutes_does_not_end_the_night(world: World) -> None:
    one_model(world, 50)

    def reply(_model: str, _job: str) -> Reply:
        busy = 10 < asyncio.get_running_loop().time() < 610
        return Reply(Throttled(1.0, "429"), charged=False) if busy else Reply()

    with_habits(world, reply=reply)
    assert world.live().pause is None
    judge(world)
    assert set(world.states().values()) == {"done"}
    refused = [at for at, _, _ in world.vendor.posts if 10 < at < 610]
    assert len(refused) < 40


def test_what_the_vendor_took_while_it_throttled_is_known_afterwards(world: World) -> None:
    """Two at once, 10 s each: one every 5 s, and somewhat less as the run feels its way."""
    with_policy(world, concurrency=8)
    one_model(world, 60)

    def reply(_model: str, _job: str) -> Reply:
        busy = world.vendor.in_flight(asyncio.get_running_loop().time()).total()
        return Reply(Throttled(None, "429"), charged=False) if busy >= 2 else Reply()

    with_habits(world, reply=reply, course=lambda *_: Course(queued=0.0, runs=10.0))
    assert world.live().pause is None
    judge(world)
    with closing(sqlite3.connect(world.state)) as db:
        pace = queries.throttled_pace(db, T2I)
        assert queries.throttled_pace(db, EDIT) is None
    assert pace is not None
    assert 4.0 < pace < 9.0


def test_one_429_sets_no_pace(world: World) -> None:
    one_model(world, 20)
    with_habits(world, reply=first_time(Reply(Throttled(1.0, "429"), charged=False), "a003"))
    world.live()
    with closing(sqlite3.connect(world.state)) as db:
        assert queries.throttled_pace(db, T2I) is None


def test_an_api_that_was_never_reached_is_given_up_after_some_seconds(world: World) -> None:
    """Row 19."""
    one_model(world, 50)
    with_habits(world, reply=always(NOT_SENT))
    end = world.live()
    assert end.pause is not None
    assert end.pause.reason is PauseReason.UNREACHABLE
    assert 10 <= world.now <= 20
    assert set(world.states().values()) == {"pending"}


def test_a_line_that_was_up_may_be_down_for_ten_minutes(world: World) -> None:
    """Row 18."""
    one_model(world, 50)

    def reply(_model: str, _job: str) -> Reply:
        return NOT_SENT if 10 < asyncio.get_running_loop().time() < 610 else Reply()

    with_habits(world, reply=reply)
    assert world.live().pause is None
    judge(world)
    assert set(world.states().values()) == {"done"}
    down = [at for at, _, _ in world.vendor.posts if 10 < at < 610]
    assert len(down) < 20 * world.policy.limit


def test_five_unknown_outcomes_in_a_minute_pause(world: World) -> None:
    """Rows 21, 23, 27."""
    with_policy(world, concurrency=2)
    one_model(world, 50)
    with_habits(world, reply=always(Reply(Unclear("reset by peer"))))
    end = world.live()
    assert end.pause is not None
    assert end.pause.reason is PauseReason.UNKNOWN_OUTCOMES
    assert 5 <= Counter(world.states().values())["unknown"] <= 6


PAGE = Reply(Gateway(403, "HTTP 403: an HTML page instead of JSON"), charged=False)


def test_a_gateways_page_fails_no_job_and_passes(world: World) -> None:
    world.add_jobs((model, f"{model[-4:]}{n}") for n in range(20) for model in (EDIT, T2I))
    with_habits(world, reply=until(30.0, PAGE))
    assert world.live().pause is None
    judge(world)
    assert set(world.states().values()) == {"done"}
    assert not world.lives[0].emitted(ModelRefused)
    assert sum(at < 30.0 for at, _, _ in world.vendor.posts) < 8 * 8


def test_pages_of_a_gateway_in_a_row_pause_and_name_it(world: World) -> None:
    one_model(world, 50)
    with_habits(world, reply=always(PAGE))
    end = world.live()
    assert end.pause is not None
    assert end.pause.reason is PauseReason.GATEWAY
    assert "gateway or proxy" in end.pause.sentence
    assert "HTTP 403" in end.pause.sentence
    assert set(world.states().values()) == {"pending"}
    assert 30 < world.now < 300
    assert len(world.vendor.posts) < 8 * 10


def test_a_prompt_that_a_firewall_blocks_stops_no_other_job(world: World) -> None:
    with_policy(world, concurrency=2)
    one_model(world, 200)
    with_habits(world, reply=lambda _model, job: PAGE if job == "a003" else Reply())
    end = world.live()
    assert end.pause is not None
    assert end.pause.reason is PauseReason.GATEWAY
    assert Counter(world.states().values()) == {"done": 199, "pending": 1}
    blocked = [at for at, _, job in world.vendor.posts if job == "a003"]
    assert len(blocked) < 30


def test_the_same_refusal_of_many_jobs_in_a_row_pauses(world: World) -> None:
    with_policy(world, concurrency=2)
    one_model(world, 100)
    no = Reply(Refused(Scope.JOB, "7001", "your plan has ended"), charged=False)
    with_habits(world, reply=lambda _model, job: no if job >= "a004" else Reply())
    end = world.live()
    assert end.pause is not None
    assert end.pause.reason is PauseReason.REFUSALS
    assert "7001: your plan has ended" in end.pause.sentence
    assert "batchgen retry" in end.pause.next_step
    ends = Counter(world.states().values())
    assert ends["done"] == 4
    assert 10 <= ends["failed"] <= 11
    with_habits(world)
    retry_all(world)
    assert world.live().pause is None
    judge(world)
    assert set(world.states().values()) == {"done"}


def retry_all(world: World) -> None:
    with closing(open_for_writing(world.state)) as db:
        manual_actions.retry_selected(db, Selection(), manual_actions.may_go_again())


def test_one_models_refusals_pause_though_another_is_accepted(world: World) -> None:
    world.add_jobs((model, f"{model[-4:]}{n}") for n in range(40) for model in (EDIT, T2I))
    no = Reply(Refused(Scope.JOB, "7001", "your plan has ended"), charged=False)
    with_habits(world, reply=lambda model, _job: no if model == EDIT else Reply())
    end = world.live()
    assert end.pause is not None
    assert end.pause.reason is PauseReason.REFUSALS
    assert Counter(world.states().values())["failed"] < 20


def test_refusals_that_differ_in_an_id_or_a_figure_alone_are_the_same(world: World) -> None:
    one_model(world, 60)

    def reply(_model: str, job: str) -> Reply:
        words = f"balance 0.0{job[-1]} USD does not suffice (trace 8f3ab12c9{job})"
        return Reply(Refused(Scope.JOB, "7002", words), charged=False)

    with_habits(world, reply=reply)
    end = world.live()
    assert end.pause is not None
    assert end.pause.reason is PauseReason.REFUSALS
    assert Counter(world.states().values())["failed"] < 20


def test_refusals_of_several_kinds_concern_their_jobs_alone(world: World) -> None:
    one_model(world, 60)

    def reply(_model: str, job: str) -> Reply:
        number = int(job[1:])
        if number % 10 == 9:
            return Reply()
        words = f"prompt: {('too long', 'not allowed')[number % 2]}"
        return Reply(Refused(Scope.JOB, "422", words), charged=False)

    with_habits(world, reply=reply)
    assert world.live().pause is None
    judge(world)
    assert Counter(world.states().values()) == {"failed": 54, "done": 6}


def test_an_acceptance_that_comes_late_hides_no_refusals_sent_after_it(world: World) -> None:
    """Each would begin the count anew, while job after job fails."""
    with_policy(world, concurrency=8)
    one_model(world, 100)
    no = Reply(Refused(Scope.JOB, "7001", "your plan has ended"), charged=False)
    first = {f"a{number:03}": Reply(takes=0.25 * (number + 1)) for number in range(6)}
    with_habits(world, reply=lambda _model, job: first.get(job, no))
    end = world.live()
    assert end.pause is not None
    assert end.pause.reason is PauseReason.REFUSALS
    assert Counter(world.states().values())["failed"] <= 10 + 2


def test_a_refused_input_fails_its_job_alone(world: World) -> None:
    one_model(world, 3)
    no = Reply(Refused(Scope.JOB, "422", "prompt is odd"), charged=False)
    with_habits(world, reply=first_time(no, "a001"))
    world.live()
    judge(world)
    assert world.states() == {"a000": "done", "a001": "failed", "a002": "done"}
    assert world.error("a001") == "422"


def test_a_late_answer_is_adopted_and_its_job_goes_on(world: World) -> None:
    """Row 24."""
    one_model(world, 1)
    with_habits(world, reply=always(Reply(takes=90.0)))
    world.live()
    judge(world)
    assert world.states() == {"a000": "done"}
    moved = [(move.before.value, move.state.value) for _, move in world.lives[0].emitted(JobMoved)]
    assert moved[:3] == [
        ("pending", "submitting"),
        ("submitting", "unknown"),
        ("unknown", "queued"),
    ]


def test_a_lost_answer_is_submitted_again_only_where_allowed_and_not_often(world: World) -> None:
    with_policy(world, on_unknown=OnUnknown.RESUBMIT)
    one_model(world, 1)
    with_habits(world, reply=always(Reply(takes=inf)))
    world.live()
    times = [at for at, _, _ in world.vendor.posts]
    assert times == pytest.approx([0.0, 360.0, 720.0, 1080.0])
    assert world.states() == {"a000": "unknown"}
    judge(world)


def test_a_lost_answer_is_not_submitted_again_unasked(world: World) -> None:
    """Row 23."""
    one_model(world, 1)
    with_habits(world, reply=always(Reply(takes=inf)))
    world.live()
    world.live()
    assert len(world.vendor.posts) == 1
    assert world.states() == {"a000": "unknown"}


def test_the_budget_is_never_overshot_however_many_go_at_once(world: World) -> None:
    """Row 16."""
    with_policy(world, concurrency=24, budget=10.5 * PRICE)
    one_model(world, 60)
    end = world.live()
    assert end.pause is not None
    assert end.pause.reason is PauseReason.BUDGET
    assert "budget of 0.53 USD: 0.50 spent or reserved" in end.pause.sentence
    assert end.pause.next_step == f"raise run.budget or --budget, then {AGAIN}"
    assert len(world.vendor.ledger) == 10
    assert Counter(world.states().values()) == {"done": 10, "pending": 50}


def test_what_turns_out_free_is_spent_on_other_jobs(world: World) -> None:
    with_policy(world, concurrency=24, budget=10.5 * PRICE)
    one_model(world, 60)
    free = Course(end=JobState.CANCELLED)
    with_habits(world, course=lambda _model, job: free if job < "a005" else Course())
    world.live()
    assert Counter(world.states().values()) == {"cancelled": 5, "done": 10, "pending": 45}


def test_one_request_id_for_two_jobs_holds_both(world: World) -> None:
    """Row 36."""
    one_model(world, 2)
    twin = Reply(Accepted("r00000", "{}"), takes=0.5, charged=False)
    with_habits(world, reply=first_time(twin, "a001"), course=lambda *_: Course(runs=20.0))
    world.live()
    assert world.states() == {"a000": "unknown", "a001": "unknown"}
    assert {world.error(job) for job in world.states()} == {"duplicate_request"}


def test_a_resubmit_decided_during_the_run_is_done_by_it(world: World) -> None:
    one_model(world, 12)
    with_habits(
        world,
        reply=first_time(Reply(Unclear("reset"), charged=False), "a003"),
        course=lambda *_: Course(runs=200.0),
    )

    async def decide(process: Process) -> None:
        await asyncio.sleep(100.0)
        assert await process.store.run(manual_actions.resubmit, 4, EPOCH + 100.0) is None
        await process.scheduler.reconsider(4)
        await process.scheduler.reconsider(4)

    world.live(decide)
    assert set(world.states().values()) == {"done"}
    assert [job for _, _, job in world.vendor.posts].count("a003") == 2


def test_a_job_that_goes_again_goes_with_the_input_and_the_model_of_today(world: World) -> None:
    """The manifest was edited while a request of an earlier run was on its way."""
    with_policy(world, retries=1)
    one_model(world, 2)
    ends = {T2I: Course(runs=50.0, end=JobState.FAILED)}
    with_habits(world, course=lambda model, _job: ends.get(model, Course()))
    today = Job("a000", EDIT, canonical_json({"job": "a000", "take": 2}), "a000")

    async def edit(process: Process) -> None:
        await asyncio.sleep(10.0)
        with open_staging() as staging:
            staging.add(today)
            staging.add(job(T2I, "a001"))
            staging.finish()
            merge(process.db, staging, world.folder, OnChanged.RERUN)

    world.live(edit)
    assert world.states() == {"a000": "done", "a001": "failed"}
    assert [name for _, model, name in world.vendor.posts if model == EDIT] == ["a000"]
    assert [body for _, name, body in world.vendor.bodies if name == "a000"] == [
        job(T2I, "a000").body,
        today.body,
    ]


def test_a_resubmit_decided_while_only_downloads_are_left_is_done(world: World) -> None:
    one_model(world, 2)
    with_habits(
        world,
        reply=first_time(Reply(Unclear("reset"), charged=False), "a000"),
        delivery=lambda _url: Delivery(takes=100.0),
    )

    async def decide(process: Process) -> None:
        await asyncio.sleep(50.0)
        await process.store.run(manual_actions.resubmit, 1, EPOCH + 50.0)
        await process.scheduler.reconsider(1)

    world.live(decide)
    assert world.states() == {"a000": "done", "a001": "done"}


def test_an_adopted_request_is_followed_by_the_run_that_goes_on(world: World) -> None:
    one_model(world, 2)
    with_habits(
        world,
        reply=first_time(Reply(Unclear("reset")), "a000"),
        course=lambda *_: Course(runs=50.0),
    )

    async def decide(process: Process) -> None:
        await asyncio.sleep(10.0)
        (request,) = world.vendor.charges("a000")
        assert await process.store.run(manual_actions.adopt, 1, request.id, EPOCH + 10.0) is None
        await process.scheduler.reconsider(1)

    world.live(decide)
    judge(world)
    assert set(world.states().values()) == {"done"}
    assert len(world.vendor.ledger) == 2
