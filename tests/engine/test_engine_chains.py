"""Chains: a job waits for what it needs, gets its real URL, and is never paid in vain."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable

import pytest

from batchgen.downloads.probe import Gone, NoAnswer, NotUsable, Probed
from batchgen.engine.events import Event, JobMoved, JobsBlocked, PauseReason
from batchgen.engine.input_resolver import NoSuchOutput, file_for
from batchgen.engine.ports import InputsBroken, InputsSound, InputVerdict
from batchgen.jobs import Job, JobState
from batchgen.references import Reference, reference_url
from batchgen.runcomfy.outcomes import Halted, Missing, Refused, Scope
from batchgen.state import manual_actions
from tests.engine.judge import judge
from tests.engine.simulated_inputs import PICTURE, SimulatedInputs
from tests.engine.simulated_vendor import Course, Reply, Request
from tests.engine.simulation import (
    EDIT,
    EPOCH,
    I2V,
    T2I,
    Process,
    World,
    job,
    with_habits,
    with_policy,
)
from tests.state.state_world import a_result

STILL = reference_url("still", "image", 0)


def still_and_clip(*references: str, gate: bool = False) -> list[Job]:
    still = job(T2I, "still", gate=gate)
    return [job(I2V, "clip", *(references or (STILL,)), needs=("still",)), still]


def posted(world: World) -> list[str]:
    return [name for _, _, name in world.vendor.posts]


def sent_images(world: World, name: str) -> list[str]:
    (body,) = (body for _, one, body in world.vendor.bodies if one == name)
    images: list[str] = json.loads(body)["images"]
    return images


def test_a_job_goes_when_what_it_needs_is_on_the_disk_with_its_real_url(world: World) -> None:
    world.add(still_and_clip())
    assert world.live().pause is None
    judge(world)
    assert world.states() == {"clip": "done", "still": "done"}
    assert posted(world) == ["still", "clip"]
    (request,) = world.vendor.charges("still")
    assert sent_images(world, "clip") == [f"https://cdn.test/still/{request.id}/0?turn=0"]


def test_what_was_sent_is_recorded_where_it_differs_from_the_job(world: World) -> None:
    world.add(still_and_clip())
    world.live()
    rows = dict(world.query("SELECT id, attempt.body FROM attempt JOIN job ON seq = job"))
    sent = {name: body for _, name, body in world.vendor.bodies}
    assert rows == {"still": None, "clip": sent["clip"]}
    hashes = dict(world.query("SELECT id, body_sha256 FROM attempt JOIN job ON seq = job"))
    assert hashes == {
        name: hashlib.sha256(body.encode()).hexdigest() for name, body in sent.items()
    }


def test_a_reference_counts_the_files_of_its_kind(world: World) -> None:
    with_habits(world, course=lambda *_: Course(files=4, videos=1))
    video, second = (reference_url("still", *what) for what in (("video", 0), ("image", 1)))
    world.add(still_and_clip(video, second))
    world.live()
    ends = [url.split("/")[-1] for url in sent_images(world, "clip")]
    assert ends == ["0.mp4?turn=0", "2?turn=0"]


def test_an_output_that_was_not_made_fails_its_job_and_costs_nothing(world: World) -> None:
    world.add(still_and_clip(reference_url("still", "image", 2)))
    assert world.live().pause is None
    judge(world)
    assert posted(world) == ["still"]
    assert world.error("clip") == "no_such_output"
    ((reason,),) = world.query("SELECT error FROM job WHERE id = 'clip'")
    assert reason == "still gave 1 image; images[2] was asked for"
    ((_, move),) = world.lives[0].moves(JobState.FAILED)
    assert (move.job_id, move.before, move.reason) == ("clip", JobState.PENDING, reason)


@pytest.mark.parametrize(
    ("kinds", "kind", "position", "expected"),
    [
        (["image", "image"], "image", 1, 2),
        (["video", "image"], "image", 0, 2),
        ([], "image", 0, "a gave no image; images[0] was asked for"),
        (["image", "image"], "image", 2, "a gave 2 images; images[2] was asked for"),
        (["image"], "video", 0, "a gave no video; videos[0] was asked for"),
    ],
)
def test_the_file_of_a_reference(
    kinds: list[str], kind: str, position: int, expected: int | str
) -> None:
    files = [
        a_result(job_id="a", id=place, position=place, media_type=f"{one}/x")
        for place, one in enumerate(kinds, start=1)
    ]
    others = [a_result(job_id="b", id=99)]
    found = file_for(
        Reference("a", "video" if kind == "video" else "image", position, ""), others + files[::-1]
    )
    assert (found.reason if isinstance(found, NoSuchOutput) else found.position) == expected


def test_behind_a_gate_dependants_wait_for_a_person_and_that_is_no_pause(world: World) -> None:
    world.add(still_and_clip(gate=True))
    assert world.live().pause is None
    assert world.states() == {"clip": "pending", "still": "done"}
    world.approve("still")
    assert world.live().pause is None
    judge(world)
    assert world.states() == {"clip": "done", "still": "done"}
    assert posted(world) == ["still", "clip"]


def test_an_approval_while_the_run_goes_on_lets_dependants_go_at_once(world: World) -> None:
    world.add([*still_and_clip(gate=True), job(EDIT, "long")])
    with_habits(world, course=lambda model, _job: Course(runs=300.0 if model == EDIT else 4.0))

    async def approve(process: Process) -> None:
        await asyncio.sleep(100.0)
        assert await process.store.run(manual_actions.approve, 2, EPOCH + 100.0) is None
        world.approvals["still"] = 100.0
        await process.scheduler.reload_due_jobs()

    world.live(approve)
    judge(world)
    assert set(world.states().values()) == {"done"}
    (at,) = (at for at, _, name in world.vendor.posts if name == "clip")
    assert at == pytest.approx(100.0, abs=1.0)


@pytest.mark.parametrize("turns", range(30))
def test_an_approval_at_the_very_end_is_taken_up_or_left_to_the_next_run(
    world: World, turns: int
) -> None:
    """Some turns of the loop after the last job is done: no moment loses it."""
    world.add(still_and_clip(gate=True))
    heard: list[bool] = []
    done = asyncio.Event()

    def on_event(event: Event) -> None:
        if isinstance(event, JobMoved) and event.state is JobState.DONE:
            done.set()

    world.on_event = on_event

    async def approve(process: Process) -> None:
        await done.wait()
        for _ in range(turns):
            await asyncio.sleep(0)
        await process.store.run(manual_actions.approve, 2, EPOCH)
        world.approvals["still"] = asyncio.get_running_loop().time()
        heard.append(process.scheduler._working)
        await process.scheduler.reload_due_jobs()

    world.live(approve)
    if heard == [True]:
        assert world.states() == {"clip": "done", "still": "done"}
        judge(world)


def first_submit_refused(name: str) -> Callable[[str, str], Reply]:
    replies = [Reply(Refused(Scope.JOB, "422", "no"), charged=False)]
    return lambda _model, one: replies.pop() if one == name and replies else Reply()


def test_a_job_whose_need_failed_is_blocked_and_goes_when_that_is_retried(world: World) -> None:
    """Also by a run that knew nothing of the blocked job's model when it began."""
    world.add([*still_and_clip(), job(EDIT, "long")])
    with_habits(world, reply=first_submit_refused("still"))
    assert world.live().pause is None
    judge(world)
    assert world.states() == {"clip": "blocked", "still": "failed", "long": "done"}
    ((_, told),) = world.lives[0].emitted(JobsBlocked)
    assert told == JobsBlocked({I2V: 1})
    world.add([*still_and_clip(), job(EDIT, "long"), job(EDIT, "longer")])

    async def retry(process: Process) -> None:
        await asyncio.sleep(1.0)
        await process.store.run(manual_actions.retry, 2)
        await process.scheduler.reconsider(2)

    world.live(retry)
    judge(world)
    assert set(world.states().values()) == {"done"}
    ((_, freed),) = world.lives[1].emitted(JobsBlocked)
    assert freed == JobsBlocked({I2V: 0})


def test_an_expired_url_is_asked_again_before_it_is_handed_on(world: World) -> None:
    world.add(still_and_clip())

    def serve(url: str) -> Probed:
        if url.endswith("turn=0"):
            world.vendor.renewed["r00000"] = 1
            return Gone("HTTP 403")
        return PICTURE

    world.inputs = SimulatedInputs(outcome=serve)
    world.live()
    judge(world)
    assert sent_images(world, "clip") == ["https://cdn.test/still/r00000/0?turn=1"]
    ((url,),) = world.query("SELECT url FROM file JOIN job ON seq = job WHERE job.id = 'still'")
    assert url.endswith("turn=1")
    assert len(world.vendor.ledger) == 2


def test_a_result_that_is_served_badly_for_once_fails_nothing(world: World) -> None:
    """A spoilt answer, and then the URL expires between two probes."""
    world.add(still_and_clip())

    def check(body: str) -> InputVerdict:
        if "turn=0" not in body:
            return InputsSound()
        world.vendor.renewed["r00000"] = 1
        return InputsBroken("the server answered 410: it does not serve this file")

    def serve(url: str) -> Probed:
        served = f"turn={world.vendor.renewed['r00000']}"
        return PICTURE if url.endswith(served) else Gone("HTTP 410")

    world.inputs = SimulatedInputs(verdict=check, outcome=serve)
    assert world.live().pause is None
    judge(world)
    assert world.states() == {"clip": "done", "still": "done"}
    assert sent_images(world, "clip") == ["https://cdn.test/still/r00000/0?turn=1"]


def test_a_result_that_its_model_does_not_take_fails_what_needs_it(world: World) -> None:
    world.add(still_and_clip())
    world.inputs = SimulatedInputs(
        verdict=lambda body: InputsBroken("too small") if "cdn" in body else InputsSound()
    )
    world.live()
    assert posted(world) == ["still"]
    assert world.error("clip") == "bad_input"
    assert len(world.inputs.checked) < 6


@pytest.mark.parametrize("forgotten", [False, True])
def test_a_result_that_is_gone_for_good_fails_what_needs_it(world: World, forgotten: bool) -> None:
    world.add(still_and_clip())
    world.inputs = SimulatedInputs(outcome=lambda _url: Gone("HTTP 404"))
    with_habits(
        world,
        result=lambda request: (
            Missing("no such request")
            if forgotten and asyncio.get_running_loop().time() > request.ends + 2
            else None
        ),
    )
    world.live()
    assert posted(world) == ["still"]
    assert world.error("clip") == "url_expired"
    ((reason,),) = world.query("SELECT error FROM job WHERE id = 'clip'")
    assert "no longer serves the result of still (HTTP 404" in reason
    assert "write that URL in its place" in reason


@pytest.mark.parametrize(
    "nothing_told",
    [NoAnswer("timeout"), NotUsable("cdn leads to 192.168.1.1, a private address", by_dns=True)],
)
def test_without_an_answer_nothing_is_sent_and_later_it_is(
    world: World, nothing_told: Probed
) -> None:
    world.add(still_and_clip())

    def serve(_url: str) -> Probed:
        return nothing_told if asyncio.get_running_loop().time() < 300.0 else PICTURE

    world.inputs = SimulatedInputs(outcome=serve)
    assert world.live().pause is None
    judge(world)
    assert world.states() == {"clip": "done", "still": "done"}
    (at,) = (at for at, _, name in world.vendor.posts if name == "clip")
    assert 300.0 < at < 400.0
    assert len(world.inputs.probed) < 30
    assert world.query("SELECT count(*) FROM attempt") == [(2,)]


def test_a_refused_token_at_the_question_for_a_url_stops_the_run(world: World) -> None:
    world.add(still_and_clip())
    world.inputs = SimulatedInputs(outcome=lambda _url: Gone("HTTP 403"))
    refused = Halted(PauseReason.TOKEN_REFUSED, "401")

    def result(request: Request) -> Halted | None:
        return refused if asyncio.get_running_loop().time() > request.ends + 2 else None

    with_habits(world, result=result, status=result)
    end = world.live()
    assert end.pause is not None
    assert end.pause.reason is PauseReason.TOKEN_REFUSED
    assert world.states() == {"clip": "pending", "still": "done"}


def test_a_result_that_is_withheld_at_the_question_for_a_url_breaks_no_job(world: World) -> None:
    """The status says that the request has ended, so the token is not refused as a whole."""
    world.add(still_and_clip())
    world.inputs = SimulatedInputs(outcome=lambda _url: Gone("HTTP 403"))
    refused = Halted(PauseReason.TOKEN_REFUSED, "401")
    with_habits(
        world,
        result=lambda request: (
            refused if asyncio.get_running_loop().time() > request.ends + 2 else None
        ),
    )
    world.live()
    assert world.states() == {"clip": "pending", "still": "done"}


def test_priorities_decide_between_models_and_within_one(world: World) -> None:
    with_policy(world, concurrency=1)
    world.add(
        [
            job(T2I, "low"),
            job(T2I, "high", priority=5),
            job(EDIT, "lowest", priority=-1),
            job(EDIT, "highest", priority=9),
        ]
    )
    world.live()
    judge(world)
    assert posted(world) == ["highest", "high", "low", "lowest"]


def test_a_released_job_of_higher_priority_goes_before_what_waits(world: World) -> None:
    with_policy(world, concurrency=2)
    world.add(
        [
            job(T2I, "still", priority=1),
            *(job(T2I, f"a{number}") for number in range(20)),
            job(T2I, "next", STILL, needs=("still",), priority=1),
        ]
    )
    world.live()
    judge(world)
    assert posted(world).index("next") < 6
