from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest

from batchgen import concurrency
from batchgen.concurrency import TERMINATION_SIGNALS, in_thread
from batchgen.engine.shielded_tasks import LAST_ANSWERS


async def test_the_result_comes_back() -> None:
    assert await in_thread(lambda: 6 * 7) == 42


async def test_an_error_comes_back() -> None:
    def fail() -> None:
        raise OSError("no")

    with pytest.raises(OSError, match="no"):
        await in_thread(fail)


def held(gate: threading.Event, started: asyncio.Event, ended: list[str]) -> Callable[[], None]:
    loop = asyncio.get_running_loop()

    def work() -> None:
        loop.call_soon_threadsafe(started.set)
        gate.wait(timeout=30)
        ended.append("ended")
        raise OSError("an error that nobody fetches is no noise")

    return work


async def test_a_cancellation_waits_for_the_thread() -> None:
    gate, started, ended = threading.Event(), asyncio.Event(), list[str]()
    task = asyncio.create_task(in_thread(held(gate, started, ended)), name="held")
    await started.wait()
    for _ in range(2):
        task.cancel()
        await asyncio.wait({task}, timeout=0)
        assert not task.done()
    gate.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == ["ended"]


def test_after_a_sigterm_the_process_ends_within_fifteen_seconds() -> None:
    """Row 57. That a process keeps to these, tests with shorter ones show."""
    assert concurrency.TERMINATION_SECONDS < 15
    assert all(concurrency.DRAIN_SECONDS[one] + LAST_ANSWERS <= 15 for one in TERMINATION_SIGNALS)
