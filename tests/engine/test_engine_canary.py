"""A canary: the first jobs of a sweep go alone, and the others only if those are done."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from batchgen.downloads.allowed_hosts import HostNotAllowed
from batchgen.engine.events import PauseReason, Warned
from batchgen.jobs import Job, JobState
from batchgen.references import reference_url
from batchgen.runcomfy.outcomes import Refused, Scope, Throttled, Unclear
from batchgen.state import manual_actions
from batchgen.state.selection import Selection
from tests.engine.judge import canaries_go_first, judge
from tests.engine.simulated_vendor import Course, Delivery, Reply
from tests.engine.simulation import EDIT, T2I, Process, World, job, with_habits, with_policy

NO = Reply(Refused(Scope.JOB, "422", "prompt is odd"), charged=False)


def sweep(name: str, count: int, model: str = T2I) -> list[Job]:
    return [job(model, f"{name}-{number:02}", sweep=name) for number in range(count)]


def posts(world: World, name: str) -> list[tuple[float, str]]:
    return [(at, one) for at, _, one in world.vendor.posts if one.startswith(name)]


def ends(world: World, *jobs: str) -> list[float]:
    return [world.vendor.charges(one)[0].ends for one in jobs]


@pytest.mark.parametrize("count", [1, 3])
def test_the_others_of_a_sweep_go_when_the_first_are_done(world: World, count: int) -> None:
    with_policy(world, canary=count)
    world.add([*sweep("a", 20), *sweep("b", 20, EDIT)])
    assert world.live().pause is None
    judge(world)
    for name in ("a", "b"):
        sent = posts(world, name)
        first = [one for _, one in sent[:count]]
        assert first == [f"{name}-{number:02}" for number in range(count)]
        assert sent[count][0] > max(ends(world, *first))


def test_a_sweep_with_fewer_jobs_than_canaries_runs_as_a_whole(world: World) -> None:
    with_policy(world, canary=9)
    world.add(sweep("a", 4))
    assert world.live().pause is None
    judge(world)
    assert set(world.states().values()) == {"done"}


def test_a_failed_canary_holds_its_own_sweep_and_names_what_failed(world: World) -> None:
    with_policy(world, canary=1)
    edits = [job(EDIT, f"edit-{number}", sweep="a") for number in range(9)]
    world.add([*sweep("a", 20), *sweep("b", 20), *edits, *sweep("", 3)])
    with_habits(
        world,
        reply=lambda _model, one: NO if one == "a-00" else Reply(),
        course=lambda *_: Course(runs=60.0),
    )
    end = world.live()
    canaries_go_first(world)
    assert end.pause is not None
    assert end.pause.reason is PauseReason.CANARY
    failed = "the first job of a (text-to-image) failed: prompt is odd"
    assert end.pause.sentence == failed
    assert "without run.canary" in end.pause.next_step
    assert Counter(world.states().values()) == {"failed": 1, "done": 32, "pending": 19}
    ((at, warned),) = world.lives[0].emitted(Warned)
    assert warned.text == f"{failed}; the others wait"
    assert at < 1.0


def test_each_sweep_that_is_held_is_named_when_nothing_else_is_left(world: World) -> None:
    with_policy(world, canary=1)
    names = [f"s{number}" for number in range(7)]
    world.add([one for name in names for one in sweep(name, 4)])
    with_habits(world, reply=lambda _model, one: Reply() if one.startswith("s3") else NO)
    end = world.live()
    canaries_go_first(world)
    assert end.pause is not None
    assert end.pause.sentence.count("failed: prompt is odd") == 5
    assert end.pause.sentence.endswith("; and 1 more")
    assert Counter(world.states().values()) == {"failed": 6, "done": 4, "pending": 18}


def test_one_of_several_canaries_that_fails_lets_the_other_first_ones_end(world: World) -> None:
    with_policy(world, canary=3, concurrency=1)
    world.add(sweep("a", 9))
    with_habits(world, reply=lambda _model, one: NO if one == "a-00" else Reply())
    end = world.live()
    canaries_go_first(world)
    assert end.pause is not None
    assert end.pause.sentence == (
        "one of the first 3 jobs of a (text-to-image) failed: prompt is odd"
    )
    assert Counter(world.states().values()) == {"failed": 1, "done": 2, "pending": 6}


def test_a_canary_that_fails_and_has_no_others_behind_it_pauses_nothing(world: World) -> None:
    with_policy(world, canary=1)
    world.add([*sweep("a", 1), *sweep("b", 3)])
    with_habits(world, reply=lambda _model, one: NO if one == "a-00" else Reply())
    assert world.live().pause is None
    assert world.lives[0].emitted(Warned) == []
    assert Counter(world.states().values()) == {"failed": 1, "done": 3}


def test_a_held_sweep_goes_on_when_a_person_retries_its_canary_meanwhile(world: World) -> None:
    with_policy(world, canary=1)
    world.add([*sweep("a", 5), *sweep("b", 5)])
    refusals = [NO]
    with_habits(
        world,
        reply=lambda _model, one: refusals.pop() if one == "a-00" and refusals else Reply(),
        course=lambda *_: Course(runs=60.0),
    )

    async def retry(process: Process) -> None:
        await asyncio.sleep(20.0)
        await process.store.run(manual_actions.retry, 1)
        await process.scheduler.reconsider(1)

    assert world.live(retry).pause is None
    judge(world)
    assert set(world.states().values()) == {"done"}


def test_after_the_failed_canary_is_retried_the_sweep_goes_on(world: World) -> None:
    with_policy(world, canary=1)
    world.add(sweep("a", 5))
    with_habits(world, reply=lambda *_: NO)
    world.live()
    with_habits(world)
    world.change(manual_actions.retry, "a-00")
    assert world.live().pause is None
    judge(world)
    assert set(world.states().values()) == {"done"}
    assert posts(world, "a")[1][1] == "a-00"


@pytest.mark.parametrize(
    ("habits", "words"),
    [
        (
            {"reply": lambda *_: Reply(Unclear("reset"))},
            "has an outcome that cannot be known: reset",
        ),
        ({"course": lambda *_: Course(end=JobState.FAILED)}, "failed: the model failed"),
    ],
)
def test_any_other_end_than_done_pauses(
    world: World, habits: dict[str, object], words: str
) -> None:
    with_policy(world, canary=1)
    world.add(sweep("a", 9))
    with_habits(world, **habits)
    end = world.live()
    assert end.pause is not None
    assert end.pause.sentence == f"the first job of a (text-to-image) {words}"
    assert len(world.vendor.posts) == 1


def test_jobs_that_are_written_out_have_one_canary_a_model(world: World) -> None:
    with_policy(world, canary=1)
    world.add([*sweep("", 9), *sweep("a", 9)])
    with_habits(world, course=lambda _model, one: Course(runs=9.0 if one == "-00" else 50.0))
    assert world.live().pause is None
    judge(world)
    sent = posts(world, "-")
    assert len(sent) == 9
    assert sent[1][0] > ends(world, "-00")[0]


def test_a_canary_that_was_turned_back_goes_again(world: World) -> None:
    with_policy(world, canary=1)
    world.add(sweep("a", 9))
    slow = [Reply(Throttled(3.0, "429"), charged=False)] * 4
    with_habits(world, reply=lambda *_: slow.pop() if slow else Reply())
    assert world.live().pause is None
    judge(world)
    assert [one for _, one in posts(world, "a")[:6]] == ["a-00"] * 5 + ["a-01"]


def test_a_canary_whose_file_is_not_downloaded_pauses_at_the_end(world: World) -> None:
    with_policy(world, canary=1)
    world.add(sweep("a", 9))
    with_habits(world, delivery=lambda _url: Delivery(HostNotAllowed("h", "not allowed")))
    end = world.live()
    assert end.pause is not None
    assert end.pause.reason is PauseReason.CANARY
    assert "is not done yet, and the others wait for it" in end.pause.sentence
    assert len(world.vendor.posts) == 1


def test_a_sweep_with_a_result_of_an_earlier_run_is_proven(world: World) -> None:
    world.selection = Selection(jobs=("a-03",))
    world.add(sweep("a", 30))
    world.live()
    world.selection = Selection()
    with_policy(world, canary=1, concurrency=8)
    assert world.live().pause is None
    judge(world)
    times = [at for at, _ in posts(world, "a")]
    assert times[1:9] == [times[1]] * 8


def test_what_an_earlier_run_left_in_flight_is_the_canary(world: World) -> None:
    with_policy(world, canary=1)
    world.add(sweep("a", 10))
    with_habits(world, course=lambda *_: Course(runs=50.0))
    world.crash(after=10.0)
    assert len(world.vendor.posts) == 1
    assert world.live().pause is None
    judge(world)
    assert posts(world, "a")[1][0] > ends(world, "a-00")[0]


def test_a_request_that_an_earlier_run_lost_does_not_pause_each_run_anew(world: World) -> None:
    with_policy(world, canary=1)
    world.add(sweep("a", 5))
    with_habits(
        world,
        course=lambda _model, one: Course(end=JobState.LOST) if one == "a-00" else Course(),
    )
    lost = world.live()
    assert lost.pause is not None
    assert "was lost" in lost.pause.sentence
    assert world.live().pause is None
    judge(world)
    assert Counter(world.states().values()) == {"lost": 1, "done": 4}
    assert posts(world, "a")[2][0] > ends(world, "a-01")[0]


def test_a_sweep_that_only_becomes_due_later_has_its_canary_then(world: World) -> None:
    with_policy(world, canary=1)
    clips = [
        job(
            EDIT,
            f"b-{number:02}",
            reference_url(f"a-{number:02}", "image", 0),
            sweep="b",
            needs=(f"a-{number:02}",),
        )
        for number in range(10)
    ]
    world.add([*clips, *sweep("a", 10)])
    assert world.live().pause is None
    judge(world)
    sent = posts(world, "b")
    assert len(sent) == 10
    assert sent[1][0] > ends(world, sent[0][1])[0]


def test_a_person_s_retry_does_not_pass_a_canary(world: World) -> None:
    with_policy(world, canary=1)
    world.add(sweep("a", 10))
    world.change(manual_actions.cancel, "a-05")
    with_habits(world, course=lambda *_: Course(runs=100.0))

    async def retry(process: Process) -> None:
        await asyncio.sleep(20.0)
        await process.store.run(manual_actions.retry, 6)
        await process.scheduler.reconsider(6)

    assert world.live(retry).pause is None
    judge(world)
    assert set(world.states().values()) == {"done"}
    assert posts(world, "a")[1][0] > ends(world, "a-00")[0]
