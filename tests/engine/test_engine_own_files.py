"""The user's own files: put into the body just before the submit, and never recorded."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf

import pytest

from batchgen.engine.attempt import Attempt
from batchgen.engine.events import PauseReason
from batchgen.engine.ports import InputsBroken, InputsUnclear, Sendable
from batchgen.errors import DiskFullError
from batchgen.input_files import HOST, file_url, files_in, resolved
from batchgen.jobs import JobState
from batchgen.runcomfy.outcomes import NotSent
from tests.engine.judge import judge
from tests.engine.simulated_inputs import SimulatedInputs
from tests.engine.simulated_vendor import Reply
from tests.engine.simulation import EDIT, Process, World, job, with_habits, with_policy
from tests.engine.test_engine_stopping import drain_at

URL = file_url("ab" * 32, "photos/a b.png")
LARGE = "data:image/png;base64," + "A" * 100_000


@dataclass(slots=True)
class SimulatedOwnFiles:
    """`trouble` is of a body; each takes `takes` seconds. `held` is how many are not released."""

    trouble: Callable[[str], InputsBroken | InputsUnclear | None] = lambda _body: None
    takes: float = 0.2
    asked: list[str] = field(default_factory=list)
    held: int = 0
    most_held: int = 0

    async def sendable(self, model: str, body: str) -> Sendable | InputsBroken | InputsUnclear:
        self.asked.append(body)
        await asyncio.sleep(self.takes)
        if trouble := self.trouble(body):
            return trouble
        self.held += 1
        self.most_held = max(self.held, self.most_held)
        left = [None]

        def release() -> None:
            if left:
                left.pop()
                self.held -= 1

        return Sendable(resolved(body, {one.url: LARGE for one in files_in(body)}), release)


@pytest.fixture
def own_files(world: World) -> SimulatedOwnFiles:
    found = SimulatedOwnFiles()
    world.own_files = found
    return found


def with_files(world: World, count: int) -> None:
    world.add(job(EDIT, f"a{number:03}", URL) for number in range(count))


def sent_images(world: World) -> list[list[str]]:
    return [json.loads(body)["images"] for _, _, body in world.vendor.bodies]


def test_the_files_are_sent_and_the_recorded_body_keeps_their_urls(
    world: World, own_files: SimulatedOwnFiles
) -> None:
    with_files(world, 5)
    assert world.live().pause is None
    judge(world)
    assert set(world.states().values()) == {"done"}
    assert sent_images(world) == [[LARGE]] * 5
    assert own_files.held == 0
    bodies = world.query("SELECT job.body, attempt.body FROM attempt JOIN job ON seq = job")
    assert len(bodies) == 5
    for body, changed in bodies:
        assert json.loads(body)["images"] == [URL]
        assert changed is None


def test_files_of_jobs_without_any_are_not_asked_for(
    world: World, own_files: SimulatedOwnFiles
) -> None:
    world.add([job(EDIT, "a000"), job(EDIT, "a001", "https://cdn.test/a.png")])
    world.live()
    assert own_files.asked == []


def test_without_a_way_to_send_them_a_job_with_files_fails_unpaid(world: World) -> None:
    world.add([job(EDIT, "a000", URL), job(EDIT, "b000")])
    world.live()
    judge(world)
    assert world.states() == {"a000": "failed", "b000": "done"}
    assert world.error("a000") == "bad_input"
    ((reason,),) = world.query("SELECT error FROM job WHERE id = 'a000'")
    assert reason == "photos/a b.png is a file of yours, and this run has no way to send it"
    assert not [body for _, _, body in world.vendor.bodies if HOST in body]


def test_no_attempt_is_made_of_a_body_with_a_file_that_has_no_url(world: World) -> None:
    body = json.dumps({"images": [URL]})
    with pytest.raises(AssertionError, match="never sent"):
        Attempt(None, None, body, None, None)  # type: ignore[arg-type] # it fails before it uses them


def test_a_broken_file_fails_its_job_alone(world: World, own_files: SimulatedOwnFiles) -> None:
    own_files.trouble = lambda body: InputsBroken("it has changed") if "a001" in body else None
    with_files(world, 3)
    world.live()
    judge(world)
    assert world.states() == {"a000": "done", "a001": "failed", "a002": "done"}
    assert world.error("a001") == "bad_input"
    assert world.query("SELECT count(*) FROM attempt WHERE job = 2") == [(0,)]


def test_a_file_that_cannot_be_read_now_is_tried_again(
    world: World, own_files: SimulatedOwnFiles
) -> None:
    tries = iter([InputsUnclear("no memory")] * 3)
    own_files.trouble = lambda body: next(tries, None)
    with_files(world, 1)
    assert world.live().pause is None
    judge(world)
    assert world.states() == {"a000": "done"}
    assert len(own_files.asked) == 4


def test_where_no_file_can_be_sent_the_run_pauses(
    world: World, own_files: SimulatedOwnFiles
) -> None:
    own_files.trouble = lambda body: InputsUnclear("no way to the bucket", "log in again")
    with_files(world, 50)
    end = world.live()
    assert end.pause is not None
    assert end.pause.reason is PauseReason.UNREACHABLE
    assert "an input file" in end.pause.sentence
    assert end.pause.next_step == "log in again"
    assert world.query("SELECT count(*) FROM attempt") == [(0,)]


def test_urls_are_probed_before_the_files_are_read(
    world: World, own_files: SimulatedOwnFiles
) -> None:
    world.inputs = SimulatedInputs(lambda _body: InputsBroken("not a picture"))
    with_files(world, 1)
    world.live()
    assert own_files.asked == []
    assert world.states() == {"a000": "failed"}


@pytest.mark.parametrize("takes", [30.0, 3000.0])
def test_a_stop_interrupts_the_reading_and_nothing_is_recorded(
    world: World, own_files: SimulatedOwnFiles, takes: float
) -> None:
    own_files.takes = takes
    with_files(world, 3)
    assert world.live(drain_at(10.0)).drained
    assert world.now == pytest.approx(10.0)
    assert world.query("SELECT DISTINCT state, attempts FROM job") == [("pending", 0)]
    assert own_files.held == 0


def test_no_more_bodies_are_held_than_may_be_in_flight(
    world: World, own_files: SimulatedOwnFiles
) -> None:
    with_policy(world, concurrency=3)
    with_files(world, 20)
    world.live()
    judge(world)
    assert own_files.most_held <= 3


@pytest.mark.parametrize("uploads", [59.0, 61.0, 3600.0])
def test_an_upload_may_take_longer_than_an_answer(
    world: World, own_files: SimulatedOwnFiles, uploads: float
) -> None:
    with_habits(world, reply=lambda _model, _job: Reply(takes=50.0, uploads=uploads))
    with_files(world, 2)
    end = world.live()
    judge(world)
    assert end.pause is None
    assert world.states() == {"a000": "done", "a001": "done"}
    assert not world.lives[-1].moves(JobState.UNKNOWN)


def test_no_answer_after_the_upload_is_unknown(world: World, own_files: SimulatedOwnFiles) -> None:
    with_habits(world, reply=lambda _model, _job: Reply(takes=inf, uploads=100.0))
    with_files(world, 1)
    world.live()
    judge(world)
    assert world.states() == {"a000": "unknown"}
    ((at, _),) = world.lives[-1].moves(JobState.UNKNOWN)
    assert at == pytest.approx(0.2 + 100.0 + world.policy.submit_deadline, abs=1.0)
    assert own_files.held == 0


def test_a_stop_cuts_an_upload_off_and_the_job_is_as_it_was(
    world: World, own_files: SimulatedOwnFiles
) -> None:
    with_habits(world, reply=lambda _model, _job: Reply(uploads=1000.0))
    with_files(world, 3)
    assert world.live(drain_at(10.0)).drained
    assert world.now == pytest.approx(10.0)
    assert set(world.states().values()) == {"pending"}
    assert world.vendor.ledger == {}
    assert own_files.held == 0
    with_habits(world)
    world.live()
    judge(world)
    assert set(world.states().values()) == {"done"}


def test_a_stop_after_the_upload_waits_for_the_answer(
    world: World, own_files: SimulatedOwnFiles
) -> None:
    with_habits(world, reply=lambda _model, _job: Reply(takes=8.0, uploads=5.0))
    with_files(world, 1)
    world.live(drain_at(6.0))
    assert world.states() == {"a000": "queued"}
    assert own_files.held == 0


def test_an_upload_that_breaks_off_is_sent_again(
    world: World, own_files: SimulatedOwnFiles
) -> None:
    replies = iter([Reply(NotSent("the connection was lost"), charged=False)])
    with_habits(world, reply=lambda _model, _job: next(replies, Reply()))
    with_files(world, 1)
    assert world.live().pause is None
    judge(world)
    assert world.states() == {"a000": "done"}
    assert own_files.asked[0] == own_files.asked[1]
    assert own_files.held == 0


def uploading(_model: str, _job: str) -> Reply:
    return Reply(uploads=100.0)


def test_a_process_that_dies_in_an_upload_leaves_nothing_unknown(
    world: World, own_files: SimulatedOwnFiles
) -> None:
    with_habits(world, reply=uploading)
    with_files(world, 3)
    world.crash(50.0)
    assert world.query("SELECT count(*) FROM attempt WHERE uploading = 1") == [(3,)]
    with_habits(world)
    world.live()
    judge(world)
    assert not world.lives[-1].moves(JobState.UNKNOWN)
    assert set(world.states().values()) == {"done"}
    assert world.query("SELECT outcome FROM attempt WHERE number = 1") == [("not_sent",)] * 3


def test_a_process_that_dies_after_the_upload_leaves_it_unknown(
    world: World, own_files: SimulatedOwnFiles
) -> None:
    with_habits(world, reply=lambda _model, _job: Reply(uploads=40.0, takes=30.0))
    with_files(world, 2)
    world.crash(45.0)
    assert len(world.vendor.ledger) == 2
    world.live()
    judge(world)
    assert set(world.states().values()) == {"unknown"}


def test_small_bodies_take_no_commit_more(world: World, own_files: SimulatedOwnFiles) -> None:
    handed_over: list[int] = []

    async def count(process: Process) -> None:
        take = process.store.handed_over

        async def counted(seq: int, number: int) -> bool:
            handed_over.append(seq)
            return await take(seq, number)

        process.store.handed_over = counted  # type: ignore[method-assign]

    world.add([job(EDIT, "a000"), job(EDIT, "a001", URL)])
    world.live(count)
    judge(world)
    assert handed_over == [2]


def test_a_state_that_fails_at_the_handover_lets_nothing_out(
    world: World, own_files: SimulatedOwnFiles
) -> None:
    with_habits(world, reply=uploading)
    with_files(world, 2)

    async def fill_the_disk(process: Process) -> None:
        await asyncio.sleep(50.0)

        async def full(*_: object) -> bool:
            raise DiskFullError("no space left")

        process.store.handed_over = full  # type: ignore[method-assign, assignment]
        process.store.turn_back = full  # type: ignore[method-assign, assignment]

    with pytest.raises(ExceptionGroup):
        world.live(fill_the_disk)
    assert world.vendor.ledger == {}
    with_habits(world)
    world.live()
    judge(world)
    assert set(world.states().values()) == {"done"}


@pytest.mark.parametrize("takes", [1.0, 20.0])
def test_a_stop_during_the_handover_pays_nothing_twice(
    world: World, own_files: SimulatedOwnFiles, takes: float
) -> None:
    """The commit is on its way when the run is stopped: it may or may not be cut off."""
    with_habits(world, reply=lambda _model, _job: Reply(uploads=9.5))
    with_files(world, 3)

    async def slow_disk(process: Process) -> None:
        take = process.store.handed_over

        async def slowly(seq: int, number: int) -> bool:
            await asyncio.sleep(takes)
            return await take(seq, number)

        process.store.handed_over = slowly  # type: ignore[method-assign]
        await asyncio.sleep(10.0)
        process.scheduler.drain()

    world.live(slow_disk)
    assert set(world.states().values()) == {"pending"}
    with_habits(world)
    world.live()
    judge(world)
    assert set(world.states().values()) == {"done"}
