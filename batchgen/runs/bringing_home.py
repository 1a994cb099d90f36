"""Downloads by saved request ids, and nothing else.

There is no scheduler here and no submitter: whatever stands in the state, nothing can be paid.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from batchgen.engine.control import Control
from batchgen.engine.doors import Doors
from batchgen.engine.events import Noted
from batchgen.engine.fetching import Fetcher
from batchgen.engine.guessed import SiftedApi
from batchgen.errors import TokenError
from batchgen.runcomfy.outcomes import (
    Gateway,
    Halted,
    Missing,
    NoAnswer,
    NotReady,
    PauseCause,
    Succeeded,
    Throttled,
)
from batchgen.runs.at_work import Ended, files_of, one_error
from batchgen.runs.journal import Journal
from batchgen.runs.metadata import MetadataFile
from batchgen.runs.prices import PriceList
from batchgen.runs.receipts import SpareReceipts
from batchgen.runs.signals import StopSignals
from batchgen.runs.workplace import connected
from batchgen.state.store import open_store

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator

    from batchgen.engine.events import Event, Listener
    from batchgen.runs.workplace import Workplace

DOWNLOADS = 8
RENEWALS = 4


async def bring_home(
    place: Workplace, db: sqlite3.Connection, jobs: Iterable[int], listener: Listener
) -> Ended:
    """Download what is left of the jobs, all of them fetching. Raises the tree's errors."""
    folder = place.folder
    async with AsyncExitStack() as stack:
        journal = stack.enter_context(Journal(folder.log, place.world.now))
        metadata = stack.enter_context(MetadataFile(folder.metadata))

        def tell(event: Event) -> None:
            for hear in (journal.hear, metadata.hear, listener):
                hear(event)

        doors = await _doors(place, db, stack)
        homecoming = _Homecoming(doors, Control(tell))
        with one_error():
            return await homecoming.run(jobs, signals=place.world.signals)


async def _doors(place: Workplace, db: sqlite3.Connection, stack: AsyncExitStack) -> Doors:
    store = await stack.enter_async_context(open_store(db, place.folder.state, place.world.now))
    api = await stack.enter_async_context(connected(place))
    files = await stack.enter_async_context(files_of(place))
    return Doors(
        api=SiftedApi(api, files.downloader.peek),
        store=store,
        files=files,
        prices=PriceList({}, {}),
        receipts=SpareReceipts(place.folder.receipts),
        dice=place.world.dice,
    )


class _Homecoming:
    """First the fresh URLs of a job, then its downloads; both for several jobs at once."""

    def __init__(self, doors: Doors, control: Control) -> None:
        self._doors = doors
        self._control = control
        self._fetcher = Fetcher(doors, control)

    async def run(self, jobs: Iterable[int], *, signals: bool) -> Ended:
        waiting = iter(jobs)
        try:
            async with asyncio.TaskGroup() as group:
                teller = group.create_task(self._control.keep_telling(), name="events")
                pool = [
                    group.create_task(self._fetcher.work(), name=f"download {number}")
                    for number in range(DOWNLOADS)
                ]
                renewals = [
                    group.create_task(self._renew_each(waiting), name=f"renewal {number}")
                    for number in range(RENEWALS)
                ]
                tasks = (*pool, *renewals)
                with StopSignals(self._drain, lambda: _cancel(tasks), on=signals) as stop:
                    await asyncio.wait(renewals)
                    await self._until_home()
                    if not self._control.drain.requested:
                        _cancel(pool)
                    await asyncio.wait(pool)
                teller.cancel()
        finally:
            self._control.tell()
        return Ended(self._control.paused, stop.received)

    def _drain(self) -> None:
        self._control.drain.request()
        self._control.wake.set()

    async def _until_home(self) -> None:
        while self._fetcher.busy and not self._control.drain.requested:
            await self._control.wake.wait()
            self._control.wake.clear()

    async def _renew_each(self, waiting: Iterator[int]) -> None:
        for seq in waiting:
            if self._control.drain.requested:
                return
            await self._renew(seq)
            self._fetcher.add(seq)

    async def _renew(self, seq: int) -> None:
        """Old URLs have mostly expired; where there are no new ones, the saved ones are tried."""
        job = await self._doors.store.files_to_fetch(seq)
        if job is None:
            return
        answer = await self._doors.api.result(job.request_id)
        if isinstance(answer, Succeeded):
            for file in job.files:
                if file.position <= len(answer.urls):
                    await self._doors.store.renew_url(file.id, answer.urls[file.position - 1])
        elif isinstance(answer, Halted) and answer.cause is PauseCause.TOKEN_REFUSED:
            raise TokenError(
                f"the API refused: {answer.reason}",
                where=job.id,
                next_step="set a valid RUNCOMFY_TOKEN; the same command continues",
            )
        else:
            why = "the request is not what it was"
            if isinstance(answer, Missing | NotReady | Gateway | NoAnswer | Throttled | Halted):
                why = answer.reason
            self._control.emit(Noted(f"no fresh URL ({why}): the saved one is tried", job.id))


def _cancel(tasks: Iterable[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
