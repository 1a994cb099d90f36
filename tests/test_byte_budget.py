"""The budget of bytes: never more than its capacity, first come first served, and no lost bytes."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st

from batchgen.byte_budget import ByteBudget, Share


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_bodies_wait_until_there_is_room() -> None:
    budget = ByteBudget(10)
    first = await budget.acquire(7)
    second = asyncio.create_task(budget.acquire(4), name="second")
    await settle()
    assert not second.done()
    first.release()
    assert (await second) is not None
    assert budget.free == 6


async def test_a_small_body_does_not_overtake_a_large_one() -> None:
    budget = ByteBudget(10)
    first = await budget.acquire(5)
    large = asyncio.create_task(budget.acquire(9), name="large")
    await settle()
    small = asyncio.create_task(budget.acquire(1), name="small")
    await settle()
    assert not large.done()
    assert not small.done()
    first.release()
    await asyncio.gather(large, small)


async def test_a_body_larger_than_the_budget_goes_alone() -> None:
    budget = ByteBudget(10)
    share = await budget.acquire(1000)
    assert budget.free == 0
    share.release()
    share.release()
    assert budget.free == 10


async def test_what_is_not_needed_is_given_back_early() -> None:
    budget = ByteBudget(10)
    share = await budget.acquire(8)
    share.shrink(3)
    share.shrink(5)
    assert budget.free == 7
    share.release()
    assert budget.free == 10


async def test_a_cancelled_wait_lets_the_next_ones_pass() -> None:
    budget = ByteBudget(10)
    await budget.acquire(5)
    large = asyncio.create_task(budget.acquire(9), name="large")
    await settle()
    small = asyncio.create_task(budget.acquire(1), name="small")
    await settle()
    large.cancel()
    await small
    assert budget.free == 4


async def test_one_that_is_cancelled_as_it_is_admitted_keeps_nothing() -> None:
    budget = ByteBudget(10)
    first = await budget.acquire(10)
    waiting = asyncio.create_task(budget.acquire(4), name="waiting")
    await settle()
    first.release()
    waiting.cancel()
    with suppress(asyncio.CancelledError):
        await waiting
    assert budget.free == 10


@given(st.lists(st.tuples(st.integers(0, 15), st.booleans()), max_size=30), st.integers(0, 10))
def test_the_capacity_is_kept_and_nothing_is_lost(
    bodies: list[tuple[int, bool]], after: int
) -> None:
    async def use() -> None:
        budget = ByteBudget(10)

        async def body(size: int) -> None:
            share: Share = await budget.acquire(size)
            assert 0 <= budget.free <= 10
            try:
                await asyncio.sleep(0)
            finally:
                share.release()

        tasks = [asyncio.create_task(body(size), name=str(size)) for size, _ in bodies]
        for _ in range(after):
            await asyncio.sleep(0)
        for task, (_, cancelled) in zip(tasks, bodies, strict=True):
            if cancelled:
                task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert budget.free == 10

    asyncio.run(use())
