"""While a run goes on, it hears what people decide in other commands."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from batchgen.engine.events import JobMoved, Noted
from batchgen.jobs import JobState
from batchgen.runs.decisions import Applied, Verb, apply_new

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from batchgen.engine.events import Listener
    from batchgen.engine.scheduler import Scheduler
    from batchgen.state.store import Store

LOOK_EVERY = 1.0
"""Seconds. Nothing portable tells of a file that grows, and a look at its size is cheap."""


async def watch_decisions(
    path: Path, store: Store, scheduler: Scheduler, listener: Listener
) -> None:
    """Take up what is appended to decisions.jsonl, until cancelled."""
    # Not the size of now: something may have come since the run began.
    size = 0
    while True:
        await asyncio.sleep(LOOK_EVERY)
        if (grown := _size(path)) != size:
            size = grown
            await act_on(await store.run(apply_new, path), scheduler, listener)


async def act_on(applied: Iterable[Applied], scheduler: Scheduler, listener: Listener) -> None:
    """The state has the decisions; the engine learns of the jobs that move again."""
    for one in applied:
        verb, job_id = one.decision.verb, one.decision.job_id
        listener(Noted(one.objection or f"decided: {verb.value}", job_id))
        if one.seq is None or one.objection:
            continue
        if verb is not Verb.CANCEL:
            await scheduler.look_again(one.seq)
        elif one.ask_vendor:
            await scheduler.cancel(one.seq)
        else:
            listener(JobMoved(job_id, one.model, JobState.PENDING, JobState.CANCELLED))


async def ask_for_cancels(
    applied: Iterable[Applied], scheduler: Scheduler, listener: Listener
) -> None:
    """What the beginning of the run applied, the engine meets in the state; but only we ask."""
    cancels = [one for one in applied if one.ask_vendor]
    await act_on(cancels, scheduler, listener)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
