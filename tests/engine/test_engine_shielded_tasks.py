"""A shielded task whose awaiting task is gone."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest

from batchgen.engine.shielded_tasks import ShieldedTasks
from batchgen.errors import DiskFullError


async def _fail() -> None:
    raise DiskFullError("the disk is full")


async def _start_and_leave() -> None:
    async with ShieldedTasks() as tasks:
        tasks.start(_fail(), "submit boat")
        await asyncio.sleep(0)
        await asyncio.sleep(0)


async def test_a_failure_that_no_task_awaits_is_raised_when_the_block_ends() -> None:
    """Otherwise Python complains of it on the terminal, and the run ends as if all were well."""
    complaints: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: complaints.append(context))
    with pytest.raises(ExceptionGroup) as caught:
        await _start_and_leave()
    gc.collect()
    assert [str(one) for one in caught.value.exceptions] == ["the disk is full"]
    assert complaints == []
