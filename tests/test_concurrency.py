from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from batchgen import concurrency
from batchgen.concurrency import TERMINATION_SIGNALS, Threads, in_thread, run_loop
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


async def test_results_that_end_together_wake_the_loop_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loop, calls, gate = asyncio.get_running_loop(), list[object](), threading.Event()
    wake = loop.call_soon_threadsafe

    def counted(*call: Any) -> asyncio.Handle:
        calls.append(call)
        return wake(*call)

    monkeypatch.setattr(loop, "call_soon_threadsafe", counted)
    with Threads(1, "test") as threads:
        futures = [loop.run_in_executor(threads, pow, 2, number) for number in range(20)]
        last = loop.run_in_executor(threads, gate.set)
        gate.wait()  # the loop itself sleeps meanwhile, so all but the last have ended
        assert await asyncio.gather(*futures) == [2**number for number in range(20)]
        await last
    assert len(calls) <= 2


async def test_the_end_of_the_threads_waits_for_their_work() -> None:
    ended = list[str]()
    with Threads(2, "test") as threads:
        asyncio.get_running_loop().run_in_executor(threads, ended.append, "ended")
    assert ended == ["ended"]


_FORKS = """
import asyncio, os
from batchgen.concurrency import _SHARED, in_thread

async def work():
    return await asyncio.gather(*(in_thread(lambda: 7) for _ in range(100)))

asyncio.run(work())
if os.fork() == 0:
    assert asyncio.run(work()) == [7] * 100
    os._exit(0)
os._exit(os.waitstatus_to_exitcode(os.wait()[1]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_process_has_threads_of_its_own() -> None:
    """A program that has run a manifest may fork, and run another one there."""
    subprocess.run([sys.executable, "-W", "ignore", "-c", _FORKS], check=True, timeout=30)


async def test_where_no_more_threads_may_start_those_that_have_do_the_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gate, start = threading.Event(), threading.Thread.start

    def start_one(thread: threading.Thread) -> None:
        if thread.name != "test_0":
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_one)
    loop = asyncio.get_running_loop()
    with Threads(2, "test") as threads:
        first = loop.run_in_executor(threads, gate.wait, 5)
        second = loop.run_in_executor(threads, pow, 2, 3)
        gate.set()
        assert await first
        assert await second == 8


async def test_work_may_raise_what_no_future_takes() -> None:
    with pytest.raises(RuntimeError, match="StopIteration"):
        await in_thread(lambda: next(iter(())))


def test_each_loop_gets_the_results_of_its_own_work() -> None:
    for number in range(3):
        assert asyncio.run(in_thread(lambda number=number: number)) == number  # type: ignore[misc]


@pytest.mark.parametrize("installed", [True, False])
def test_a_run_uses_uvloop_where_it_is_installed(
    monkeypatch: pytest.MonkeyPatch, *, installed: bool
) -> None:
    class Quick(asyncio.SelectorEventLoop):
        pass

    async def kind() -> type:
        return type(asyncio.get_running_loop())

    uvloop = SimpleNamespace(new_event_loop=Quick) if installed else None
    monkeypatch.setitem(sys.modules, "uvloop", uvloop)
    assert (run_loop(kind()) is Quick) is installed


def test_after_a_sigterm_the_process_ends_within_fifteen_seconds() -> None:
    """Row 57. That a process keeps to these, tests with shorter ones show."""
    assert concurrency.TERMINATION_SECONDS < 15
    assert all(concurrency.DRAIN_SECONDS[one] + LAST_ANSWERS <= 15 for one in TERMINATION_SIGNALS)
