"""Carry a manifest out: check it, open its state under the lock, work, sum up."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from batchgen.engine.events import JobMoved, RunStarted, Warned
from batchgen.errors import BatchgenError
from batchgen.jobs import JobState
from batchgen.runs.begin import take_stock
from batchgen.runs.context import recorded_provider
from batchgen.runs.execute import Ended, work
from batchgen.runs.journal import Journal, MetadataFile, renew_if_stale
from batchgen.runs.last_run import LastRunFile
from batchgen.runs.notifications import notifying, recipients
from batchgen.runs.startup import start_up
from batchgen.runs.summary import Summary
from batchgen.runs.supervision import RequestsInFlight, print_requests_if_gone
from batchgen.state import manual_actions
from batchgen.state.manual_actions import held_back
from batchgen.state.queries import totals
from batchgen.state.store import open_store

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from batchgen.engine.events import Event, Listener
    from batchgen.runs.context import RunContext, World
    from batchgen.runs.options import RunOptions
    from batchgen.runs.startup import StartedRun
    from batchgen.state.database import Connection


@dataclass(slots=True)
class _Tally:
    """Counts the submits of this run."""

    submitted: int = 0

    def on_event(self, event: Event) -> None:
        if isinstance(event, JobMoved) and event.state is JobState.SUBMITTING:
            self.submitted += 1


@dataclass(frozen=True, slots=True)
class _Audience:
    """All who hear of an event, in the order of `listeners`."""

    listeners: Sequence[Listener] = field(default_factory=tuple)

    def tell(self, event: Event) -> None:
        for on_event in self.listeners:
            on_event(event)


async def carry_out(path: Path, options: RunOptions, listener: Listener, world: World) -> Summary:
    """Start, continue or finish the run of a manifest.

    Raises the tree's errors; LateProblemsError where a run had begun before its last rows were
    read, and some of those are wrong.
    """
    started = asyncio.get_running_loop().time()
    with ExitStack() as held:
        opened = start_up(path, options, world, held)
        folder = opened.place.folder
        tally, held_requests = _Tally(), RequestsInFlight()
        held.enter_context(print_requests_if_gone(folder, opened.db, held_requests))
        journal = held.enter_context(Journal(folder.log, world.now))
        metadata = held.enter_context(MetadataFile(folder.metadata))
        outside = _Audience((journal.on_event, listener))
        async with notifying(opened.place, recipients(opened.place), outside.tell) as notifier:
            hearing = (
                journal.on_event,
                metadata.on_event,
                tally.on_event,
                held_requests.on_event,
                notifier.on_event,
            )
            audience = _Audience((*hearing, listener))
            summary = await _work_through(opened, audience, tally, started)
            journal.note("RunEnded", **summary.to_json())
            # Last, when all is on the disk: the words are waited for as the block ends.
            notifier.ended(summary)
        if opened.intake is not None:
            opened.intake.raise_if_wrong(summary)
        return summary


async def _work_through(
    opened: StartedRun, audience: _Audience, tally: _Tally, started: float
) -> Summary:
    """Do what there is to do, and sum up. `started` by the loop's clock."""
    place, now = opened.place, opened.place.world.now
    async with open_store(opened.db, place.folder.state, now) as store:
        told = opened.problems.warnings
        beginning = await store.run(take_stock, place.folder, place.manifest, place.options, now())
        audience.tell(
            RunStarted(
                place.manifest.name,
                place.folder.root,
                beginning.counts,
                beginning.money,
                await store.run(recorded_provider),
            )
        )
        for warning in told:
            audience.tell(Warned(str(warning)))
        ended = Ended()
        if not beginning.is_idle:
            await store.run(partial(_remember, place, is_over=False))
            try:
                ended = await work(place, store, beginning, audience.tell, opened.intake)
            except BatchgenError:
                # Nobody submits any more, and every submit is in the state, where that can be read.
                with suppress(BatchgenError):
                    await store.run(partial(_remember, place, is_over=True))
                raise
            # Nobody submits any more: whose answer did not come is unknown from now on.
            await store.run(manual_actions.settle_dead_run)
            await store.run(renew_if_stale, place.folder.metadata)
        await store.run(partial(_remember, place, is_over=True))
        # Of a huge first run the last rows are read by now.
        for warning in sorted(set(opened.problems.warnings) - set(told), key=lambda one: one.place):
            audience.tell(Warned(str(warning)))
        return Summary(
            name=place.manifest.name,
            folder=place.folder.root,
            counts=totals(await store.counts()),
            money=await store.money(),
            seconds=asyncio.get_running_loop().time() - started,
            submitted=tally.submitted,
            pause=ended.pause,
            stopped_by=ended.stopped_by,
            held=await store.run(held_back, beginning.selection),
            warnings=opened.problems.warnings,
            funds=ended.funds,
        )


def _remember(place: RunContext, db: Connection, *, is_over: bool) -> None:
    """In the user's own folder, which outlives the run's. A rehearsal is free to vanish."""
    if not place.options.emulator:
        memory = LastRunFile(place.world.memory, place.manifest.path)
        memory.write(db, place.folder, place.world.now(), is_over=is_over)
