"""The part of a run that talks to the world: API or emulator, downloads, engine, signals."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from batchgen.downloads.fetch import open_downloader
from batchgen.downloads.hosts import AllowedHosts
from batchgen.downloads.outcomes import Target
from batchgen.downloads.settings import DownloadSettings
from batchgen.engine.doors import Doors
from batchgen.engine.scheduler import Scheduler
from batchgen.errors import BatchgenError
from batchgen.runcomfy.base import is_loopback
from batchgen.runcomfy.client import connect
from batchgen.runcomfy.token import find_token
from batchgen.runs.engine_policy import engine_policy
from batchgen.runs.prices import price_list
from batchgen.runs.receipts import SpareReceipts
from batchgen.runs.rehearsal import rehearsal
from batchgen.runs.signals import StopSignals
from batchgen.runs.watching import watch_decisions

if TYPE_CHECKING:
    import signal
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from random import Random

    from batchgen.downloads.fetch import Downloader
    from batchgen.downloads.outcomes import FetchOutcome
    from batchgen.engine.events import Listener, Pause
    from batchgen.manifest import Manifest
    from batchgen.runcomfy.client import RunComfy
    from batchgen.runs.beginning import Beginning
    from batchgen.runs.folder import RunFolder
    from batchgen.runs.options import RunOptions
    from batchgen.state.store import Store


@dataclass(frozen=True, slots=True)
class World:
    """What a run takes from outside: environment, wall clock (epoch seconds), chance.

    `signals`: whether Ctrl-C and SIGTERM are the run's to handle, as in a command.
    """

    env: Mapping[str, str]
    home: Path
    now: Callable[[], float]
    dice: Random
    signals: bool = True


@dataclass(frozen=True, slots=True)
class Workplace:
    """A run whose manifest is checked and whose state is open. `base` is empty for a rehearsal."""

    manifest: Manifest
    folder: RunFolder
    options: RunOptions
    world: World
    base: str

    @property
    def on_this_machine(self) -> bool:
        return self.options.emulator or is_loopback(self.base)


@dataclass(frozen=True, slots=True)
class Ended:
    """Why the work stopped before its end, if it did."""

    pause: Pause | None = None
    stopped_by: signal.Signals | None = None


@dataclass(frozen=True, slots=True)
class _FilesBelow:
    """The engine's door to the disk: names become files below one folder."""

    downloader: Downloader
    folder: Path

    async def fetch(self, url: str, name: str) -> FetchOutcome:
        return await self.downloader.fetch(url, Target(self.folder, name))


async def work(place: Workplace, store: Store, beginning: Beginning, tell: Listener) -> Ended:
    """Do what there is to do. Raises the tree's errors."""
    async with AsyncExitStack() as stack:
        api = await _connect(place, stack)
        hosts = AllowedHosts.of(place.manifest.output.allow_hosts, loopback=place.on_this_machine)
        downloader = await stack.enter_async_context(open_downloader(DownloadSettings(hosts)))
        receipts = SpareReceipts(place.folder.receipts)
        receipts.reserve()
        doors = Doors(
            api=api,
            store=store,
            files=_FilesBelow(downloader, place.folder.files),
            prices=await price_list(api, place.manifest.policy, beginning.models),
            receipts=receipts,
            dice=place.world.dice,
        )
        policy = engine_policy(place.manifest.policy, place.options)
        scheduler = Scheduler(doors, policy, beginning.selection, tell)
        return await _run(place, scheduler, store, beginning, tell)


async def _connect(place: Workplace, stack: AsyncExitStack) -> RunComfy:
    if place.options.emulator:
        base, token = await stack.enter_async_context(rehearsal(place.folder, place.options))
    else:
        base, token = place.base, find_token(place.world.env, place.world.home)
    return await stack.enter_async_context(connect(base, token, wall_clock=place.world.now))


async def _run(
    place: Workplace, scheduler: Scheduler, store: Store, beginning: Beginning, tell: Listener
) -> Ended:
    try:
        return await _run_together(place, scheduler, store, beginning, tell)
    except BaseExceptionGroup as group:
        known = group.subgroup(BatchgenError)
        if known is None:
            raise
        # One failure of the disk reaches every job at once; the first says it all.
        raise _first(known) from group


async def _run_together(
    place: Workplace, scheduler: Scheduler, store: Store, beginning: Beginning, tell: Listener
) -> Ended:
    async with asyncio.TaskGroup() as group:
        running = group.create_task(scheduler.run(beginning.models), name="scheduler")
        watching = group.create_task(
            watch_decisions(place.folder.decisions, store, scheduler, tell), name="decisions"
        )
        with StopSignals(scheduler.drain, running.cancel, on=place.world.signals) as stop:
            await asyncio.wait({running})
            watching.cancel()
    pause = None if running.cancelled() else running.result().pause
    return Ended(pause, stop.received)


def _first(group: BaseExceptionGroup[BatchgenError]) -> BatchgenError:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, BatchgenError)
    return error
