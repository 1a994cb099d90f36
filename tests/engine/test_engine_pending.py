"""The queue of one model's pending jobs, over pages of the state."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from batchgen.engine.pending import PAGE, PendingQueue
from batchgen.state.queries import Selection
from batchgen.state.records import PendingJob

if TYPE_CHECKING:
    from batchgen.state.store import Store


class Pages:
    """A state in which every job stays pending."""

    def __init__(self, count: int) -> None:
        self.count = count

    async def pending_page(
        self, model: str, _selection: Selection, after: int, limit: int
    ) -> list[PendingJob]:
        last = min(after + limit, self.count)
        return [job(seq, model) for seq in range(after + 1, last + 1)]


def job(seq: int, model: str = "m") -> PendingJob:
    return PendingJob(seq, f"j{seq}", model, "{}", 0)


def queue(count: int) -> PendingQueue:
    return PendingQueue("m", Selection(), cast("Store", Pages(count)))


async def everything(jobs: PendingQueue) -> list[int]:
    seqs = []
    await jobs.refill()
    while jobs:
        seqs.append(jobs.take().seq)
        await jobs.refill()
    return seqs


async def test_jobs_come_in_the_manifest_s_order_a_page_at_a_time() -> None:
    assert await everything(queue(2 * PAGE + 7)) == list(range(1, 2 * PAGE + 8))


async def test_a_job_that_came_back_goes_first() -> None:
    jobs = queue(3)
    await jobs.refill()
    first = jobs.take()
    jobs.put_back(first)
    assert await everything(jobs) == [1, 2, 3]


async def test_a_job_that_came_back_is_not_read_again_from_a_later_page() -> None:
    """A request of an earlier run may fail and be pending again before its page is reached."""
    jobs = queue(3 * PAGE)
    await jobs.refill()
    jobs.put_back(job(2 * PAGE))
    assert sorted(await everything(jobs)) == list(range(1, 3 * PAGE + 1))


async def test_a_page_of_jobs_that_came_back_is_passed_over() -> None:
    jobs = queue(2 * PAGE)
    for seq in range(1, PAGE + 1):
        jobs.put_back(job(seq))
    assert sorted(await everything(jobs)) == list(range(1, 2 * PAGE + 1))


async def test_a_job_is_not_queued_twice() -> None:
    jobs = queue(2)
    await jobs.refill()
    jobs.put_back(job(2))
    assert await everything(jobs) == [1, 2]
