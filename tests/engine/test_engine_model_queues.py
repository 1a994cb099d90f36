"""The queue of one model's due jobs, over pages of the state."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import cast

from hypothesis import given
from hypothesis import strategies as st

from batchgen.engine.canary import Canary
from batchgen.engine.control import Control
from batchgen.engine.health import ModelHealth
from batchgen.engine.limits import RateLimiter
from batchgen.engine.model_queues import PAGE, ModelQueue
from batchgen.state.due import DueKey
from batchgen.state.records import JobRow
from batchgen.state.selection import Selection
from batchgen.state.store import Store
from tests.engine.virtual_loop import virtually
from tests.state.state_world import a_job_row


@dataclass(slots=True)
class Pages:
    """A state: its due jobs by number. `while_reading` happens between a reading and its answer."""

    due: dict[int, JobRow] = field(default_factory=dict)
    while_reading: Callable[[], None] = lambda: None

    async def due_page(
        self,
        model: str,
        _selection: Selection,
        after: DueKey | None,
        limit: int,
        closed: frozenset[str] = frozenset(),
    ) -> list[JobRow]:
        jobs = sorted(self.due.values(), key=lambda job: place(job.due_key))
        found = [job for job in jobs if not after or place(job.due_key) > place(after)][:limit]
        self.while_reading()
        return found


def place(key: DueKey) -> tuple[int, bool, int]:
    priority, needed, seq = key
    return -priority, not needed, seq


def job(seq: int, priority: int = 0, *, needed: bool = False) -> JobRow:
    return a_job_row(f"j{seq}", seq=seq, model="m", priority=priority, needed=needed)


def pages(jobs: Iterable[JobRow]) -> Pages:
    return Pages({one.seq: one for one in jobs})


def queue(state: Pages) -> ModelQueue:
    store = cast("Store", state)
    canary = Canary(0, store, Selection(), Control(lambda _event: None), lambda: None)
    return ModelQueue(ModelHealth("m", RateLimiter(8)), Selection(), store, canary)


def numbered(count: int) -> ModelQueue:
    return queue(pages(map(job, range(1, count + 1))))


async def everything(jobs: ModelQueue) -> list[int]:
    seqs = []
    await jobs.refill()
    while jobs:
        seqs.append(jobs.take().seq)
        await jobs.refill()
    return seqs


async def test_jobs_come_in_the_manifest_s_order_a_page_at_a_time() -> None:
    assert await everything(numbered(2 * PAGE + 7)) == list(range(1, 2 * PAGE + 8))


async def test_a_higher_priority_goes_first_whatever_its_place_in_the_manifest() -> None:
    jobs = queue(pages([job(1), job(2, -1), job(3, 5), job(4), job(5, 5)]))
    assert await everything(jobs) == [3, 5, 1, 4, 2]


async def test_a_job_that_came_back_goes_before_its_equals_only() -> None:
    jobs = queue(pages([job(1, 5), job(2, 5), job(3)]))
    await jobs.refill()
    first = jobs.take()
    jobs.in_hand.clear()
    jobs.put_back(job(9))
    jobs.put_back(first)
    assert jobs.priority == 5
    assert await everything(jobs) == [1, 2, 9, 3]


async def test_a_job_that_came_back_goes_after_those_that_others_need() -> None:
    jobs = queue(pages([job(1, 5), job(2), job(3, needed=True), job(4, needed=True)]))
    await jobs.refill()
    jobs.put_back(job(8))
    jobs.put_back(job(9, needed=True))
    assert await everything(jobs) == [1, 9, 3, 4, 8, 2]


async def test_a_job_that_came_back_is_not_read_again_from_a_later_page() -> None:
    """A request of an earlier run may fail and be pending again before its page is reached."""
    jobs = numbered(3 * PAGE)
    await jobs.refill()
    jobs.put_back(job(2 * PAGE))
    assert sorted(await everything(jobs)) == list(range(1, 3 * PAGE + 1))


async def test_a_page_of_jobs_that_came_back_is_passed_over() -> None:
    jobs = numbered(2 * PAGE)
    for seq in range(1, PAGE + 1):
        jobs.put_back(job(seq))
    assert sorted(await everything(jobs)) == list(range(1, 2 * PAGE + 1))


async def test_a_job_is_not_queued_twice() -> None:
    jobs = numbered(2)
    await jobs.refill()
    jobs.put_back(job(2))
    assert await everything(jobs) == [1, 2]


async def test_after_a_rewind_jobs_that_became_due_behind_the_reader_are_found() -> None:
    state = pages([job(5), job(6)])
    jobs = queue(state)
    assert await everything(jobs) == [5, 6]
    del state.due[5]  # its intent is recorded; 6 is in hand still
    jobs.in_hand.discard(5)
    state.due[2] = job(2)
    assert await everything(jobs) == []
    jobs.rewind()
    assert await everything(jobs) == [2]


async def test_a_rewind_while_a_page_is_read_is_not_lost() -> None:
    state = pages([job(5)])
    jobs = queue(state)

    def release() -> None:
        if 2 not in state.due:
            state.due[2] = job(2)
            jobs.rewind()

    state.while_reading = release
    assert await everything(jobs) == [2, 5]


async def test_a_rewind_keeps_what_came_back_from_outside_the_selection() -> None:
    jobs = queue(pages([]))
    jobs.put_back(job(7))
    jobs.rewind()
    assert await everything(jobs) == [7]


async def test_a_job_whose_intent_was_recorded_while_a_page_was_read_is_not_taken_again() -> None:
    state = pages([job(1), job(2)])
    jobs = queue(state)
    await jobs.refill()
    jobs.take()
    jobs.rewind()
    state.while_reading = lambda: jobs.in_hand.discard(1)
    assert await everything(jobs) == [2]


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("due"), st.integers(1, 9), st.integers(-1, 1)),
        st.tuples(st.sampled_from(["take", "begin", "back", "rewind"])),
    ),
    max_size=60,
)


@given(STEPS)
def test_whatever_happens_no_job_is_in_two_hands_and_none_is_forgotten(
    steps: list[tuple[str] | tuple[str, int, int]],
) -> None:
    virtually(_walk(steps))


async def _walk(steps: list[tuple[str] | tuple[str, int, int]]) -> None:
    state, hand = Pages(), list[JobRow]()
    jobs = queue(state)
    for step in steps:
        match step:
            case ("due", seq, priority) if all(one.seq != seq for one in hand):
                state.due.setdefault(seq, job(seq, priority))
                jobs.rewind()
            case ("take",):
                await jobs.refill()
                if jobs:
                    hand.append(jobs.take())
            case ("begin",) if hand:
                begun = hand.pop()
                del state.due[begun.seq]
                jobs.in_hand.discard(begun.seq)
            case ("back",) if hand:
                back = hand.pop()
                jobs.in_hand.discard(back.seq)
                jobs.put_back(back)
            case ("rewind",):
                jobs.rewind()
        assert len({one.seq for one in hand}) == len(hand)
    rest = await everything(jobs)
    assert sorted([*rest, *(one.seq for one in hand)]) == sorted(state.due)
