from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchgen.emulator.submits import SubmitLimits
from batchgen.emulator.workers import RequestQueue, Workers


@given(st.lists(st.tuples(st.sampled_from(["add", "pop", "remove"]), st.integers(0, 20))))
def test_a_queue_behaves_like_a_list(steps: list[tuple[str, int]]) -> None:
    queue, model, born = RequestQueue(), list[str](), 0
    for step, number in steps:
        if step == "add":
            queue.add(f"r{born}")
            model.append(f"r{born}")
            born += 1
        elif step == "pop":
            assert queue.pop() == (model.pop(0) if model else None)
        else:
            assert queue.remove(f"r{number}") == (f"r{number}" in model)
            model = [name for name in model if name != f"r{number}"]
        assert [queue.position(name) for name in model] == list(range(1, len(model) + 1))
        assert len(queue) == len(model)


async def test_one_worker_finishes_in_the_order_of_acceptance() -> None:
    finished: list[str] = []
    all_done = asyncio.Event()

    def finish(request_id: str) -> None:
        finished.append(request_id)
        if len(finished) == 5:
            all_done.set()

    workers = Workers(1, lambda _model: 0, finish)
    for number in range(6):
        workers.accept(f"r{number}", "a/b")
    assert workers.cancel("r3")
    await all_done.wait()
    await workers.aclose()
    assert finished == ["r0", "r1", "r2", "r4", "r5"]
    assert workers.unfinished == 0


async def test_closing_leaves_the_unfinished_unfinished() -> None:
    finished: list[str] = []
    workers = Workers(2, lambda _model: 3600, finished.append)
    for number in range(3):
        workers.accept(f"r{number}", "a/b")
    await workers.aclose()
    assert finished == []


async def test_the_error_of_a_worker_is_raised_at_the_end() -> None:
    died = asyncio.Event()

    def finish(_request_id: str) -> None:
        died.set()
        raise LookupError("a bug")

    workers = Workers(1, lambda _model: 0, finish)
    workers.accept("r0", "a/b")
    await died.wait()
    with pytest.raises(LookupError, match="a bug"):
        await workers.aclose()


def test_the_minute_of_the_limit_slides() -> None:
    limits = SubmitLimits(rate=2, seconds=60.0, max_parallel=None)
    assert [limits.take(now, 0) for now in (0.0, 30.0, 45.0)] == [None, None, 15]
    assert limits.take(60.0, 0) is None
    assert limits.take(60.1, 0) == 30
