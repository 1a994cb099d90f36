"""While a run goes on, it hears what people decide in other commands."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from batchgen.engine.events import JobMoved, Noted
from batchgen.runs.decisions import MARKS, Applied, Verb, apply_page

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
            more = True
            while more:
                page = await store.run(apply_page, path)
                await act_on(page.applied, scheduler, listener)
                more = page.more


async def act_on(applied: Iterable[Applied], scheduler: Scheduler, listener: Listener) -> None:
    """The state has the decisions; the engine learns of the jobs that move again."""
    releases = False
    for one in applied:
        verb, job_id = one.decision.verb, one.decision.job_id
        # Of thousands of picks nobody wants to hear, only of those that came to nothing.
        if verb not in MARKS or one.objection:
            listener(Noted(one.objection or f"decided: {verb.value}", job_id))
        if one.seq is None or one.objection:
            continue
        if one.before is not one.after:
            listener(JobMoved(job_id, one.model, one.before, one.after))
        if one.ask_vendor:
            await scheduler.cancel(one.seq)
        elif verb is Verb.APPROVE or one.stays_done:
            releases = True
        elif verb is not Verb.CANCEL and verb not in MARKS:
            await scheduler.look_again(one.seq)
    if releases:
        # Once for all of them: a person approves a hundred stills at a time.
        await scheduler.look_for_released()


async def ask_for_cancels(jobs: Iterable[int], scheduler: Scheduler) -> None:
    """What people wanted cancelled before this run, and nobody could ask for until now."""
    for seq in jobs:
        await scheduler.cancel(seq)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
