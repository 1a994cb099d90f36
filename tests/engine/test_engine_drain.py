"""A stop that is asked for: who is interrupted, who is not, and who else may cancel."""

from __future__ import annotations

import asyncio

import pytest

from batchgen.engine.control import Drain
from tests.engine.virtual_loop import virtually


def test_a_sleeper_is_woken_when_a_stop_is_asked_for() -> None:
    async def scene() -> float:
        drain, loop = Drain(), asyncio.get_running_loop()
        loop.call_later(3.0, drain.request)
        with drain.scope() as scope:
            await asyncio.sleep(1000.0)
        assert scope.interrupted
        await asyncio.sleep(1.0)
        return loop.time()

    assert virtually(scene()) == 4.0


def test_a_scope_entered_after_the_request_ends_at_its_first_wait() -> None:
    async def scene() -> float:
        drain = Drain()
        drain.request()
        with drain.scope() as scope:
            await asyncio.sleep(1000.0)
        assert scope.interrupted
        await asyncio.sleep(1.0)
        return asyncio.get_running_loop().time()

    assert virtually(scene()) == 1.0


def test_a_scope_without_a_wait_leaves_no_cancellation_behind() -> None:
    """On Python 3.11 the next wait of the task would be cancelled."""

    async def scene() -> bool:
        drain = Drain()
        drain.request()
        with drain.scope() as scope:
            pass
        await asyncio.sleep(1.0)
        return scope.interrupted

    assert virtually(scene()) is False


def test_a_request_from_inside_a_scope_leaves_no_cancellation_behind() -> None:
    async def scene() -> None:
        drain = Drain()
        with drain.scope():
            drain.request()
        await asyncio.sleep(1.0)

    virtually(scene())


def test_a_cancellation_from_outside_wins() -> None:
    async def inner(drain: Drain) -> None:
        with drain.scope():
            await asyncio.sleep(1000.0)
        raise AssertionError("the task was cancelled by somebody else as well")

    async def scene() -> None:
        drain = Drain()
        task = asyncio.create_task(inner(drain))
        await asyncio.sleep(1.0)
        drain.request()
        task.cancel()
        await asyncio.wait({task})
        assert task.cancelled()

    virtually(scene())


def test_an_error_inside_a_scope_is_not_swallowed() -> None:
    async def scene() -> None:
        drain = Drain()
        with drain.scope():
            try:
                drain.request()
                await asyncio.sleep(1.0)
            finally:
                raise ValueError("the disk")

    with pytest.raises(ValueError, match="the disk"):
        virtually(scene())
